use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::options::{self, Options};
use crate::SpaceError;

/// The geometry of a diffusers `UNet2DConditionModel` or `UNet2DModel`, resolved per block. Every option of their
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
    options: Map<String, Value>,
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

/// SDXL's pooled text and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextTime {
    /// Channels of one number's sinusoids.
    pub time_channels: usize,
    /// Channels of pooled text and all sinusoids together.
    pub channels: usize,
    /// How many numbers `time_ids` holds: six in SDXL.
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

/// Which of the two classes a config is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Condition,
    Plain,
}

/// How many numbers SDXL gives beside its text: two sizes and a place.
const TIME_IDS: usize = 6;

impl UNetConfig {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, SpaceError> {
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| options::wrong("UNet config", error.to_string()))?;
        let class = match map.get("_class_name").and_then(Value::as_str) {
            Some("UNet2DModel") => Class::Plain,
            None | Some("UNet2DConditionModel") => Class::Condition,
            Some(other) => {
                let message = format!("_class_name = {other:?}; known are UNet2DConditionModel and UNet2DModel");
                return Err(options::wrong("UNet config", message));
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
        if text_time.is_some() {
            names.extend(["added_cond_kwargs.text_embeds", "added_cond_kwargs.time_ids"]);
        }
        names
    }

    fn read(options: Options, class: Class) -> Result<Self, SpaceError> {
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
            block_out_channels,
            options: options.into_map(),
        })
    }

    fn check(&self) -> Result<(), SpaceError> {
        let wrong = |message: String| Err(options::wrong("UNet config", message));
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

impl Serialize for UNetConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.options.serialize(serializer)
    }
}

impl Attention {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        *self != Self::None
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

/// Options that are one for all levels or a list of one each, and the blocks made of them.
struct BlockReader<'a> {
    options: &'a Options,
    class: Class,
    channels: &'a [usize],
    layers: Vec<usize>,
    /// What diffusers calls `attention_head_dim`: heads for transformers, channels of a head elsewhere.
    heads: Vec<Option<usize>>,
    transformer_heads: Vec<usize>,
    scale_shift: bool,
}

impl<'a> BlockReader<'a> {
    fn new(options: &'a Options, class: Class, channels: &'a [usize]) -> Result<Self, SpaceError> {
        let levels = channels.len();
        let given: Option<Vec<usize>> = options.per_level("attention_head_dim", levels)?;
        let heads = match &given {
            Some(heads) => heads.iter().copied().map(Some).collect(),
            // A plain UNet without the option has heads of 8 channels, with null one head.
            None if class == Class::Plain && options.is_null("attention_head_dim") => vec![None; levels],
            None => vec![Some(8); levels],
        };
        let own = options.per_level("num_attention_heads", levels)?;
        let transformer_heads = own.or(given).unwrap_or_else(|| vec![8; levels]);
        let shift: Option<String> = options.get("resnet_time_scale_shift")?;
        let scale_shift = match shift.as_deref() {
            None | Some("default") => false,
            Some("scale_shift") => true,
            Some(other) => {
                return Err(options.unsupported("resnet_time_scale_shift", other, "default, scale_shift"));
            }
        };
        let layers = options.per_level("layers_per_block", levels)?.unwrap_or_else(|| vec![2; levels]);
        Ok(Self { options, class, channels, layers, heads, transformer_heads, scale_shift })
    }

    fn down(&self) -> Result<Vec<Block>, SpaceError> {
        let kinds = self.kinds("down_block_types", "Down")?;
        (0..kinds.len()).map(|level| self.block("down_block_types", &kinds[level], "Down", level, level)).collect()
    }

    fn up(&self) -> Result<Vec<Block>, SpaceError> {
        let kinds = self.kinds("up_block_types", "Up")?;
        let last = kinds.len() - 1;
        let block = |index: usize| self.block("up_block_types", &kinds[index], "Up", last - index, index);
        (0..=last).map(block).collect()
    }

    fn kinds(&self, option: &str, side: &str) -> Result<Vec<String>, SpaceError> {
        let levels = self.channels.len();
        let default = || -> Option<Vec<String>> {
            let (plain, with) = match self.class {
                Class::Condition => (format!("{side}Block2D"), format!("CrossAttn{side}Block2D")),
                Class::Plain => (format!("{side}Block2D"), format!("Attn{side}Block2D")),
            };
            let bare_first = (self.class == Class::Plain) == (side == "Down");
            let bare = if bare_first { 0 } else { 3 };
            Some((0..4).map(|level| if level == bare { plain.clone() } else { with.clone() }).collect())
        };
        let kinds: Vec<String> = self.options.get(option)?.or_else(default).unwrap_or_default();
        if kinds.len() != levels {
            let message = format!("{option} has {} entries, block_out_channels {levels}", kinds.len());
            return Err(self.options.wrong(message));
        }
        Ok(kinds)
    }

