//! The config.json of an autoencoder, and the graphs that it describes.

use tnas_models::Autoencoder;

use super::{GRAPH, Parser, message, text};

pub const PARSER: Parser = Parser { name: "autoencoder_config", examples, read, room_bytes: GRAPH };

const KL: &str = r#"{"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"], "latent_channels": 4, "layers_per_block": 1,
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"], "act_fn": "silu", "norm_num_groups": 8,
    "scaling_factor": 0.18215, "shift_factor": null, "latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [1, 2, 3, 4],
    "use_quant_conv": true, "use_post_quant_conv": false, "mid_block_add_attention": true, "force_upcast": true}"#;

const TINY: &str = r#"{"_class_name": "AutoencoderTiny", "in_channels": 3, "out_channels": 3, "act_fn": "relu",
    "encoder_block_out_channels": [8, 8], "decoder_block_out_channels": [8, 8], "upsample_fn": "nearest",
    "latent_channels": 4, "upsampling_scaling_factor": 2, "num_encoder_blocks": [1, 3], "num_decoder_blocks": [3, 1],
    "latent_magnitude": 3, "latent_shift": 0.5, "scaling_factor": 1.0, "shift_factor": 0.0}"#;

fn examples() -> Vec<Vec<u8>> {
    vec![KL.into(), TINY.into()]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let autoencoder = Autoencoder::from_json(text(bytes)?).map_err(message)?;
    tnas_graph::cost(&autoencoder.encoder(1, 16, 16).map_err(message)?);
    tnas_graph::cost(&autoencoder.decoder(1, 4, 4).map_err(message)?);
    Ok(())
}
