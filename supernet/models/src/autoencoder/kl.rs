use serde_json::{Map, Value};
use tnas_graph::{GraphBuilder, Init, Op, ValueId};

use super::{Kind, LatentLayout, LatentScale};
use crate::{
    Activation, ModelError,
    backbone::{
        PixelAttention, ResnetSettings, conv3, halving,
        options::{Known, Options},
        pixel_attention, resnet,
    },
};

static KNOWN: Known = Known {
    class: "AutoencoderKL config",
    honoured: &[
        "in_channels",
        "out_channels",
        "down_block_types",
        "up_block_types",
        "block_out_channels",
        "layers_per_block",
        "act_fn",
        "latent_channels",
        "norm_num_groups",
        "scaling_factor",
        "shift_factor",
        "latents_mean",
        "latents_std",
        "use_quant_conv",
        "use_post_quant_conv",
        "mid_block_add_attention",
    ],
    // The size is for tiling; everything is computed in f32.
    neutral: &["sample_size", "force_upcast"],
    fixed: &[],
};

/// Added to the variance of every norm.
const EPS: f32 = 1e-6;

/// Bounds, for a hostile config must not ask for networks of no end.
pub(super) const MOST_LEVELS: usize = 10;
pub(super) const MOST_LAYERS: usize = 100;

/// diffusers' `AutoencoderKL` (Rombach et al. 2022).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kl {
    in_channels: usize,
    out_channels: usize,
    latent_channels: usize,
    /// Widths by level, full resolution first.
    channels: Vec<usize>,
    /// Whether a down block has attention, by level.
    down_attention: Vec<bool>,
    /// Whether an up block has, lowest resolution first.
    up_attention: Vec<bool>,
    mid_attention: bool,
    /// Resnets of a down block; up blocks have one more.
    layers: usize,
    groups: usize,
    activation: Activation,
    quant: bool,
    post_quant: bool,
}

/// The resnets of a down or up block, each with an attention behind it or none.
struct BlockLayers {
    channels: usize,
    layers: usize,
    attention: bool,
}

impl Kl {
    pub fn read(map: Map<String, Value>) -> Result<(Kind, LatentScale), ModelError> {
        let options = Options::new(map, &KNOWN)?;
        let channels: Vec<usize> = options.get("block_out_channels")?.unwrap_or_else(|| vec![64]);
        let switch = |option: &str| Ok::<_, ModelError>(options.get(option)?.unwrap_or(true));
        let this = Self {
            in_channels: options.number("in_channels", 3)?,
            out_channels: options.number("out_channels", 3)?,
            latent_channels: options.number("latent_channels", 4)?,
            down_attention: block_types(&options, "down_block_types", "DownEncoderBlock2D", channels.len())?,
            up_attention: block_types(&options, "up_block_types", "UpDecoderBlock2D", channels.len())?,
            mid_attention: switch("mid_block_add_attention")?,
            layers: options.number("layers_per_block", 1)?,
            groups: options.number("norm_num_groups", 32)?,
            activation: options.activation("act_fn")?.unwrap_or(Activation::Silu),
            quant: switch("use_quant_conv")?,
            post_quant: switch("use_post_quant_conv")?,
            channels,
        };
        this.check(&options)?;
        let scale = LatentScale::read(&options, this.latent_channels, 0.18215)?;
        Ok((Kind::Kl(this), scale))
    }

