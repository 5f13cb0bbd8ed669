use std::sync::Arc;

use tnas_graph::{Dtype, Graph, GraphBuilder, Init, ValueId};
use tnas_schedulers::Parameterisation;

use super::{UNetConfig, config::Block, embedding::embedding, layers::activate};
use crate::ModelError;
use tnas_space::{Genotype, Insertion, Slot, SlotInfo, SpaceError, temporal_prefix};

/// An image UNet with slots for temporal operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Backbone {
    /// Its config.
    pub config: UNetConfig,
    /// What it takes and gives: a flow, unless its scheduler says otherwise.
    pub parameterisation: Arc<Parameterisation>,
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
    /// A backbone of this config, taken for a flow.
    pub fn new(config: UNetConfig) -> Self {
        Self { config, parameterisation: Arc::default() }
    }

    /// The same with what its scheduler says of it.
    pub fn parameterised(self, parameterisation: Parameterisation) -> Self {
        Self { parameterisation: Arc::new(parameterisation), ..self }
    }

    /// Its slots, in the order in which data flows.
    pub fn slots(&self) -> Vec<SlotInfo> {
        let config = &self.config;
        let mut slots = Vec::new();
        let last = config.levels() - 1;
        slots.push(SlotInfo { slot: Slot::new("in"), channels: config.block_out_channels[0], level: 0 });
        let mut add = |name: String, block: &Block, level: usize| {
            slots.push(SlotInfo { slot: Slot::new(name), channels: block.channels, level });
        };
        let layer = |add: &mut dyn FnMut(String, &Block, usize), name: &str, block: &Block, level: usize| {
            for index in 0..block.layers {
                add(format!("{name}.{index}.r"), block, level);
                if block.attention.is_some() {
                    add(format!("{name}.{index}.a"), block, level);
                }
            }
        };
        for (level, block) in config.down.iter().enumerate() {
            layer(&mut add, &format!("down.{level}"), block, level);
        }
        // Attention stands between the middle block's resnets.
        if let Some(block) = &config.mid {
            layer(&mut add, "mid", &Block { layers: block.layers - 1, ..block.clone() }, last);
            add(format!("mid.{}.r", block.layers - 1), block, last);
        }
        for (index, block) in config.up.iter().enumerate() {
            layer(&mut add, &format!("up.{index}"), block, last - index);
        }
        slots
    }

    /// The denoiser: `sample` `[B, C, F, H, W]`, `timestep` `[B]` and, where the config asks for them,
    /// `encoder_hidden_states` `[B, L, X]`, `timestep_cond` `[B, G]`, `class_labels` `[B]`, `[B, 1]` (of a table) or `[B, K]`,
    /// `added_cond_kwargs.text_embeds` `[B, E]` and `added_cond_kwargs.time_ids` `[B, 6]` or `added_time_ids` `[B, 3]`, to
    /// `out`, shaped as `sample`.
    pub fn denoiser(&self, genotype: &Genotype, shape: DenoiserShape) -> Result<Graph, ModelError> {
        self.build_denoiser(genotype, shape, false)
    }

    /// The same with what the blocks give: `down.N` before its halving of the maps, `mid`, and `up.N` after its doubling, each
    /// `[B·F, C, H, W]`; `out` comes last.
    pub fn denoiser_with_features(&self, genotype: &Genotype, shape: DenoiserShape) -> Result<Graph, ModelError> {
        self.build_denoiser(genotype, shape, true)
    }

    fn build_denoiser(
        &self,
        genotype: &Genotype,
        shape: DenoiserShape,
        with_features: bool,
    ) -> Result<Graph, ModelError> {
        self.check_slots(genotype)?;
        let mut g = GraphBuilder::new();
        let DenoiserShape { batch, frames, .. } = shape;
        let mut unet = UNetBuilder::inputs(&mut g, &self.config, genotype, shape);
        let (mut x, mut skips, down) = unet.encode();
        let mut features: Vec<(String, ValueId)> =
            down.into_iter().enumerate().map(|(level, x)| (format!("down.{level}"), x)).collect();
        x = unet.middle(x);
        features.push(("mid".into(), x));
        for index in 0..self.config.levels() {
            x = unet.up_block(index, x, &mut skips);
            features.push((format!("up.{index}"), x));
        }
        if !with_features {
            features.clear();
        }
        let x = g.group_norm("conv_norm_out", x, self.config.norm_num_groups, self.config.norm_eps);
        let x = activate(&mut g, "conv_act", x, self.config.out_activation);
        let x = conv_same(&mut g, "conv_out", x, self.config.out_channels, self.config.conv_out_kernel);
        let &[_, _, height, width] = g.shape(x) else { return Ok(g.finish(&[("out", x)])?) };
        let out = [batch, frames, self.config.out_channels, height, width];
        let x = g.reshape("out.split", x, &out);
        let x = g.transpose("out.to_clips", x, &[0, 2, 1, 3, 4]); // [B, C, F, H, W]
        let features = features.iter().map(|(name, x)| (name.as_str(), *x));
        Ok(g.finish(&features.chain([("out", x)]).collect::<Vec<_>>())?)
    }

    /// An error where the genotype names a slot that is not there.
    pub fn check_slots(&self, genotype: &Genotype) -> Result<(), ModelError> {
        let slots = self.slots();
        for (slot, choice) in genotype.insertions() {
            if !slots.iter().any(|info| info.slot == *slot) {
                let slots = slots.iter().map(|info| info.slot.to_string()).collect();
                let what = choice.to_string();
                return Err(SpaceError::Slot { what, slot: slot.to_string(), slots }.into());
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
    /// Text `[B, L, X]`.
    pub context: Option<ValueId>,
    /// Time embedding `[B, 4·C₀]`.
    plain_embedding: ValueId,
    /// The same after the activation that nearly every resnet puts before it: once is enough.
    active_embedding: Option<ValueId>,
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
        let mut context = config
            .context
            .as_ref()
            .map(|text| g.input("encoder_hidden_states", &[batch, tokens, text.given], Dtype::F32));
        let plain_embedding = embedding(g, &config.embedding, config.block_out_channels[0], timestep);
        if let (Some(given), Some(width)) = (context, config.context.as_ref().and_then(|text| text.projected)) {
            context = Some(g.linear("encoder_hid_proj", given, width, true, Init::FanIn));
        }
        Self { g, config, genotype, sample, context, plain_embedding, active_embedding: None, batch, frames }
    }

    /// The embedding as resnets take it.
    pub(super) fn embedding(&mut self, skip_activation: bool) -> ValueId {
        if skip_activation {
            return self.plain_embedding;
        }
        let (plain, activation) = (self.plain_embedding, self.config.activation);
        let g = &mut *self.g;
        *self.active_embedding.get_or_insert_with(|| activate(g, "embedding.active", plain, activation))
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
        let mut x = self.g.reshape("sample.images", x, &[batch * frames, channels, height, width]);
        if self.config.center_input {
            x = self.g.affine("sample.centred", x, 2.0, -1.0);
        }
        let x = conv_same(self.g, "conv_in", x, self.config.block_out_channels[0], self.config.conv_in_kernel);
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
        let config = self.config;
        config.mid.as_ref().map_or(x, |block| self.mid_block(block, x))
    }

    /// What the genotype puts at a slot.
    pub(super) fn insert(&mut self, slot: &str, x: ValueId) -> ValueId {
        let slot = Slot::new(slot);
        let at = Insertion { batch: self.batch, frames: self.frames, norm_groups: self.config.norm_num_groups };
        self.genotype.choice(&slot).build(self.g, &temporal_prefix(&slot), &at, x)
    }
}

/// Convolution whose odd kernels keep the size.
fn conv_same(g: &mut GraphBuilder, path: &str, x: ValueId, out: usize, kernel: usize) -> ValueId {
    let padding = (kernel - 1) / 2;
    g.conv2d(path, x, out, [kernel, kernel], [1, 1], [padding, padding], Init::FanIn)
}
