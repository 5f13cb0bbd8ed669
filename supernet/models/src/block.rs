use tnas_graph::{Dtype, Graph, GraphBuilder};

use crate::{Backbone, DenoiserShape, ModelError};
use tnas_space::{Choice, Insertion, SlotInfo, temporal_prefix};

impl Backbone {
    /// What a choice adds at a slot, on its own: `x` `[B·F, C, H, W]` as it is there, to `out`, shaped as `x`.
    pub fn block(&self, info: &SlotInfo, choice: &Choice, shape: DenoiserShape) -> Result<Graph, ModelError> {
        let DenoiserShape { batch, frames, height, width, .. } = shape;
        // A halving is a convolution of stride 2: an odd row counts as a whole one.
        let halved = |length: usize| (0..info.level).fold(length, |length, _| length.div_ceil(2));
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[batch * frames, info.channels, halved(height), halved(width)], Dtype::F32);
        let at = Insertion { batch, frames, norm_groups: self.config.norm_num_groups };
        let out = choice.build(&mut g, &temporal_prefix(&info.slot), &at, x);
        Ok(g.finish(&[("out", out)])?)
    }
}

#[cfg(test)]
mod tests {
    use tnas_graph::cost;

    use super::*;
    use crate::UNetConfig;
    use tnas_space::Genotype;

    #[test]
    fn a_network_is_the_image_model_and_its_blocks() {
        let config = r#"{"block_out_channels": [32, 64], "attention_head_dim": 4, "cross_attention_dim": 16,
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}"#;
        let backbone = Backbone::new(UNetConfig::from_json(config).unwrap());
        let shape = DenoiserShape { batch: 2, frames: 4, height: 8, width: 16, tokens: 5 };
        let choice: Choice = "conv1d(k=3)+attn3d(heads=4)".parse().unwrap();
        let macs = |genotype: &Genotype| cost(&backbone.denoiser(genotype, shape).unwrap()).macs;
        for info in backbone.slots() {
            let with = Genotype::new([(info.slot.clone(), choice.clone())]);
            let block = backbone.block(&info, &choice, shape).unwrap();
            assert_eq!(macs(&with), macs(&Genotype::default()) + cost(&block).macs, "{}", info.slot);
            let alone: Vec<&str> = block.nodes.iter().map(|node| node.name.as_str()).collect();
            let graph = backbone.denoiser(&with, shape).unwrap();
            assert!(alone.iter().all(|name| graph.nodes.iter().any(|node| node.name == *name)));
        }
    }
}
