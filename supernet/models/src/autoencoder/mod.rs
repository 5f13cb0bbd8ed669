//! Image autoencoders: `AutoencoderKL` and `AutoencoderTiny` of diffusers by their configs, and the sequences of the TAESD
//! family by their tensors.

mod kl;
mod latent_scale;
mod sequence;
mod tiny;
mod upsample;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tnas_graph::{Dtype, Graph, GraphBuilder, ValueId};

use self::{kl::Kl, latent_scale::LatentScale, sequence::Sequence, tiny::Tiny};
use crate::{ModelError, backbone::options};

const CONFIG: &str = "autoencoder config";

/// An image autoencoder. Images are −1 to 1 and latents as a denoiser sees them, whatever its kind keeps inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoencoder {
    kind: Kind,
    scale: LatentScale,
    /// Decoded images are clamped to −1 to 1.
    clamps: bool,
    /// The config as it was read.
    options: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Kl(Kl),
    Tiny(Tiny),
    Sequence(Sequence),
}

/// Sizes of latents and images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentLayout {
    /// Channels of a latent.
    pub channels: usize,
    /// Image rows per latent row.
    pub down: usize,
    /// Rows of the decoded image per latent row.
    pub up: usize,
    /// Channels of an image before and after.
    pub image: [usize; 2],
}

impl Autoencoder {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| options::wrong(CONFIG, error.to_string()))?;
        let class = map.get("_class_name").and_then(Value::as_str);
        let tiny = map.contains_key("encoder_block_out_channels");
        let (kind, scale) = match class {
            Some("AutoencoderTiny") => Tiny::read(map.clone()),
            None if tiny => Tiny::read(map.clone()),
            None | Some("AutoencoderKL") => Kl::read(map.clone()),
            Some(other) => {
                let message = format!("_class_name = {other:?}; known are AutoencoderKL and AutoencoderTiny");
                Err(options::wrong(CONFIG, message))
            }
        }?;
        Ok(Self { kind, scale, clamps: true, options: map })
    }

    /// Reads the geometry of a TAESD sequence (`encoder.N…`, `decoder.N…`) off tensor names and shapes.
    pub fn from_shapes(shapes: BTreeMap<String, Vec<usize>>) -> Result<Self, ModelError> {
        let kind = Kind::Sequence(Sequence::from_shapes(shapes)?);
        Ok(Self { kind, scale: LatentScale::default(), clamps: true, options: Map::new() })
    }

    /// The config as it was read; a sequence has none.
    pub fn to_json(&self) -> Option<String> {
        (!self.options.is_empty()).then(|| format!("{:#}\n", Value::Object(self.options.clone())))
    }

    /// The bare networks, as their class computes them: latents without scale and shift, decoded images not clamped.
    pub fn bare(self) -> Self {
        Self { scale: LatentScale::default(), clamps: false, ..self }
    }

    /// Size of its latents.
    pub fn layout(&self) -> LatentLayout {
        match &self.kind {
            Kind::Kl(kl) => kl.layout(),
            Kind::Tiny(tiny) => tiny.layout(),
            Kind::Sequence(sequence) => sequence.layout(),
        }
    }

    /// `image` `[B, 3, H, W]`, −1 to 1, to `latent` `[B, C, H/d, W/d]`: the mean where a distribution is encoded.
    pub fn encoder(&self, batch: usize, height: usize, width: usize) -> Result<Graph, ModelError> {
        let mut g = GraphBuilder::new();
        let x = self.image_input(&mut g, batch, height, width);
        let x = self.encode(&mut g, x)?;
        Ok(g.finish(&[("latent", x)])?)
    }

    /// `latent` `[B, C, h, w]` to `image` `[B, 3, h·d, w·d]`, −1 to 1.
    pub fn decoder(&self, batch: usize, height: usize, width: usize) -> Result<Graph, ModelError> {
        let mut g = GraphBuilder::new();
        let x = g.input("latent", &[batch, self.layout().channels, height, width], Dtype::F32);
        let x = self.decode(&mut g, x)?;
        Ok(g.finish(&[("image", x)])?)
    }

    /// `image` to `latent` and to what `image` it is decoded to.
    pub fn round_trip(&self, batch: usize, height: usize, width: usize) -> Result<Graph, ModelError> {
        let mut g = GraphBuilder::new();
        let x = self.image_input(&mut g, batch, height, width);
        let latent = self.encode(&mut g, x)?;
        let image = self.decode(&mut g, latent)?;
        Ok(g.finish(&[("latent", latent), ("image", image)])?)
    }

    fn image_input(&self, g: &mut GraphBuilder, batch: usize, height: usize, width: usize) -> ValueId {
        g.input("image", &[batch, self.layout().image[0], height, width], Dtype::F32)
    }

    fn encode(&self, g: &mut GraphBuilder, image: ValueId) -> Result<ValueId, ModelError> {
        let latent = match &self.kind {
            Kind::Kl(kl) => kl.encode(g, image),
            Kind::Tiny(tiny) => tiny.encode(g, image),
            Kind::Sequence(sequence) => sequence.encode(g, image)?,
        };
        Ok(self.scale.to_denoiser(g, latent))
    }

    fn decode(&self, g: &mut GraphBuilder, latent: ValueId) -> Result<ValueId, ModelError> {
        let latent = self.scale.to_decoder(g, latent);
        let image = match &self.kind {
            Kind::Kl(kl) => kl.decode(g, latent),
            Kind::Tiny(tiny) => tiny.decode(g, latent),
            Kind::Sequence(sequence) => sequence.decode(g, latent)?,
        };
        Ok(if self.clamps { clamp(g, image) } else { image })
    }
}

/// To [−1, 1]: 1 − relu(2 − relu(x + 1)).
fn clamp(g: &mut GraphBuilder, x: ValueId) -> ValueId {
    let x = g.affine("clamp.from_low", x, 1.0, 1.0);
    let x = g.relu("clamp.low", x);
    let x = g.affine("clamp.from_high", x, -1.0, 2.0);
    let x = g.relu("clamp.high", x);
    g.affine("clamp", x, -1.0, 1.0)
}

/// [−1, 1] to [0, 1].
fn to_unit(g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
    g.affine(path, x, 0.5, 0.5)
}

/// [0, 1] to [−1, 1].
fn from_unit(g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
    g.affine(path, x, 2.0, -1.0)
}

/// tanh(x/3)·3, which bounds the latents of the TAESD family.
fn bound_latent(g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
    let x = g.affine(&format!("{path}.in"), x, 1.0 / 3.0, 0.0);
    let x = g.node(path, tnas_graph::Op::Tanh, &[x]);
    g.affine(&format!("{path}.out"), x, 3.0, 0.0)
}
