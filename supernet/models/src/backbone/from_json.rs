//! A `config.json` of any class of UNets, and the bounds of what it may ask for.

use serde_json::{Map, Value};

use super::{
    config::UNetConfig,
    image,
    options::{self, Class},
    video::VideoClass,
};
use crate::ModelError;

/// Far beyond any UNet that is known: a config that asks for more is broken or hostile, and would fill the memory.
const MAX_LEVELS: usize = 12;
const MAX_CHANNELS: usize = 1 << 16;
const MAX_KERNEL: usize = 63;
const MAX_BLOCKS: usize = 1024;

impl UNetConfig {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| options::wrong("UNet config", error.to_string()))?;
        let class = match map.get("_class_name").and_then(Value::as_str) {
            Some("UNet2DModel") => Class::Plain,
            None | Some("UNet2DConditionModel") => Class::Condition,
            Some(other) => {
                let class = VideoClass::named(other)?;
                let config = class.read(map)?;
                config.check()?;
                return Ok(config);
            }
        };
        let config = image::read(class.options(map)?, class)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ModelError> {
        let wrong = |message: String| Err(options::wrong("UNet config", message));
        self.check_size()?;
        let [kernel_in, kernel_out] = [self.conv_in_kernel, self.conv_out_kernel];
        if [self.in_channels, self.out_channels, kernel_in, kernel_out].contains(&0) {
            return wrong("in_channels, out_channels, conv_in_kernel and conv_out_kernel must not be 0".into());
        }
        let groups = self.norm_num_groups;
        for &channels in &self.block_out_channels {
            if groups == 0 || channels % groups != 0 {
                return wrong(format!("norm_num_groups = {groups} does not divide {channels} channels"));
            }
        }
        for block in self.down.iter().chain(&self.mid).chain(&self.up) {
            if block.layers == 0 {
                return wrong("layers_per_block must not be 0".into());
            }
            if block.attention.heads() == Some(0) {
                return wrong(format!("no attention head fits into {} channels", block.channels));
            }
        }
        Ok(())
    }

    /// What a config of a few bytes may ask for.
    fn check_size(&self) -> Result<(), ModelError> {
        let wrong = |message: String| Err(options::wrong("UNet config", message));
        let Self { block_out_channels, conv_in_kernel, conv_out_kernel, downsample_padding, .. } = self;
        if block_out_channels.len() > MAX_LEVELS {
            let message =
                format!("block_out_channels has {} levels, more than {MAX_LEVELS}", block_out_channels.len());
            return wrong(message);
        }
        let widest =
            block_out_channels.iter().chain([&self.in_channels, &self.out_channels, &self.embedding.channels]);
        if let Some(&widest) = widest.max().filter(|&&widest| widest > MAX_CHANNELS) {
            return wrong(format!("a width of {widest} channels is larger than {MAX_CHANNELS}"));
        }
        if let Some(kernel) =
            [conv_in_kernel, conv_out_kernel, downsample_padding].into_iter().find(|&&k| k > MAX_KERNEL)
        {
            return wrong(format!(
                "conv_in_kernel = {conv_in_kernel}, conv_out_kernel = {conv_out_kernel}, downsample_padding = \
                 {downsample_padding}: {kernel} is larger than {MAX_KERNEL}"
            ));
        }
        let all = || self.down.iter().chain(&self.mid).chain(&self.up);
        let layers: usize = all().map(|block| block.layers).sum();
        let blocks: usize = all().map(|block| block.attention.blocks()).sum();
        if layers.max(blocks) > MAX_BLOCKS {
            return wrong(format!("{layers} layers with {blocks} transformer blocks, more than {MAX_BLOCKS}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attention;

    pub(crate) const TINY: &str = r#"{"_class_name": "UNet2DConditionModel", "in_channels": 3, "out_channels": 3,
        "block_out_channels": [32, 64], "layers_per_block": 1, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 16, "attention_head_dim": 4,
        "norm_num_groups": 8}"#;

    fn with(option: &str, value: &str) -> Result<UNetConfig, ModelError> {
        let mut map: Map<String, Value> = serde_json::from_str(TINY).unwrap();
        map.insert(option.into(), serde_json::from_str(value).unwrap());
        UNetConfig::from_json(&Value::Object(map).to_string())
    }

    #[test]
    fn json_round_trips() {
        let config = UNetConfig::from_json(TINY).unwrap();
        assert_eq!(config.up[0].attention.heads(), Some(4));
        assert_eq!(UNetConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn an_unsupported_option_is_named() {
        for (option, value) in [
            ("resnet_time_scale_shift", "\"spatial\""),
            ("class_embed_type", "\"other\""),
            ("time_embedding_type", "\"fourier\""),
            ("dual_cross_attention", "true"),
            ("attention_type", "\"gated\""),
            ("some_new_option", "7"),
            ("some_new_switch", "false"),
            ("act_fn", "\"mish\""),
            ("mid_block_type", "\"KMidBlock2D\""),
            ("down_block_types", "[\"SkipDownBlock2D\", \"KDownBlock2D\"]"),
            ("up_block_types", "[\"UpBlock2D\", \"AttnSkipUpBlock2D\"]"),
            ("addition_embed_type", "\"image_hint\""),
            ("encoder_hid_dim_type", "\"image_proj\""),
        ] {
            let message = with(option, value).unwrap_err().to_string();
            assert!(message.contains(option), "{option}: {message}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for (option, value) in [
            ("norm_num_groups", "5"),
            ("block_out_channels", "[32, 64, 64]"),
            ("attention_head_dim", "[4]"),
            ("attention_head_dim", "0"),
            ("attention_head_dim", "128"),
            ("layers_per_block", "0"),
            ("transformer_layers_per_block", "[1]"),
            ("transformer_layers_per_block", "0"),
            ("in_channels", "-3"),
            ("layers_per_block", "1000000000"),
            ("block_out_channels", "[4294967296, 64]"),
            ("conv_in_kernel", "1000"),
            ("transformer_layers_per_block", "100000"),
            ("time_embedding_dim", "18446744073709551615"),
        ] {
            let message = with(option, value).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(option) || message.contains("head"), "{option}: {message}");
        }
    }

    #[test]
    fn heads_are_a_count_for_transformers_and_a_width_elsewhere() {
        let config = with("attention_head_dim", "[4, 8]").unwrap();
        let Attention::Transformer { heads, depth, .. } = config.down[1].attention else { panic!("{config:?}") };
        assert_eq!((heads, depth), (8, 8));
        let plain = r#"{"_class_name": "UNet2DModel", "block_out_channels": [16, 32], "norm_num_groups": 4,
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}"#;
        let config = UNetConfig::from_json(plain).unwrap();
        assert!(matches!(config.down[1].attention, Attention::Pixels { heads: 4, depth: 8, .. }), "{config:?}");
        let one = plain.replace("\"norm", "\"attention_head_dim\": null, \"norm");
        let config = UNetConfig::from_json(&one).unwrap();
        assert!(matches!(config.down[1].attention, Attention::Pixels { heads: 1, depth: 32, .. }), "{config:?}");
        for width in ["0", "64"] {
            let odd = plain.replace("\"norm", &format!("\"attention_head_dim\": {width}, \"norm"));
            let message = UNetConfig::from_json(&odd).unwrap_err().to_string();
            assert!(message.contains("no attention head fits into 32 channels"), "{message}");
        }
    }
}
