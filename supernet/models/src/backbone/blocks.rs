//! Down, middle and up blocks, with the slots' insertions between their layers.

use tnas_graph::{Op, ValueId};

use super::{
    config::{Attention, Block},
    layers::{
        AddedText, PixelAttention, Resample, ResnetSettings, TransformerSettings, conv3, halving, pixel_attention,
        resnet, transformer,
    },
    unet::UNetBuilder,
};

impl UNetBuilder<'_> {
    /// Down block: layers, then a halving unless it is the last. Returns the feature before the halving.
    pub(super) fn down_block(
        &mut self,
        level: usize,
        mut x: ValueId,
        skips: &mut Vec<ValueId>,
    ) -> (ValueId, ValueId) {
        let config = self.config;
        let block = &config.down[level];
        let path = format!("down_blocks.{level}");
        for layer in 0..block.layers {
            x = self.layer(&path, &format!("down.{level}"), layer, x, block);
            skips.push(x);
        }
        let feature = x;
        if level + 1 < config.levels() {
            let sampler = format!("{path}.downsamplers.0");
            x = if block.resnet_resampler {
                self.image_resnet(&sampler, x, block, Some(Resample::Halve))
            } else {
                halving(self.g, &format!("{sampler}.conv"), x, block.channels, config.downsample_padding)
            };
            skips.push(x);
        }
        (x, feature)
    }

    /// Middle block: resnets with attention between them, where there is any.
    pub(super) fn mid_block(&mut self, block: &Block, mut x: ValueId) -> ValueId {
        let last = block.layers - 1;
        for layer in 0..last {
            x = self.layer("mid_block", "mid", layer, x, block);
        }
        self.resnet_layer("mid_block", "mid", last, x, block)
    }

    /// Up block `index`, lowest resolution first: each layer takes a skip; then a doubling unless it is the last.
    pub(super) fn up_block(&mut self, index: usize, mut x: ValueId, skips: &mut Vec<ValueId>) -> ValueId {
        let config = self.config;
        let block = &config.up[index];
        let path = format!("up_blocks.{index}");
        for layer in 0..block.layers {
            if let Some(skip) = skips.pop() {
                x = self.g.concat(&format!("{path}.resnets.{layer}.concat"), &[x, skip], 1);
            }
            x = self.layer(&path, &format!("up.{index}"), layer, x, block);
        }
        if index + 1 < config.levels() {
            let name = format!("{path}.upsamplers.0");
            if block.resnet_resampler {
                return self.image_resnet(&name, x, block, Some(Resample::Double));
            }
            // The size of the skip that comes next, so that odd sizes meet again.
            let size = skips.last().map(|&skip| self.g.shape(skip)).map_or([0, 0], |shape| [shape[2], shape[3]]);
            x = self.g.node(&name, Op::ResizeNearest { size }, &[x]);
            x = conv3(self.g, &format!("{name}.conv"), x, block.channels, 1);
        }
        x
    }

    /// A resnet and its attention, with their slots.
    fn layer(&mut self, path: &str, place: &str, layer: usize, x: ValueId, block: &Block) -> ValueId {
        let x = self.resnet_layer(path, place, layer, x, block);
        if !block.attention.is_some() {
            return x;
        }
        let slot = format!("{place}.{layer}.a");
        let x = self.attention(&format!("{path}.attentions.{layer}"), &slot, layer, x, &block.attention);
        self.insert(&slot, x)
    }

    fn resnet_layer(&mut self, path: &str, place: &str, layer: usize, x: ValueId, block: &Block) -> ValueId {
        let slot = format!("{place}.{layer}.r");
        let mut x = self.image_resnet(&format!("{path}.resnets.{layer}"), x, block, None);
        if self.config.spatio_temporal {
            x = self.temporal_resnet(&slot, x, block);
        }
        self.insert(&slot, x)
    }

    fn image_resnet(&mut self, path: &str, x: ValueId, block: &Block, resample: Option<Resample>) -> ValueId {
        let config = self.config;
        let settings = ResnetSettings {
            activation: config.activation,
            scale_shift: config.scale_shift,
            out_scale: block.out_scale,
            resample,
            ..ResnetSettings::new(block.channels, config.norm_num_groups, block.norm_eps, self.frames)
        };
        let embedding = self.embedding(block.skip_time_activation);
        resnet(self.g, path, x, Some(embedding), &settings)
    }

    fn attention(&mut self, path: &str, slot: &str, layer: usize, x: ValueId, attention: &Attention) -> ValueId {
        let config = self.config;
        match (attention, self.context) {
            (&Attention::Pixels { heads, depth, groups, out_scale }, _) => {
                let norm = groups.map(|groups| (groups, config.norm_eps));
                pixel_attention(self.g, path, x, &PixelAttention { heads, depth, norm, out_scale, text: None })
            }
            (Attention::Transformer { heads, depth, blocks, only_cross }, Some(context)) => {
                let settings = TransformerSettings {
                    heads: *heads,
                    depth: *depth,
                    blocks: blocks[layer],
                    only_cross: *only_cross,
                    linear: config.linear_projection,
                    groups: config.norm_num_groups,
                };
                if config.spatio_temporal {
                    return self.spatio_temporal_transformer(path, slot, x, context, &settings);
                }
                transformer(self.g, path, x, context, &settings)
            }
            (&Attention::AddedKeys { heads, depth, only_cross, norm }, Some(context)) => {
                let text = AddedText { context, norm, only: only_cross };
                let norm = Some((config.norm_num_groups, 1e-5));
                let settings = PixelAttention { heads, depth, norm, out_scale: 1.0, text: Some(&text) };
                pixel_attention(self.g, path, x, &settings)
            }
            // A config without text has no attention to it.
            _ => x,
        }
    }
}