    /// A down or up block. `place` is its index in lists that diffusers does not turn round for up blocks.
    fn block(&self, option: &str, kind: &str, side: &str, level: usize, place: usize) -> Result<Block, SpaceError> {
        let kind = kind.strip_prefix("UNetRes").unwrap_or(kind);
        let Some(name) = kind.strip_suffix("Block2D") else { return Err(self.unknown(option, kind, side)) };
        let channels = self.channels[level];
        let layers = self.layers[level] + usize::from(side == "Up");
        let condition = self.class == Class::Condition;
        let resampler = if side == "Down" { "downsample_type" } else { "upsample_type" };
        let mut block = Block {
            channels,
            layers,
            attention: Attention::None,
            resnet_resampler: false,
            skip_time_activation: false,
            out_scale: 1.0,
        };
        let resnets_alone = format!("Resnet{side}sample");
        match name.strip_suffix(side) {
            Some("") => {}
            Some("Attn") => {
                block.attention = self.pixels(channels, place, 1.0, Some(self.groups()?));
                block.resnet_resampler = self.options.get::<String>(resampler)?.as_deref() == Some("resnet");
            }
            Some("CrossAttn") if condition => {
                block.attention = self.transformer(side, level, layers, self.only_cross(level)?)?;
            }
            Some("SimpleCrossAttn") if condition => {
                let only_cross = self.only_cross(level)?;
                self.with_resnets(&mut block)?;
                block.attention = self.added_keys(channels, place, only_cross)?;
            }
            None if name == resnets_alone => self.with_resnets(&mut block)?,
            _ => return Err(self.unknown(option, kind, side)),
        }
        Ok(block)
    }

    fn with_resnets(&self, block: &mut Block) -> Result<(), SpaceError> {
        block.resnet_resampler = true;
        block.skip_time_activation = self.options.get("resnet_skip_time_act")?.unwrap_or(false);
        block.out_scale = self.options.get("resnet_out_scale_factor")?.unwrap_or(1.0);
        Ok(())
    }

    fn mid(&self) -> Result<Option<Block>, SpaceError> {
        let default = if self.class == Class::Condition { "UNetMidBlock2DCrossAttn" } else { "UNetMidBlock2D" };
        if self.options.is_null("mid_block_type") {
            return Ok(None);
        }
        let kind = self.options.get("mid_block_type")?.unwrap_or_else(|| default.to_string());
        let level = self.channels.len() - 1;
        let channels = self.channels[level];
        let out_scale: f32 = self.options.get("mid_block_scale_factor")?.unwrap_or(1.0);
        let mut block = Block {
            channels,
            layers: 2,
            attention: Attention::None,
            resnet_resampler: false,
            skip_time_activation: false,
            out_scale,
        };
        match (kind.as_str(), self.class) {
            ("UNetMidBlock2DCrossAttn", Class::Condition) => {
                block.attention = self.transformer("Down", level, 1, false)?;
            }
            ("UNetMidBlock2DSimpleCrossAttn", Class::Condition) => {
                block.skip_time_activation = self.options.get("resnet_skip_time_act")?.unwrap_or(false);
                let own: Option<bool> = self.options.get("mid_block_only_cross_attention")?;
                let only_cross = match (own, self.options.value("only_cross_attention")) {
                    (Some(only), _) => only,
                    (None, Some(Value::Bool(only))) => *only,
                    _ => false,
                };
                block.attention = self.added_keys(channels, level, only_cross)?;
            }
            ("UNetMidBlock2D", Class::Condition) => block.layers = 1,
            // diffusers' plain UNet makes this one whatever the name.
            (_, Class::Plain) => {
                if self.options.get("add_attention")?.unwrap_or(true) {
                    let groups = match self.options.get("attn_norm_num_groups")? {
                        None if self.scale_shift => None,
                        None => Some(self.groups()?),
                        groups => groups,
                    };
                    block.attention = self.pixels(channels, level, out_scale, groups);
                }
            }
            _ => {
                let known = "UNetMidBlock2DCrossAttn, UNetMidBlock2DSimpleCrossAttn, UNetMidBlock2D, null";
                return Err(self.options.unsupported("mid_block_type", &kind, known));
            }
        }
        Ok(Some(block))
    }