    fn check(&self, options: &Options) -> Result<(), ModelError> {
        for (option, number) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
            ("layers_per_block", self.layers),
            ("norm_num_groups", self.groups),
            ("block_out_channels", self.channels.iter().copied().min().unwrap_or(0)),
        ] {
            if number == 0 {
                return Err(options.wrong(format!("{option} must not be 0 or empty")));
            }
        }
        let (levels, layers) = (self.channels.len(), self.layers);
        if levels > MOST_LEVELS || layers > MOST_LAYERS {
            return Err(options.wrong(format!(
                "{levels} levels of layers_per_block = {layers}; {MOST_LEVELS} of {MOST_LAYERS} are the most"
            )));
        }
        match self.channels.iter().find(|&&channels| channels % self.groups != 0) {
            Some(channels) => {
                let message = format!("norm_num_groups = {} does not divide {channels} channels", self.groups);
                Err(options.wrong(message))
            }
            None => Ok(()),
        }
    }

    pub fn layout(&self) -> LatentLayout {
        let down = 1 << (self.channels.len() - 1);
        LatentLayout {
            channels: self.latent_channels,
            down,
            up: down,
            image: [self.in_channels, self.out_channels],
        }
    }

    /// The mean of the distribution of latents.
    pub fn encode(&self, g: &mut GraphBuilder, image: ValueId) -> ValueId {
        let mut x = conv3(g, "encoder.conv_in", image, self.channels[0], 1);
        for (level, &channels) in self.channels.iter().enumerate() {
            let path = format!("encoder.down_blocks.{level}");
            let block = BlockLayers { channels, layers: self.layers, attention: self.down_attention[level] };
            x = self.layers(g, &path, x, &block);
            if level + 1 < self.channels.len() {
                x = halving(g, &format!("{path}.downsamplers.0.conv"), x, channels, 0);
            }
        }
        x = self.middle(g, "encoder.mid_block", x);
        x = self.last(g, "encoder", x, 2 * self.latent_channels);
        if self.quant {
            x = conv1(g, "quant_conv", x);
        }
        g.slice("posterior.mean", x, 1, 0, self.latent_channels)
    }

    pub fn decode(&self, g: &mut GraphBuilder, latent: ValueId) -> ValueId {
        let mut x = latent;
        if self.post_quant {
            x = conv1(g, "post_quant_conv", x);
        }
        let levels = self.channels.len();
        x = conv3(g, "decoder.conv_in", x, self.channels[levels - 1], 1);
        x = self.middle(g, "decoder.mid_block", x);
        for (index, &channels) in self.channels.iter().rev().enumerate() {
            let path = format!("decoder.up_blocks.{index}");
            let block = BlockLayers { channels, layers: self.layers + 1, attention: self.up_attention[index] };
            x = self.layers(g, &path, x, &block);
            if index + 1 < levels {
                let size = [2 * g.shape(x)[2], 2 * g.shape(x)[3]];
                x = g.node(&format!("{path}.upsamplers.0.resize"), Op::ResizeNearest { size }, &[x]);
                x = conv3(g, &format!("{path}.upsamplers.0.conv"), x, channels, 1);
            }
        }
        self.last(g, "decoder", x, self.out_channels)
    }

    fn layers(&self, g: &mut GraphBuilder, path: &str, mut x: ValueId, block: &BlockLayers) -> ValueId {
        for layer in 0..block.layers {
            x = self.resnet(g, &format!("{path}.resnets.{layer}"), x, block.channels);
            if block.attention {
                x = self.attention(g, &format!("{path}.attentions.{layer}"), x);
            }
        }
        x
    }

    fn middle(&self, g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
        let channels = g.shape(x)[1];
        let mut x = self.resnet(g, &format!("{path}.resnets.0"), x, channels);
        if self.mid_attention {
            x = self.attention(g, &format!("{path}.attentions.0"), x);
        }
        self.resnet(g, &format!("{path}.resnets.1"), x, channels)
    }

    /// Norm, SiLU whatever the config's activation, convolution.
    fn last(&self, g: &mut GraphBuilder, part: &str, x: ValueId, channels: usize) -> ValueId {
        let x = g.group_norm(&format!("{part}.conv_norm_out"), x, self.groups, EPS);
        let x = g.silu(&format!("{part}.conv_act"), x);
        conv3(g, &format!("{part}.conv_out"), x, channels, 1)
    }

    fn resnet(&self, g: &mut GraphBuilder, path: &str, x: ValueId, channels: usize) -> ValueId {
        let settings = ResnetSettings::new(channels, self.groups, EPS, 1);
        resnet(g, path, x, None, &ResnetSettings { activation: self.activation, ..settings })
    }

    /// One head over all pixels.
    fn attention(&self, g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
        let depth = g.shape(x)[1];
        let norm = Some((self.groups, EPS));
        pixel_attention(g, path, x, &PixelAttention { heads: 1, depth, norm, out_scale: 1.0, text: None })
    }
}

/// Whether each block of a side has attention.
fn block_types(options: &Options, option: &str, plain: &str, levels: usize) -> Result<Vec<bool>, ModelError> {
    let kinds: Vec<String> = options.get(option)?.unwrap_or_else(|| vec![plain.into()]);
    if kinds.len() != levels {
        let message = format!("{option} has {} entries, block_out_channels {levels}", kinds.len());
        return Err(options.wrong(message));
    }
    let with = format!("Attn{plain}");
    let has_attention = |kind: &String| match kind.as_str() {
        kind if kind == plain => Ok(false),
        kind if kind == with => Ok(true),
        other => Err(options.unsupported(option, other, &format!("{plain}, {with}"))),
    };
    kinds.iter().map(has_attention).collect()
}

fn conv1(g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
    let channels = g.shape(x)[1];
    g.conv2d(path, x, channels, [1, 1], [1, 1], [0, 0], Init::FanIn)
}
