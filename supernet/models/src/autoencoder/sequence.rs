use std::collections::BTreeMap;

use tnas_graph::{GraphBuilder, Init, Op, ValueId, Weight};

use super::{LatentLayout, bound_latent, from_unit, tiny, to_unit};
use crate::{Activation, ModelError};

/// An image autoencoder of the TAESD family (`nn.Sequential` keys `encoder.N…`, `decoder.N…`), its geometry read off
/// its tensors' shapes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sequence {
    shapes: BTreeMap<String, Vec<usize>>,
    layout: LatentLayout,
}

/// A layer of the sequence, recognised by its tensors.
enum Layer {
    Conv { stride: usize, bias: bool },
    Block { pool: bool },
    Relu,
    Up,
    Clamp,
}

impl Sequence {
    /// Reads the geometry off tensor names and shapes.
    pub fn from_shapes(shapes: BTreeMap<String, Vec<usize>>) -> Result<Self, ModelError> {
        let layout = LatentLayout { channels: 0, down: 1, up: 1, image: [0, 0] };
        let mut this = Self { shapes, layout };
        let halves = |layer: &&Layer| matches!(layer, Layer::Conv { stride: 2, .. });
        let halvings = this.encoder_layers()?.iter().filter(halves).count();
        let doublings = this.decoder_layers()?.iter().filter(|layer| matches!(layer, Layer::Up)).count();
        let last = |part: &str| this.conv_shape(part, this.last_index(part)?);
        this.layout = LatentLayout {
            channels: last("encoder")?[0],
            down: power_of_two(halvings)?,
            up: power_of_two(doublings)?,
            image: [this.conv_shape("encoder", 0)?[1], last("decoder")?[0]],
        };
        Ok(this)
    }

    /// Size of its latents.
    pub fn layout(&self) -> LatentLayout {
        self.layout
    }

    /// Images are 0 to 1 inside.
    pub fn encode(&self, g: &mut GraphBuilder, image: ValueId) -> Result<ValueId, ModelError> {
        let x = to_unit(g, "encoder.to_unit", image);
        self.sequence(g, "encoder", self.encoder_layers()?, x)
    }

    pub fn decode(&self, g: &mut GraphBuilder, latent: ValueId) -> Result<ValueId, ModelError> {
        let x = self.sequence(g, "decoder", self.decoder_layers()?, latent)?;
        Ok(from_unit(g, "decoder.from_unit", x))
    }

    /// Convolutions without bias inside the encoder halve the image.
    fn encoder_layers(&self) -> Result<Vec<Layer>, ModelError> {
        let last = self.last_index("encoder")?;
        (0..=last).map(|index| self.layer("encoder", index, |bias| if bias { 1 } else { 2 })).collect()
    }

    /// Keys leave gaps where layers have no weights: the clamp first, a ReLU after the first convolution, and an
    /// enlargement before each convolution without bias.
    fn decoder_layers(&self) -> Result<Vec<Layer>, ModelError> {
        let last = self.last_index("decoder")?;
        let mut layers = Vec::new();
        for index in 0..=last {
            let layer = match index {
                0 if !self.has("decoder", 0) => Layer::Clamp,
                2 if !self.has("decoder", 2) => Layer::Relu,
                _ if !self.has("decoder", index) => Layer::Up,
                _ => self.layer("decoder", index, |_| 1)?,
            };
            layers.push(layer);
        }
        Ok(layers)
    }

    fn layer(&self, part: &str, index: usize, stride: impl Fn(bool) -> usize) -> Result<Layer, ModelError> {
        let key = |suffix: &str| self.shapes.contains_key(&format!("{part}.{index}.{suffix}"));
        if key("weight") {
            let bias = key("bias");
            return Ok(Layer::Conv { stride: stride(bias), bias });
        }
        if key("conv.0.weight") {
            return Ok(Layer::Block { pool: key("pool.0.weight") });
        }
        Err(missing(&format!("{part}.{index}")))
    }

