use std::collections::BTreeMap;

use tnas_graph::{Dtype, Graph, GraphBuilder, Init, Op, ValueId, Weight};

use crate::SpaceError;

/// An image autoencoder of the TAESD family (`nn.Sequential` keys `encoder.N…`, `decoder.N…`), its geometry read off
/// its tensors' shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoencoder {
    shapes: BTreeMap<String, Vec<usize>>,
    layout: LatentLayout,
}

/// Size of latents beside images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentLayout {
    /// Channels of a latent.
    pub channels: usize,
    /// Image rows per latent row.
    pub down: usize,
}

/// A layer of the sequence, told by its tensors.
enum Layer {
    Conv { stride: usize, bias: bool },
    Block { pool: bool },
    Relu,
    Up,
    Clamp,
}

impl Autoencoder {
    /// Reads the geometry off tensor names and shapes.
    pub fn from_shapes(shapes: BTreeMap<String, Vec<usize>>) -> Result<Self, SpaceError> {
        let mut this = Self { shapes, layout: LatentLayout { channels: 0, down: 1 } };
        let last = this.last_index("encoder")?;
        let latent = this.conv_shape("encoder", last)?.first().copied();
        let halvings = this.encoder_layers()?.iter().filter(|l| matches!(l, Layer::Conv { stride: 2, .. })).count();
        this.layout = LatentLayout { channels: latent.unwrap_or(0), down: 1 << halvings };
        Ok(this)
    }

    /// Size of its latents.
    pub fn layout(&self) -> LatentLayout {
        self.layout
    }

    /// `image` `[B, 3, H, W]` in [0, 1] to `latent` `[B, C, H/d, W/d]`.
    pub fn encoder(&self, batch: usize, height: usize, width: usize) -> Result<Graph, SpaceError> {
        let mut g = GraphBuilder::new();
        let x = g.input("image", &[batch, 3, height, width], Dtype::F32);
        let x = self.sequence(&mut g, "encoder", self.encoder_layers()?, x)?;
        Ok(g.finish(&[("latent", x)])?)
    }

    /// `latent` `[B, C, h, w]` to `image` `[B, 3, h·d, w·d]`, about [0, 1].
    pub fn decoder(&self, batch: usize, height: usize, width: usize) -> Result<Graph, SpaceError> {
        let mut g = GraphBuilder::new();
        let x = g.input("latent", &[batch, self.layout.channels, height, width], Dtype::F32);
        let x = self.sequence(&mut g, "decoder", self.decoder_layers()?, x)?;
        Ok(g.finish(&[("image", x)])?)
    }

    /// Convolutions without bias inside the encoder halve the image.
    fn encoder_layers(&self) -> Result<Vec<Layer>, SpaceError> {
        let last = self.last_index("encoder")?;
        (0..=last).map(|index| self.layer("encoder", index, |bias| if bias { 1 } else { 2 })).collect()
    }

    /// Keys leave gaps where layers have no weights: the clamp first, a ReLU after the first convolution, and an
    /// enlargement before each convolution without bias.
    fn decoder_layers(&self) -> Result<Vec<Layer>, SpaceError> {
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

    fn layer(&self, part: &str, index: usize, stride: impl Fn(bool) -> usize) -> Result<Layer, SpaceError> {
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
    ) -> Result<ValueId, SpaceError> {
        for (index, layer) in layers.iter().enumerate() {
            let path = format!("{part}.{index}");
            x = match layer {
                Layer::Clamp => {
                    // tanh(x/3)·3
                    let x = g.affine(&format!("{path}.in"), x, 1.0 / 3.0, 0.0);
                    let x = g.node(&path, Op::Tanh, &[x]);
                    g.affine(&format!("{path}.out"), x, 3.0, 0.0)
                }
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
    fn block(&self, g: &mut GraphBuilder, path: &str, x: ValueId, pool: bool) -> Result<ValueId, SpaceError> {
        let mut x = x;
        if pool {
            let h = self.conv(g, &format!("{path}.pool.0"), x, 1, false)?;
            let h = g.group_norm(&format!("{path}.pool.1"), h, 4, 1e-5);
            let h = g.relu(&format!("{path}.pool.2"), h);
            let h = self.conv(g, &format!("{path}.pool.3"), h, 1, false)?;
            x = g.add(&format!("{path}.pool"), x, h);
        }
        let h = self.conv(g, &format!("{path}.conv.0"), x, 1, true)?;
        let h = g.relu(&format!("{path}.conv.1"), h);
        let h = self.conv(g, &format!("{path}.conv.2"), h, 1, true)?;
        let h = g.relu(&format!("{path}.conv.3"), h);
        let h = self.conv(g, &format!("{path}.conv.4"), h, 1, true)?;
        let h = g.add(&format!("{path}.skip"), h, x);
        Ok(g.relu(&format!("{path}.fuse"), h))
    }

    fn conv(
        &self,
        g: &mut GraphBuilder,
        path: &str,
        x: ValueId,
        stride: usize,
        bias: bool,
    ) -> Result<ValueId, SpaceError> {
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

    fn last_index(&self, part: &str) -> Result<usize, SpaceError> {
        let index = |name: &String| name.strip_prefix(part)?.strip_prefix('.')?.split('.').next()?.parse().ok();
        // Bounded: a hostile key must not make a sequence of millions.
        let last: Option<usize> = self.shapes.keys().filter_map(index).max();
        last.filter(|&last| last < 1000).ok_or_else(|| missing(part))
    }

    fn conv_shape(&self, part: &str, index: usize) -> Result<&[usize], SpaceError> {
        let name = format!("{part}.{index}.weight");
        self.shapes.get(&name).map(Vec::as_slice).ok_or_else(|| missing(&name))
    }
}

fn missing(name: &str) -> SpaceError {
    let message = format!("{name} is missing or misshapen; keys of a TAESD autoencoder were expected");
    SpaceError::Config { config: "autoencoder", message }
}
