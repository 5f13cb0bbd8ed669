//! The config.json of a published video UNet and of a motion adapter, and the graphs that they describe.

use tnas_models::{Backbone, DenoiserShape, MotionAdapter, MotionModel, UNetConfig};

use super::{GRAPH, Parser, message, text, unet};

pub const PARSER: Parser = Parser { name: "motion", examples, read, room_bytes: GRAPH };

const STABLE_VIDEO: &str = r#"{"_class_name": "UNetSpatioTemporalConditionModel", "in_channels": 8, "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"], "block_out_channels": [32, 32],
    "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"], "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24, "layers_per_block": 1, "cross_attention_dim": 16, "num_frames": 6,
    "transformer_layers_per_block": 1, "num_attention_heads": [2, 4]}"#;

const MODELSCOPE: &str = r#"{"_class_name": "UNet3DConditionModel", "in_channels": 4, "out_channels": 4, "norm_num_groups": 4,
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"], "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "block_out_channels": [12, 16], "layers_per_block": 1, "downsample_padding": 1, "mid_block_scale_factor": 1,
    "act_fn": "silu", "norm_eps": 1e-05, "cross_attention_dim": 16, "attention_head_dim": 4, "num_attention_heads": null}"#;

const ADAPTER: &str = r#"{"_class_name": "MotionAdapter", "block_out_channels": [8, 16], "motion_layers_per_block": [1, 2],
    "motion_transformer_layers_per_block": 1, "motion_mid_block_layers_per_block": 1, "motion_num_attention_heads": 4,
    "motion_transformer_layers_per_mid_block": 1, "motion_norm_num_groups": 4, "motion_max_seq_length": 16,
    "use_motion_mid_block": true, "conv_in_channels": null}"#;

fn examples() -> Vec<Vec<u8>> {
    [STABLE_VIDEO, MODELSCOPE, ADAPTER].map(|text| text.as_bytes().to_vec()).to_vec()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes)?;
    let model = if MotionModel::reads(text) {
        MotionModel::from_json(text).map_err(message)?
    } else {
        let image = Backbone::new(UNetConfig::from_json(unet::SMALL).map_err(message)?);
        MotionAdapter::from_json(text).map_err(message)?.over(&image).map_err(message)?
    };
    let shape = DenoiserShape { batch: 1, frames: 2, height: 16, width: 16, tokens: 3 };
    tnas_graph::cost(&model.backbone.denoiser(&model.genotype, shape).map_err(message)?);
    Ok(())
}