    fn sequence(
        &self,
        g: &mut GraphBuilder,
        part: &str,
        layers: Vec<Layer>,
        mut x: ValueId,
    ) -> Result<ValueId, ModelError> {
        for (index, layer) in layers.iter().enumerate() {
            let path = format!("{part}.{index}");
            x = match layer {
                Layer::Clamp => bound_latent(g, &path, x),
                Layer::Relu => g.relu(&path, x),
                Layer::Up => {
                    let size = [2 * g.shape(x)[2], 2 * g.shape(x)[3]];
                    g.node(&path, Op::ResizeNearest { size }, &[x])
                }
                Layer::Conv { stride, bias } => self.conv(g, &path, x, *stride, *bias)?,
                Layer::Block { pool } => self.block(g, &path, x, *pool)?,
            };
        }
        Ok(x)
    }

    /// relu(conv(x) + x) with three convolutions; `pool` adds a normalised 1×1 mixing first.
    fn block(&self, g: &mut GraphBuilder, path: &str, x: ValueId, pool: bool) -> Result<ValueId, ModelError> {
        let mut x = x;
        if pool {
            let h = self.conv(g, &format!("{path}.pool.0"), x, 1, false)?;
            let h = g.group_norm(&format!("{path}.pool.1"), h, 4, 1e-5);
            let h = g.relu(&format!("{path}.pool.2"), h);
            let h = self.conv(g, &format!("{path}.pool.3"), h, 1, false)?;
            x = g.add(&format!("{path}.pool"), x, h);
        }
        Ok(tiny::block(g, path, x, Activation::Relu))
    }

    fn conv(
        &self,
        g: &mut GraphBuilder,
        path: &str,
        x: ValueId,
        stride: usize,
        bias: bool,
    ) -> Result<ValueId, ModelError> {
        let name = format!("{path}.weight");
        let shape = self.shapes.get(&name).ok_or_else(|| missing(&name))?;
        let &[out, _, kernel, _] = &shape[..] else { return Err(missing(&name)) };
        let weight = Weight::new(name, shape, Init::FanIn);
        let bias = bias.then(|| Weight::new(format!("{path}.bias"), &[out], Init::Zeros));
        let padding = [kernel / 2; 4];
        Ok(g.node(path, Op::Conv2d { weight, bias, stride: [stride; 2], padding, groups: 1 }, &[x]))
    }

    fn has(&self, part: &str, index: usize) -> bool {
        let front = format!("{part}.{index}.");
        self.shapes.keys().any(|name| name.starts_with(&front))
    }

    fn last_index(&self, part: &str) -> Result<usize, ModelError> {
        let index = |name: &String| name.strip_prefix(part)?.strip_prefix('.')?.split('.').next()?.parse().ok();
        // Bounded: a hostile key must not make a sequence of millions.
        let last: Option<usize> = self.shapes.keys().filter_map(index).max();
        last.filter(|&last| last < 1000).ok_or_else(|| missing(part))
    }

    fn conv_shape(&self, part: &str, index: usize) -> Result<&[usize; 4], ModelError> {
        let name = format!("{part}.{index}.weight");
        let shape = self.shapes.get(&name).and_then(|shape| shape.as_slice().try_into().ok());
        shape.ok_or_else(|| missing(&name))
    }
}

/// Bounded: a hostile file must not ask for images of no end.
fn power_of_two(count: usize) -> Result<usize, ModelError> {
    if count > 10 {
        let message = format!("{count} changes of size by 2 in a row");
        return Err(ModelError::Config { config: "autoencoder", message });
    }
    Ok(1 << count)
}

fn missing(name: &str) -> ModelError {
    let message = format!("{name} is missing or misshapen; keys of a TAESD autoencoder were expected");
    ModelError::Config { config: "autoencoder", message }
}
