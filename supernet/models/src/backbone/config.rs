//! The geometry of a UNet, block by block.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

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
    /// Resnets and transformers have halves over frames, as those of Stable Video Diffusion.
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
    /// The class's embedding is concatenated with the time's instead of being added.
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

impl UNetConfig {
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
    pub(super) fn blocks(&self) -> usize {
        match self {
            Self::Transformer { blocks, .. } => blocks.iter().sum(),
            _ => 0,
        }
    }

    pub(super) fn reads_text(&self) -> bool {
        matches!(self, Self::Transformer { .. } | Self::AddedKeys { .. })
    }

    pub(super) fn heads(&self) -> Option<usize> {
        match *self {
            Self::None => None,
            Self::Pixels { heads, .. } | Self::Transformer { heads, .. } | Self::AddedKeys { heads, .. } => {
                Some(heads)
            }
        }
    }
}
