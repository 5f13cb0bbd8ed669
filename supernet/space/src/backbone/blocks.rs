//! Down, middle and up blocks, with the slots' insertions between their layers.

use tnas_graph::ValueId;

use super::{
    layers::{ResnetSettings, conv3, resnet, transformer},
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
        let path = format!("down_blocks.{level}");
        for layer in 0..config.layers_per_block {
            let slot = format!("down.{level}.{layer}");
            let attention = config.down_attention[level];
            x = self.layer(
                &path,
                &slot,
                layer,
                x,
                config.block_out_channels[level],
                config.heads[level],
                attention,
            );
            skips.push(x);
        }
        let feature = x;
        if level + 1 < config.levels() {
            let channels = config.block_out_channels[level];
            x = conv3(self.g, &format!("{path}.downsamplers.0.conv"), x, channels, 2);
            skips.push(x);
        }
        (x, feature)
    }

    /// Middle block: resnet, transformer, resnet.
    pub(super) fn mid_block(&mut self, x: ValueId) -> ValueId {
        let level = self.config.levels() - 1;
        let (channels, heads) = (self.config.block_out_channels[level], self.config.heads[level]);
        let x = self.layer("mid_block", "mid.0", 0, x, channels, heads, true);
        self.layer("mid_block", "mid.1", 1, x, channels, heads, false)
    }

    /// Up block `index`, lowest resolution first: each layer takes a skip; then a doubling unless it is the last.
    pub(super) fn up_block(&mut self, index: usize, mut x: ValueId, skips: &mut Vec<ValueId>) -> ValueId {
        let config = self.config;
        let level = config.levels() - 1 - index;
        let path = format!("up_blocks.{index}");
        for layer in 0..=config.layers_per_block {
            if let Some(skip) = skips.pop() {
                x = self.g.concat(&format!("{path}.resnets.{layer}.concat"), &[x, skip], 1);
            }
            let slot = format!("up.{index}.{layer}");
            let attention = config.up_attention[index];
            x = self.layer(
                &path,
                &slot,
                layer,
                x,
                config.block_out_channels[level],
                config.heads[level],
                attention,
            );
        }
        if level > 0 {
            // The size of the skip that comes next, so that odd sizes meet again.
            let size = skips.last().map(|&skip| self.g.shape(skip)).map_or([0, 0], |shape| [shape[2], shape[3]]);
            let resize = tnas_graph::Op::ResizeNearest { size };
            let name = format!("{path}.upsamplers.0");
            x = self.g.node(&name, resize, &[x]);
            x = conv3(self.g, &format!("{name}.conv"), x, config.block_out_channels[level], 1);
        }
        x
    }

    #[allow(clippy::too_many_arguments)]
    fn layer(
        &mut self,
        path: &str,
        slot: &str,
        layer: usize,
        x: ValueId,
        channels: usize,
        heads: usize,
        attention: bool,
    ) -> ValueId {
        let settings = ResnetSettings {
            out_channels: channels,
            groups: self.config.norm_num_groups,
            eps: self.config.norm_eps,
            images_per_embedding: self.frames,
        };
        let x = resnet(self.g, &format!("{path}.resnets.{layer}"), x, Some(self.embedding), &settings);
        let x = self.insert(&format!("{slot}.r"), x);
        if !attention {
            return x;
        }
        let name = format!("{path}.attentions.{layer}");
        let x = transformer(self.g, &name, x, self.context, heads, self.config);
        self.insert(&format!("{slot}.a"), x)
    }
}
