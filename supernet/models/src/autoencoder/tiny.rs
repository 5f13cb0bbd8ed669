use serde_json::{Map, Value};
use tnas_graph::{GraphBuilder, Init, Op, ValueId, Weight};

use super::{
    Kind, LatentLayout, LatentScale, bound_latent, from_unit,
    kl::{MOST_LAYERS, MOST_LEVELS},
    to_unit,
    upsample::{Upsample, upsample},
};
use crate::{
    Activation, ModelError,
    backbone::{
        activate, conv3,
        options::{Known, Options},
    },
};

static KNOWN: Known = Known {
    class: "AutoencoderTiny config",
    honoured: &[
        "in_channels",
        "out_channels",
        "encoder_block_out_channels",
        "decoder_block_out_channels",
        "block_out_channels",
        "act_fn",
        "upsample_fn",
        "latent_channels",
        "upsampling_scaling_factor",
        "num_encoder_blocks",
        "num_decoder_blocks",
        "scaling_factor",
        "shift_factor",
    ],
    // Magnitude and shift bring latents to bytes for storage, which neither encoding nor decoding does; everything is
    // computed in f32.
    neutral: &["latent_magnitude", "latent_shift", "force_upcast"],
    fixed: &[],
};

/// The largest enlargement of one stage.
const MOST_FACTOR: usize = 16;

/// diffusers' `AutoencoderTiny` (TAESD by O. Bohan).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tiny {
    in_channels: usize,
    out_channels: usize,
    latent_channels: usize,
    encoder: Side,
    decoder: Side,
    activation: Activation,
    upsample: Upsample,
    /// Enlargement between the decoder's stages.
    factor: usize,
}

/// Encoder or decoder: one width, so many blocks in each stage.
#[derive(Clone, Debug, PartialEq)]
struct Side {
    channels: usize,
    blocks: Vec<usize>,
}

impl Side {
    fn read(options: &Options, side: &str, default: [usize; 4]) -> Result<Self, ModelError> {
        let (widths, counts) = (format!("{side}_block_out_channels"), format!("num_{side}_blocks"));
        let channels: Vec<usize> = options.get(&widths)?.unwrap_or_else(|| vec![64; 4]);
        let blocks: Vec<usize> = options.get(&counts)?.unwrap_or_else(|| default.to_vec());
        if blocks.len() > MOST_LEVELS || blocks.iter().any(|&count| count > MOST_LAYERS) {
            let message = format!("{counts} = {blocks:?}; {MOST_LEVELS} stages of {MOST_LAYERS} are the most");
            return Err(options.wrong(message));
        }
        if channels.len() != blocks.len() || blocks.is_empty() {
            let message = format!("{widths} = {channels:?} has other stages than {counts} = {blocks:?}");
            return Err(options.wrong(message));
        }
        // Each convolution between stages keeps the width, so that diffusers itself cannot run others.
        if channels.iter().any(|&other| other == 0 || other != channels[0]) {
            return Err(options.wrong(format!("{widths} = {channels:?}: one width for all stages is possible")));
        }
        Ok(Self { channels: channels[0], blocks })
    }

    fn stages(&self) -> usize {
        self.blocks.len()
    }
}

impl Tiny {
    pub fn read(map: Map<String, Value>) -> Result<(Kind, LatentScale), ModelError> {
        let options = Options::new(map, &KNOWN)?;
        let this = Self {
            in_channels: options.number("in_channels", 3)?,
            out_channels: options.number("out_channels", 3)?,
            latent_channels: options.number("latent_channels", 4)?,
            encoder: Side::read(&options, "encoder", [1, 3, 3, 3])?,
            decoder: Side::read(&options, "decoder", [3, 3, 3, 1])?,
            activation: options.activation("act_fn")?.unwrap_or(Activation::Relu),
            upsample: Upsample::read(&options)?,
            factor: options.number("upsampling_scaling_factor", 2)?,
        };
        // diffusers writes the decoder's widths once more.
        let again: Option<Vec<usize>> = options.get("block_out_channels")?;
        let widths = vec![this.decoder.channels; this.decoder.stages()];
        if let Some(again) = again.filter(|again| *again != widths) {
            let message = format!("block_out_channels = {again:?}, decoder_block_out_channels = {widths:?}");
            return Err(options.wrong(message));
        }
        for (option, number) in [
            ("in_channels", this.in_channels),
            ("out_channels", this.out_channels),
            ("latent_channels", this.latent_channels),
            ("upsampling_scaling_factor", this.factor),
        ] {
            if number == 0 {
                return Err(options.wrong(format!("{option} must not be 0")));
            }
        }
        if this.factor > MOST_FACTOR {
            let message = format!("upsampling_scaling_factor = {}; {MOST_FACTOR} is the most", this.factor);
            return Err(options.wrong(message));
        }
        let scale = LatentScale::read(&options, this.latent_channels, 1.0)?;
        Ok((Kind::Tiny(this), scale))
    }

