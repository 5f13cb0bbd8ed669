//! The config.json of a UNet, and the graph that it describes.

use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_space::Genotype;

use super::{GRAPH, Parser, message, shipped, text};

pub const PARSER: Parser = Parser { name: "unet", examples, read, room_bytes: GRAPH };

/// A small UNet with most options given.
pub const SMALL: &str = r#"{"_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4, "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn", "layers_per_block": [1, 2], "norm_num_groups": 4, "norm_eps": 1e-5,
    "cross_attention_dim": [16, 16], "attention_head_dim": [2, 4], "num_attention_heads": null, "downsample_padding": 1,
    "transformer_layers_per_block": [1, 2], "reverse_transformer_layers_per_block": null, "only_cross_attention": [false, true],
    "use_linear_projection": true, "conv_in_kernel": 3, "conv_out_kernel": 5, "time_cond_proj_dim": 8,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 32,
    "class_embed_type": "projection", "resnet_time_scale_shift": "scale_shift", "time_embedding_dim": 24, "freq_shift": 0,
    "flip_sin_to_cos": true, "mid_block_scale_factor": 1, "encoder_hid_dim": 6, "encoder_hid_dim_type": "text_proj"}"#;

const SIMPLE: &str = r#"{"_class_name": "UNet2DConditionModel", "block_out_channels": [8, 32], "norm_num_groups": 4,
    "down_block_types": ["ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"], "attention_head_dim": 4,
    "up_block_types": ["SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"], "cross_attention_norm": "group_norm",
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "cross_attention_dim": 32, "resnet_out_scale_factor": 0.5,
    "num_class_embeds": 10, "class_embeddings_concat": false, "only_cross_attention": true, "resnet_skip_time_act": true}"#;

const PLAIN: &str = r#"{"_class_name": "UNet2DModel", "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": null, "attn_norm_num_groups": 8, "downsample_type": "resnet", "upsample_type": "conv",
    "add_attention": true, "num_class_embeds": 3, "class_embed_type": "timestep", "downsample_padding": 0}"#;

fn examples() -> Vec<Vec<u8>> {
    let shipped =
        ["bk-sdm-tiny", "sd15"].map(|name| shipped(&format!("configs/backbones/{name}/unet/config.json")));
    [SMALL, SIMPLE, PLAIN].iter().map(|text| text.as_bytes().to_vec()).chain(shipped).collect()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let config = UNetConfig::from_json(text(bytes)?).map_err(message)?;
    assert_eq!(UNetConfig::from_json(&config.to_json()).map_err(message)?, config);
    let shape = DenoiserShape { batch: 1, frames: 2, height: 16, width: 16, tokens: 3 };
    let graph = Backbone::new(config).denoiser(&Genotype::none(), shape).map_err(message)?;
    tnas_graph::cost(&graph);
    Ok(())
}
