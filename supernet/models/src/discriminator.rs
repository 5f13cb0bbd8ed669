use tnas_graph::{Graph, GraphBuilder, Init, ValueId};

use crate::{
    Backbone, DenoiserShape, ModelError,
    backbone::{ResnetSettings, UNetBuilder, resnet},
};
use tnas_space::Genotype;

/// Front part of the names of the trainable heads' weights; everything else is the frozen encoder's.
pub const HEAD_PREFIX: &str = "discriminator.";

/// The discriminator of the few-step stage (SnapGen-V, arXiv 2412.10494): the denoiser's encoder, frozen, with a
/// trainable head on each block's feature, spatial first and temporal after it, that sees the pooled text.
#[derive(Clone, Debug, PartialEq)]
pub struct Discriminator {
    /// The denoiser's backbone.
    pub backbone: Backbone,
    /// The denoiser's insertions.
    pub genotype: Genotype,
}

impl Discriminator {
    /// The denoiser's inputs and `pooled` `[B, X]` to `logits` `[B, heads]`, one per feature.
    ///
    /// Features are taken before each halving and after the middle block: on the smallest maps alone the
    /// heads learn nothing (measured).
    pub fn graph(&self, shape: DenoiserShape) -> Result<Graph, ModelError> {
        self.backbone.check_slots(&self.genotype)?;
        let mut g = GraphBuilder::new();
        let config = &self.backbone.config;
        let mut unet = UNetBuilder::inputs(&mut g, config, &self.genotype, shape);
        let (x, _, mut features) = unet.encode();
        if config.mid.is_some() {
            features.push(unet.middle(x));
        }
        let pooled = g.input("pooled", &[shape.batch, config.text_width()], tnas_graph::Dtype::F32);
        let head = |(index, &feature): (usize, &ValueId)| (format!("{HEAD_PREFIX}{index}"), feature);
        let heads: Vec<_> = features.iter().enumerate().map(head).collect();
        let logits: Vec<ValueId> =
            heads.into_iter().map(|(path, feature)| self.head(&mut g, &path, feature, pooled, shape)).collect();
        let logits = g.concat("logits", &logits, 1);
        Ok(g.finish(&[("logits", logits)])?)
    }

    /// ResBlock per frame, attention over frames per pixel, mean over space, then a logit and its agreement with the
    /// text (projection discriminator, Miyato & Koyama 2018).
    fn head(
        &self,
        g: &mut GraphBuilder,
        path: &str,
        feature: ValueId,
        pooled: ValueId,
        shape: DenoiserShape,
    ) -> ValueId {
        let &[images, channels, height, width] = g.shape(feature) else { return feature };
        let DenoiserShape { batch, frames, .. } = shape;
        let settings = ResnetSettings::new(channels, self.backbone.config.norm_num_groups, 1e-5, frames);
        let x = resnet(g, &format!("{path}.spatial"), feature, None, &settings);
        let x = g.reshape(&format!("{path}.split"), x, &[batch, frames, channels, height * width]);
        let x = g.transpose(&format!("{path}.to_tokens"), x, &[0, 3, 1, 2]); // [B, H·W, F, C]
        let x = g.reshape(&format!("{path}.tokens"), x, &[images / frames * height * width, frames, channels]);
        let x = temporal_attention(g, &format!("{path}.temporal"), x);
        let x = g.reshape(&format!("{path}.clips"), x, &[batch, height * width * frames, channels]);
        let x = g.node(&format!("{path}.mean"), tnas_graph::Op::Mean { axes: vec![1] }, &[x]);
        let x = g.reshape(&format!("{path}.pooled"), x, &[batch, channels]);
        let logit = g.linear(&format!("{path}.logit"), x, 1, true, Init::FanIn);
        let text = g.linear(&format!("{path}.text"), pooled, channels, false, Init::FanIn);
        let agreement = g.mul(&format!("{path}.agreement"), text, x);
        let agreement = g.node(&format!("{path}.dot"), tnas_graph::Op::Mean { axes: vec![1] }, &[agreement]);
        g.add(&format!("{path}.sum"), logit, agreement)
    }
}

fn temporal_attention(g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
    let &[rows, frames, channels] = g.shape(x) else { return x };
    let heads = (channels / 16).max(1);
    let h = g.layer_norm(&format!("{path}.norm"), x, 1e-5);
    let mut project = |name: &str| {
        let y = g.linear(&format!("{path}.{name}"), h, channels, false, Init::FanIn);
        let y = g.reshape(&format!("{path}.{name}.split"), y, &[rows, frames, heads, channels / heads]);
        g.transpose(&format!("{path}.{name}.heads"), y, &[0, 2, 1, 3])
    };
    let (q, k, v) = (project("to_q"), project("to_k"), project("to_v"));
    let y = g.attention(&format!("{path}.attention"), q, k, v, false);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]);
    let y = g.reshape(&format!("{path}.merge"), y, &[rows, frames, channels]);
    let y = g.linear(&format!("{path}.to_out"), y, channels, true, Init::FanIn);
    g.add(&format!("{path}.residual"), x, y)
}