    fn context(&self) -> Result<Option<Context>, SpaceError> {
        if self.class == Class::Plain {
            return Ok(None);
        }
        let width = self.context_width(0)?;
        let given: Option<usize> = self.options.get("encoder_hid_dim")?;
        let kind: Option<String> = self.options.get("encoder_hid_dim_type")?;
        match (given, kind.as_deref()) {
            (None, None) => Ok(Some(Context { given: width, projected: None })),
            (Some(given), None | Some("text_proj")) => Ok(Some(Context { given, projected: Some(width) })),
            (None, Some(_)) => Err(self.options.wrong("encoder_hid_dim_type needs encoder_hid_dim".into())),
            (_, Some(other)) => Err(self.options.unsupported("encoder_hid_dim_type", other, "text_proj")),
        }
    }

    fn context_width(&self, level: usize) -> Result<usize, SpaceError> {
        let widths = self.options.per_level("cross_attention_dim", self.channels.len())?;
        Ok(widths.map_or(1280, |widths| widths[level]))
    }

    fn groups(&self) -> Result<usize, SpaceError> {
        self.options.number("norm_num_groups", 32)
    }

    fn pixels(&self, channels: usize, place: usize, out_scale: f32, groups: Option<usize>) -> Attention {
        let depth = self.heads[place].unwrap_or(channels);
        Attention::Pixels { heads: channels / depth.max(1), depth, groups, out_scale }
    }

    fn added_keys(&self, channels: usize, place: usize, only_cross: bool) -> Result<Attention, SpaceError> {
        let depth = self.heads[place].unwrap_or(channels);
        let norm: Option<String> = self.options.get("cross_attention_norm")?;
        let norm = match norm.as_deref() {
            None => None,
            Some("layer_norm") => Some(TextNorm::Layer),
            Some("group_norm") => Some(TextNorm::Group),
            Some(other) => {
                return Err(self.options.unsupported("cross_attention_norm", other, "layer_norm, group_norm"));
            }
        };
        Ok(Attention::AddedKeys { heads: channels / depth.max(1), depth, only_cross, norm })
    }

    fn transformer(
        &self,
        side: &str,
        level: usize,
        layers: usize,
        only_cross: bool,
    ) -> Result<Attention, SpaceError> {
        let heads = self.transformer_heads[level];
        let depth = self.channels[level].checked_div(heads).unwrap_or(0);
        let blocks = self.transformer_blocks(side, level, layers)?;
        Ok(Attention::Transformer { heads: if depth == 0 { 0 } else { heads }, depth, blocks, only_cross })
    }

    /// Blocks of each transformer of a level: one number for all, one per level, or lists per level.
    fn transformer_blocks(&self, side: &str, level: usize, layers: usize) -> Result<Vec<usize>, SpaceError> {
        let levels = self.channels.len();
        let own = (side == "Up").then(|| self.options.value("reverse_transformer_layers_per_block")).flatten();
        let (option, index) = match own {
            Some(_) => ("reverse_transformer_layers_per_block", levels - 1 - level),
            None => ("transformer_layers_per_block", level),
        };
        let fail = || {
            let value = self.options.value(option).map(ToString::to_string).unwrap_or_default();
            self.options.wrong(format!("{option} = {value} for {levels} levels"))
        };
        let number = |value: &Value| value.as_u64().map(|number| number as usize).filter(|&n| n > 0);
        match self.options.value(option) {
            None => Ok(vec![1; layers]),
            Some(Value::Array(list)) if list.len() == levels => match &list[index] {
                Value::Array(each) if each.len() >= layers => {
                    each[..layers].iter().map(number).collect::<Option<_>>().ok_or_else(fail)
                }
                one => number(one).map(|blocks| vec![blocks; layers]).ok_or_else(fail),
            },
            Some(one) => number(one).map(|blocks| vec![blocks; layers]).ok_or_else(fail),
        }
    }

    fn only_cross(&self, level: usize) -> Result<bool, SpaceError> {
        let each = self.options.per_level("only_cross_attention", self.channels.len())?;
        Ok(each.is_some_and(|each: Vec<bool>| each[level]))
    }

    fn unknown(&self, option: &str, kind: &str, side: &str) -> SpaceError {
        let known = match self.class {
            Class::Condition => format!(
                "{side}Block2D, Attn{side}Block2D, CrossAttn{side}Block2D, SimpleCrossAttn{side}Block2D, \
                 Resnet{side}sampleBlock2D"
            ),
            Class::Plain => format!("{side}Block2D, Attn{side}Block2D, Resnet{side}sampleBlock2D"),
        };
        self.options.unsupported(option, kind, &known)
    }
}

