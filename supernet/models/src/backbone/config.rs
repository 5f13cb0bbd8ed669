use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    options::{self, Options},
    resolve::{BlockReader, embedding},
    video::VideoClass,
};
use crate::ModelError;

/// The geometry of a diffusers UNet, resolved per block: of a `UNet2DConditionModel` or `UNet2DModel`, of the image half of
/// a `UNetMotionModel` or `UNet3DConditionModel`, or of a whole `UNetSpatioTemporalConditionModel`. Every option of their
/// configs is honoured or refused by name.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetConfig {
    /// Channels of the sample.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Samples from 0 to 1 are brought to −1 to 1 first.
    pub center_input: bool,
    /// Rows and columns of the first convolution.
    pub conv_in_kernel: usize,
    /// Rows and columns of the last one.
    pub conv_out_kernel: usize,
    /// Widths by level.
    pub block_out_channels: Vec<usize>,
    /// Down blocks, full resolution first.
    pub down: Vec<Block>,
    /// The block at the lowest resolution, where there is one.
    pub mid: Option<Block>,
    /// Up blocks, lowest resolution first.
    pub up: Vec<Block>,
    /// Zeros around a halving's input; 0 pads the bottom and right alone.
    pub downsample_padding: usize,
    /// How time and what goes with it are embedded.
    pub embedding: Embedding,
    /// Channels of `encoder_hidden_states`, where the UNet reads any.
    pub context: Option<Context>,
    /// Linear instead of 1×1 convolutions around a transformer.
    pub linear_projection: bool,
    /// Groups of group norms.
    pub norm_num_groups: usize,
    /// Added to their variance.
    pub norm_eps: f32,
    /// Activation of resnets.
    pub activation: Activation,
    /// Activation before the last convolution.
    pub out_activation: Activation,
    /// The embedding scales and shifts in resnets instead of being added.
    pub scale_shift: bool,
    /// Resnets and transformers have halves that look over frames, as those of Stable Video Diffusion.
    pub spatio_temporal: bool,
    pub(super) options: Map<String, Value>,
}

/// One down, middle or up block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Channels that it makes.
    pub channels: usize,
    /// Resnets.
    pub layers: usize,
    /// What follows each resnet.
    pub attention: Attention,
    /// The size changes by a resnet instead of a convolution.
    pub resnet_resampler: bool,
    /// The resnets take the embedding as it is, without activation.
    pub skip_time_activation: bool,
    /// Resnets' outputs are divided by it.
    pub out_scale: f32,
    /// Added to the variance of resnets' norms.
    pub norm_eps: f32,
}

/// Attention over the pixels of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Attention {
    /// None.
    None,
    /// Over pixels alone (`AttnDownBlock2D` and the like).
    Pixels {
        /// Heads.
        heads: usize,
        /// Channels of a head.
        depth: usize,
        /// Groups of its norm; none where there is no norm.
        groups: Option<usize>,
        /// The sum with its input is divided by it.
        out_scale: f32,
    },
    /// Transformers that also read the text (`CrossAttnDownBlock2D` and the like).
    Transformer {
        /// Heads.
        heads: usize,
        /// Channels of a head.
        depth: usize,
        /// Transformer blocks of each layer.
        blocks: Vec<usize>,
        /// Their first attention reads the text too, not the pixels.
        only_cross: bool,
    },
    /// One attention over text and pixels together (`SimpleCrossAttnDownBlock2D` and the like).
    AddedKeys {
        /// Heads.
        heads: usize,
        /// Channels of a head.
        depth: usize,
        /// Over the text alone.
        only_cross: bool,
        /// Norm of the text.
        norm: Option<TextNorm>,
    },
}

/// Norm of the text before an attention of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextNorm {
    /// Over channels.
    Layer,
    /// Over 32 groups of channels.
    Group,
}

/// Width of the text features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Channels given.
    pub given: usize,
    /// Channels after `encoder_hid_proj`, where there is one.
    pub projected: Option<usize>,
}

