use tnas_graph::{Dtype, Graph, GraphBuilder, Init, Op, ValueId};

use super::UNetConfig;
use crate::{Genotype, Insertion, Slot, SlotInfo, SpaceError, temporal_prefix};

/// An image UNet with slots for temporal operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Backbone {
    /// Its config.
    pub config: UNetConfig,
}

/// What a denoiser is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DenoiserShape {
    /// Clips.
    pub batch: usize,
    /// Frames of a clip; 1 for images.
    pub frames: usize,
    /// Rows of the sample.
    pub height: usize,
    /// Columns of the sample.
    pub width: usize,
    /// Text tokens.
    pub tokens: usize,
}

impl Backbone {
    /// A backbone of this config.
    pub fn new(config: UNetConfig) -> Self {
        Self { config }
    }

    /// Its slots, in the order in which data flows.
    pub fn slots(&self) -> Vec<SlotInfo> {
        let config = &self.config;
        let mut slots = Vec::new();
        let mut add = |name: String, level: usize| {
            slots.push(SlotInfo { slot: Slot::new(name), channels: config.block_out_channels[level], level });
        };
        add("in".into(), 0);
        let last = config.levels() - 1;
        for level in 0..=last {
            for layer in 0..config.layers_per_block {
                add(format!("down.{level}.{layer}.r"), level);
                if config.down_attention[level] {
                    add(format!("down.{level}.{layer}.a"), level);
                }
            }
        }
        if config.mid_block {
            for name in ["mid.0.r", "mid.0.a", "mid.1.r"] {
                add(name.into(), last);
            }
        }
        for index in 0..=last {
            for layer in 0..=config.layers_per_block {
                add(format!("up.{index}.{layer}.r"), last - index);
                if config.up_attention[index] {
                    add(format!("up.{index}.{layer}.a"), last - index);
                }
            }
        }
        slots
    }

    /// The denoiser: `sample` `[B, C, F, H, W]`, `timestep` `[B]` and `encoder_hidden_states` `[B, L, X]` to `out`,
    /// shaped as `sample`.
    pub fn denoiser(&self, genotype: &Genotype, shape: DenoiserShape) -> Result<Graph, SpaceError> {
        self.check_slots(genotype)?;
        let mut g = GraphBuilder::new();
        let DenoiserShape { batch, frames, height, width, .. } = shape;
        let mut unet = UNetBuilder::inputs(&mut g, &self.config, genotype, shape);
        let (mut x, mut skips, _) = unet.encode();
        x = unet.middle(x);
        for index in 0..self.config.levels() {
            x = unet.up_block(index, x, &mut skips);
        }
        let x = g.group_norm("conv_norm_out", x, self.config.norm_num_groups, self.config.norm_eps);
        let x = g.silu("conv_act", x);
        let x = g.conv2d("conv_out", x, self.config.out_channels, [3, 3], [1, 1], [1, 1], Init::FanIn);
        let out = [batch, frames, self.config.out_channels, height, width];
        let x = g.reshape("out.split", x, &out);
        let x = g.transpose("out.to_clips", x, &[0, 2, 1, 3, 4]); // [B, C, F, H, W]
        Ok(g.finish(&[("out", x)])?)
    }

    /// An error where the genotype names a slot that is not there.
    pub fn check_slots(&self, genotype: &Genotype) -> Result<(), SpaceError> {
        let slots = self.slots();
        for (slot, choice) in genotype.insertions() {
            if !slots.iter().any(|info| info.slot == *slot) {
                let known: Vec<&str> = slots.iter().map(|info| info.slot.as_str()).collect();
                let (what, slots) = (choice.to_string(), known.join(", "));
                return Err(SpaceError::Slot { what, slot: slot.to_string(), slots });
            }
        }
        Ok(())
    }
}

/// Builds the parts of a UNet into a graph; the discriminator uses the encoder's half of it.
pub(crate) struct UNetBuilder<'a> {
    pub g: &'a mut GraphBuilder,
    pub config: &'a UNetConfig,
    genotype: &'a Genotype,
    sample: ValueId,
    pub context: ValueId,
    /// Time embedding after silu `[B, 4·C₀]`.
    pub embedding: ValueId,
    pub batch: usize,
    pub frames: usize,
}

impl<'a> UNetBuilder<'a> {
    /// Declares the denoiser's inputs and embeds the time.
    pub fn inputs(
        g: &'a mut GraphBuilder,
        config: &'a UNetConfig,
        genotype: &'a Genotype,
        shape: DenoiserShape,
    ) -> Self {
        let DenoiserShape { batch, frames, height, width, tokens } = shape;
        let sample = g.input("sample", &[batch, config.in_channels, frames, height, width], Dtype::F32);
        let timestep = g.input("timestep", &[batch], Dtype::F32);
        let context = g.input("encoder_hidden_states", &[batch, tokens, config.cross_attention_dim], Dtype::F32);
        let embedding = time_embedding(g, config, timestep);
        Self { g, config, genotype, sample, context, embedding, batch, frames }
    }

    /// `conv_in` and the down blocks: the last value, the skips, and each block's feature before its halving.
    pub fn encode(&mut self) -> (ValueId, Vec<ValueId>, Vec<ValueId>) {
        let [batch, channels, frames, height, width] = self.g.shape(self.sample)[..] else {
            return (self.sample, Vec::new(), Vec::new());
        };
        let x = if frames == 1 {
            self.sample
        } else {
            self.g.transpose("sample.to_frames", self.sample, &[0, 2, 1, 3, 4])
        };
        let x = self.g.reshape("sample.images", x, &[batch * frames, channels, height, width]);
        let width0 = self.config.block_out_channels[0];
        let x = self.g.conv2d("conv_in", x, width0, [3, 3], [1, 1], [1, 1], Init::FanIn);
        let mut x = self.insert("in", x);
        let (mut skips, mut features) = (vec![x], Vec::new());
        for level in 0..self.config.levels() {
            let feature;
            (x, feature) = self.down_block(level, x, &mut skips);
            features.push(feature);
        }
        (x, skips, features)
    }

    /// The middle block, where there is one.
    pub fn middle(&mut self, x: ValueId) -> ValueId {
        if self.config.mid_block { self.mid_block(x) } else { x }
    }

    /// What the genotype puts at a slot.
    pub(super) fn insert(&mut self, slot: &str, x: ValueId) -> ValueId {
        let slot = Slot::new(slot);
        let at = Insertion { batch: self.batch, frames: self.frames, norm_groups: self.config.norm_num_groups };
        self.genotype.choice(&slot).build(self.g, &temporal_prefix(&slot), &at, x)
    }
}

fn time_embedding(g: &mut GraphBuilder, config: &UNetConfig, timestep: ValueId) -> ValueId {
    let channels = config.block_out_channels[0];
    let sinusoid =
        Op::Sinusoid { channels, flip_sin_to_cos: config.flip_sin_to_cos, frequency_shift: config.freq_shift };
    let e = g.node("time_proj", sinusoid, &[timestep]);
    let e = g.linear("time_embedding.linear_1", e, 4 * channels, true, Init::FanIn);
    let e = g.silu("time_embedding.act", e);
    let e = g.linear("time_embedding.linear_2", e, 4 * channels, true, Init::FanIn);
    // Every resnet takes silu of the embedding: once is enough.
    g.silu("time_embedding.silu", e)
}