fn embedding(
    options: &Options,
    class: Class,
    first: usize,
    activation: Activation,
) -> Result<Embedding, SpaceError> {
    let kind: Option<String> = options.get("time_embedding_type")?;
    if let Some(kind) = kind.filter(|kind| kind != "positional") {
        return Err(options.unsupported("time_embedding_type", &kind, "positional"));
    }
    let class_kind: Option<String> = options.get("class_embed_type")?;
    let table: Option<usize> = options.get("num_class_embeds")?;
    let width: Option<usize> = options.get("projection_class_embeddings_input_dim")?;
    let needs = |kind: &str| options.wrong(format!("{kind} needs projection_class_embeddings_input_dim"));
    let condition = class == Class::Condition;
    let class_embedding = match (class_kind.as_deref(), table) {
        (None, table) => table.map(ClassEmbedding::Table),
        (Some("timestep"), _) => Some(ClassEmbedding::Time),
        (Some("identity"), _) => Some(ClassEmbedding::Identity),
        (Some("projection"), _) if condition => {
            Some(ClassEmbedding::Projection(width.ok_or_else(|| needs("class_embed_type = projection"))?))
        }
        (Some("simple_projection"), _) if condition => {
            Some(ClassEmbedding::Linear(width.ok_or_else(|| needs("class_embed_type = simple_projection"))?))
        }
        (Some(other), _) => {
            let known = if condition {
                "timestep, identity, projection, simple_projection, null"
            } else {
                "timestep, identity, null"
            };
            return Err(options.unsupported("class_embed_type", other, known));
        }
    };
    let added: Option<String> = options.get("addition_embed_type")?;
    let text_time = match added.as_deref() {
        None => None,
        Some("text_time") => {
            let channels = width.ok_or_else(|| needs("addition_embed_type = text_time"))?;
            let time_channels: Option<usize> = options.get("addition_time_embed_dim")?;
            let time_channels = time_channels.ok_or_else(|| {
                options.wrong("addition_embed_type = text_time needs addition_time_embed_dim".into())
            })?;
            if channels <= TIME_IDS * time_channels {
                let message = format!(
                    "projection_class_embeddings_input_dim = {channels} leaves no room for text beside {TIME_IDS} numbers of \
                     {time_channels} channels"
                );
                return Err(options.wrong(message));
            }
            Some(TextTime { time_channels, channels, ids: TIME_IDS })
        }
        Some(other) => return Err(options.unsupported("addition_embed_type", other, "text_time, null")),
    };
    Ok(Embedding {
        channels: options.get("time_embedding_dim")?.unwrap_or(4 * first),
        flip_sin_to_cos: options.get("flip_sin_to_cos")?.unwrap_or(true),
        freq_shift: options.get("freq_shift")?.unwrap_or(0.0),
        // The plain UNet's is fixed.
        activation: if condition { activation } else { Activation::Silu },
        post_activation: options.activation("timestep_post_act")?,
        sum_activation: options.activation("time_embedding_act_fn")?,
        condition: options.get("time_cond_proj_dim")?,
        class: class_embedding,
        concat_class: options.get("class_embeddings_concat")?.unwrap_or(false),
        text_time,
    })
}

impl Options {
    fn number(&self, option: &str, default: usize) -> Result<usize, SpaceError> {
        Ok(self.get(option)?.unwrap_or(default))
    }

    fn activation(&self, option: &str) -> Result<Option<Activation>, SpaceError> {
        let name: Option<String> = self.get(option)?;
        match name.as_deref() {
            None => Ok(None),
            Some("silu" | "swish") => Ok(Some(Activation::Silu)),
            Some("gelu") => Ok(Some(Activation::Gelu)),
            Some("relu") => Ok(Some(Activation::Relu)),
            Some(other) => Err(self.unsupported(option, other, "silu, swish, gelu, relu")),
        }
    }

    /// One value for every level, or a list of one each.
    fn per_level<T: DeserializeOwned + Clone>(
        &self,
        option: &str,
        levels: usize,
    ) -> Result<Option<Vec<T>>, SpaceError> {
        match self.value(option) {
            None => Ok(None),
            Some(value @ Value::Array(_)) => {
                let list: Vec<T> = self.parse(option, value)?;
                if list.len() != levels {
                    return Err(self.wrong(format!("{option} = {value} for {levels} levels")));
                }
                Ok(Some(list))
            }
            Some(value) => Ok(Some(vec![self.parse(option, value)?; levels])),
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

    fn with(option: &str, value: &str) -> Result<UNetConfig, SpaceError> {
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