/// Embedding of the time, and what is added to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Channels.
    pub channels: usize,
    /// Cosines first in the sinusoids.
    pub flip_sin_to_cos: bool,
    /// Shift of their frequencies.
    pub freq_shift: f32,
    /// Activation within.
    pub activation: Activation,
    /// Activation after.
    pub post_activation: Option<Activation>,
    /// Activation of the sum.
    pub sum_activation: Option<Activation>,
    /// Channels of `timestep_cond`, e.g. guidance (LCM), added to the sinusoids.
    pub condition: Option<usize>,
    /// What a class adds.
    pub class: Option<ClassEmbedding>,
    /// The class's embedding is laid beside the time's instead of being added.
    pub concat_class: bool,
    /// `text_time` of SDXL.
    pub text_time: Option<TextTime>,
}

/// How `class_labels` are embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassEmbedding {
    /// Rows of a table of so many classes.
    Table(usize),
    /// As a time.
    Time,
    /// Given ready.
    Identity,
    /// Two layers from so many channels.
    Projection(usize),
    /// One layer from so many channels.
    Linear(usize),
}

/// SDXL's pooled text and sizes, or SVD's numbers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextTime {
    /// Channels of one number's sinusoids.
    pub time_channels: usize,
    /// Channels of pooled text and all sinusoids together.
    pub channels: usize,
    /// How many numbers there are: six in SDXL (`time_ids`), three in SVD (`added_time_ids`: rate, motion, noise).
    pub ids: usize,
}

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·sigmoid(x).
    Silu,
    /// Exact GELU.
    Gelu,
    /// max(x, 0).
    Relu,
}

/// Far beyond any UNet that is known: a config that asks for more is broken or hostile, and would fill the memory.
const MAX_LEVELS: usize = 12;
const MAX_CHANNELS: usize = 1 << 16;
const MAX_KERNEL: usize = 63;
const MAX_BLOCKS: usize = 1024;

/// Which of the two classes a config is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Condition,
    Plain,
}

impl UNetConfig {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| options::wrong("UNet config", error.to_string()))?;
        let class = match map.get("_class_name").and_then(Value::as_str) {
            Some("UNet2DModel") => Class::Plain,
            None | Some("UNet2DConditionModel") => Class::Condition,
            Some(other) => {
                let class = VideoClass::named(other)?;
                let config = class.read(map)?;
                config.check()?;
                return Ok(config);
            }
        };
        let reader = Options::new(map, if class == Class::Plain { &options::PLAIN } else { &options::CONDITION })?;
        let config = Self::read(reader, class)?;
        config.check()?;
        Ok(config)
    }

    /// The config as it was read.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", Value::Object(self.options.clone()))
    }

    /// Number of resolutions.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Channels of the text features that it takes; 0 where it takes none.
    pub fn text_width(&self) -> usize {
        self.context.as_ref().map_or(0, |context| context.given)
    }

    /// Inputs of the denoiser besides sample, time and text.
    pub fn extra_inputs(&self) -> Vec<&'static str> {
        let Embedding { condition, class, text_time, .. } = &self.embedding;
        let mut names = Vec::new();
        if condition.is_some() {
            names.push("timestep_cond");
        }
        if class.is_some() {
            names.push("class_labels");
        }
        match text_time {
            Some(numbers) if numbers.text_channels() == 0 => names.push("added_time_ids"),
            Some(_) => names.extend(["added_cond_kwargs.text_embeds", "added_cond_kwargs.time_ids"]),
            None => {}
        }
        names
    }

    pub(super) fn read(options: Options, class: Class) -> Result<Self, ModelError> {
        let condition = class == Class::Condition;
        let default: &[usize] = if condition { &[320, 640, 1280, 1280] } else { &[224, 448, 672, 896] };
        let block_out_channels: Vec<usize> = options.get("block_out_channels")?.unwrap_or_else(|| default.to_vec());
        if block_out_channels.is_empty() || block_out_channels.contains(&0) {
            return Err(options.wrong(format!("block_out_channels = {block_out_channels:?}")));
        }
        let channels = if condition { 4 } else { 3 };
        let activation = options.activation("act_fn")?.unwrap_or(Activation::Silu);
        let blocks = BlockReader::new(&options, class, &block_out_channels)?;
        Ok(Self {
            in_channels: options.number("in_channels", channels)?,
            out_channels: options.number("out_channels", channels)?,
            center_input: options.get("center_input_sample")?.unwrap_or(false),
            conv_in_kernel: options.number("conv_in_kernel", 3)?,
            conv_out_kernel: options.number("conv_out_kernel", 3)?,
            down: blocks.down()?,
            mid: blocks.mid()?,
            up: blocks.up()?,
            downsample_padding: options.number("downsample_padding", 1)?,
            embedding: embedding(&options, class, block_out_channels[0], activation)?,
            context: blocks.context()?,
            linear_projection: options.get("use_linear_projection")?.unwrap_or(false),
            norm_num_groups: options.number("norm_num_groups", 32)?,
            norm_eps: options.get("norm_eps")?.unwrap_or(1e-5),
            activation,
            out_activation: if condition { activation } else { Activation::Silu },
            scale_shift: blocks.scale_shift,
            spatio_temporal: false,
            block_out_channels,
            options: options.into_map(),
        })
    }

    fn check(&self) -> Result<(), ModelError> {
        let wrong = |message: String| Err(options::wrong("UNet config", message));
        self.check_size()?;
        let [kernel_in, kernel_out] = [self.conv_in_kernel, self.conv_out_kernel];
        if [self.in_channels, self.out_channels, kernel_in, kernel_out].contains(&0) {
            return wrong("in_channels, out_channels, conv_in_kernel and conv_out_kernel must not be 0".into());
        }
        let groups = self.norm_num_groups;
        for &channels in &self.block_out_channels {
            if groups == 0 || channels % groups != 0 {
                return wrong(format!("norm_num_groups = {groups} does not divide {channels} channels"));
            }
        }
        for block in self.down.iter().chain(&self.mid).chain(&self.up) {
            if block.layers == 0 {
                return wrong("layers_per_block must not be 0".into());
            }
            if block.attention.heads() == Some(0) {
                return wrong(format!("no attention head fits into {} channels", block.channels));
            }
        }
        Ok(())
    }
}