    pub fn layout(&self) -> LatentLayout {
        LatentLayout {
            channels: self.latent_channels,
            down: 1 << (self.encoder.stages() - 1),
            up: self.factor.pow(self.decoder.stages() as u32 - 1),
            image: [self.in_channels, self.out_channels],
        }
    }

    pub fn encode(&self, g: &mut GraphBuilder, image: ValueId) -> ValueId {
        let Side { channels, blocks } = &self.encoder;
        let mut x = to_unit(g, "encoder.to_unit", image);
        let mut index = Counter::new("encoder");
        for (stage, &count) in blocks.iter().enumerate() {
            x = match stage {
                0 => conv3(g, &index.next(), x, *channels, 1),
                _ => bare_conv(g, &index.next(), x, *channels, 2),
            };
            x = self.blocks(g, &mut index, x, count);
        }
        conv3(g, &index.next(), x, self.latent_channels, 1)
    }

    pub fn decode(&self, g: &mut GraphBuilder, latent: ValueId) -> ValueId {
        let Side { channels, blocks } = &self.decoder;
        let x = bound_latent(g, "decoder.bound", latent);
        let mut index = Counter::new("decoder");
        let x = conv3(g, &index.next(), x, *channels, 1);
        let mut x = activate(g, &index.next(), x, self.activation);
        for (stage, &count) in blocks.iter().enumerate() {
            x = self.blocks(g, &mut index, x, count);
            x = if stage + 1 < blocks.len() {
                let x = upsample(g, &index.next(), x, self.factor, self.upsample);
                bare_conv(g, &index.next(), x, *channels, 1)
            } else {
                conv3(g, &index.next(), x, self.out_channels, 1)
            };
        }
        from_unit(g, "decoder.from_unit", x)
    }

    fn blocks(&self, g: &mut GraphBuilder, index: &mut Counter, x: ValueId, count: usize) -> ValueId {
        (0..count).fold(x, |x, _| block(g, &index.next(), x, self.activation))
    }
}

/// Names of the layers of a sequence.
struct Counter {
    part: &'static str,
    next: usize,
}

impl Counter {
    fn new(part: &'static str) -> Self {
        Self { part, next: 0 }
    }

    fn next(&mut self) -> String {
        self.next += 1;
        format!("{}.layers.{}", self.part, self.next - 1)
    }
}

/// relu(conv(x) + x) with three convolutions; the last activation is a ReLU whatever the others are.
pub(super) fn block(g: &mut GraphBuilder, path: &str, x: ValueId, activation: Activation) -> ValueId {
    let channels = g.shape(x)[1];
    let h = conv3(g, &format!("{path}.conv.0"), x, channels, 1);
    let h = activate(g, &format!("{path}.conv.1"), h, activation);
    let h = conv3(g, &format!("{path}.conv.2"), h, channels, 1);
    let h = activate(g, &format!("{path}.conv.3"), h, activation);
    let h = conv3(g, &format!("{path}.conv.4"), h, channels, 1);
    let h = g.add(&format!("{path}.skip"), h, x);
    g.relu(&format!("{path}.fuse"), h)
}

/// 3×3 convolution without bias.
fn bare_conv(g: &mut GraphBuilder, path: &str, x: ValueId, channels: usize, stride: usize) -> ValueId {
    let weight = Weight::new(format!("{path}.weight"), &[channels, g.shape(x)[1], 3, 3], Init::FanIn);
    g.node(path, Op::Conv2d { weight, bias: None, stride: [stride; 2], padding: [1; 4], groups: 1 }, &[x])
}