impl UNetConfig {
    /// What a config of a few bytes may ask for.
    fn check_size(&self) -> Result<(), ModelError> {
        let wrong = |message: String| Err(options::wrong("UNet config", message));
        let Self { block_out_channels, conv_in_kernel, conv_out_kernel, downsample_padding, .. } = self;
        if block_out_channels.len() > MAX_LEVELS {
            let message =
                format!("block_out_channels has {} levels, more than {MAX_LEVELS}", block_out_channels.len());
            return wrong(message);
        }
        let widest =
            block_out_channels.iter().chain([&self.in_channels, &self.out_channels, &self.embedding.channels]);
        if let Some(&widest) = widest.max().filter(|&&widest| widest > MAX_CHANNELS) {
            return wrong(format!("a width of {widest} channels is larger than {MAX_CHANNELS}"));
        }
        if let Some(kernel) =
            [conv_in_kernel, conv_out_kernel, downsample_padding].into_iter().find(|&&k| k > MAX_KERNEL)
        {
            return wrong(format!(
                "conv_in_kernel = {conv_in_kernel}, conv_out_kernel = {conv_out_kernel}, downsample_padding = \
                 {downsample_padding}: {kernel} is larger than {MAX_KERNEL}"
            ));
        }
        let all = || self.down.iter().chain(&self.mid).chain(&self.up);
        let layers: usize = all().map(|block| block.layers).sum();
        let blocks: usize = all().map(|block| block.attention.blocks()).sum();
        if layers.max(blocks) > MAX_BLOCKS {
            return wrong(format!("{layers} layers with {blocks} transformer blocks, more than {MAX_BLOCKS}"));
        }
        Ok(())
    }
}

impl Serialize for UNetConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.options.serialize(serializer)
    }
}

impl TextTime {
    /// Channels of the pooled text; 0 where there are numbers alone.
    pub fn text_channels(&self) -> usize {
        self.channels.saturating_sub(self.ids * self.time_channels)
    }
}

impl Attention {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        *self != Self::None
    }

    /// Transformer blocks in all layers together.
    fn blocks(&self) -> usize {
        match self {
            Self::Transformer { blocks, .. } => blocks.iter().sum(),
            _ => 0,
        }
    }

    pub(super) fn reads_text(&self) -> bool {
        matches!(self, Self::Transformer { .. } | Self::AddedKeys { .. })
    }

    fn heads(&self) -> Option<usize> {
        match *self {
            Self::None => None,
            Self::Pixels { heads, .. } | Self::Transformer { heads, .. } | Self::AddedKeys { heads, .. } => {
                Some(heads)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const TINY: &str = r#"{"_class_name": "UNet2DConditionModel", "in_channels": 3, "out_channels": 3,
        "block_out_channels": [32, 64], "layers_per_block": 1, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 16, "attention_head_dim": 4,
        "norm_num_groups": 8}"#;

    fn with(option: &str, value: &str) -> Result<UNetConfig, ModelError> {
        let mut map: Map<String, Value> = serde_json::from_str(TINY).unwrap();
        map.insert(option.into(), serde_json::from_str(value).unwrap());
        UNetConfig::from_json(&Value::Object(map).to_string())
    }

    #[test]
    fn json_round_trips() {
        let config = UNetConfig::from_json(TINY).unwrap();
        assert_eq!(config.up[0].attention.heads(), Some(4));
        assert_eq!(UNetConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn an_unsupported_option_is_named() {
        for (option, value) in [
            ("resnet_time_scale_shift", "\"spatial\""),
            ("class_embed_type", "\"other\""),
            ("time_embedding_type", "\"fourier\""),
            ("dual_cross_attention", "true"),
            ("attention_type", "\"gated\""),
            ("some_new_option", "7"),
            ("some_new_switch", "false"),
            ("act_fn", "\"mish\""),
            ("mid_block_type", "\"KMidBlock2D\""),
            ("down_block_types", "[\"SkipDownBlock2D\", \"KDownBlock2D\"]"),
            ("up_block_types", "[\"UpBlock2D\", \"AttnSkipUpBlock2D\"]"),
            ("addition_embed_type", "\"image_hint\""),
            ("encoder_hid_dim_type", "\"image_proj\""),
        ] {
            let message = with(option, value).unwrap_err().to_string();
            assert!(message.contains(option), "{option}: {message}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for (option, value) in [
            ("norm_num_groups", "5"),
            ("block_out_channels", "[32, 64, 64]"),
            ("attention_head_dim", "[4]"),
            ("attention_head_dim", "0"),
            ("attention_head_dim", "128"),
            ("layers_per_block", "0"),
            ("transformer_layers_per_block", "[1]"),
            ("transformer_layers_per_block", "0"),
            ("in_channels", "-3"),
            ("layers_per_block", "1000000000"),
            ("block_out_channels", "[4294967296, 64]"),
            ("conv_in_kernel", "1000"),
            ("transformer_layers_per_block", "100000"),
            ("time_embedding_dim", "18446744073709551615"),
        ] {
            let message = with(option, value).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(option) || message.contains("head"), "{option}: {message}");
        }
    }

    #[test]
    fn heads_are_a_count_for_transformers_and_a_width_elsewhere() {
        let config = with("attention_head_dim", "[4, 8]").unwrap();
        let Attention::Transformer { heads, depth, .. } = config.down[1].attention else { panic!("{config:?}") };
        assert_eq!((heads, depth), (8, 8));
        let plain = r#"{"_class_name": "UNet2DModel", "block_out_channels": [16, 32], "norm_num_groups": 4,
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}"#;
        let config = UNetConfig::from_json(plain).unwrap();
        assert!(matches!(config.down[1].attention, Attention::Pixels { heads: 4, depth: 8, .. }), "{config:?}");
        let one = plain.replace("\"norm", "\"attention_head_dim\": null, \"norm");
        let config = UNetConfig::from_json(&one).unwrap();
        assert!(matches!(config.down[1].attention, Attention::Pixels { heads: 1, depth: 32, .. }), "{config:?}");
    }
}
