//! The config.json of a text encoder, and the graph that it describes.

use tnas_models::{TextEncoder, TextEncoderConfig};

use super::{GRAPH, Parser, message, text};

pub const PARSER: Parser = Parser { name: "text_encoder", examples, read, room_bytes: GRAPH };

const SMALL: &str = r#"{"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": 40, "hidden_size": 16,
    "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 12,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "eos_token_id": 39, "bos_token_id": 38, "pad_token_id": 1,
    "projection_dim": 16, "attention_dropout": 0.0, "initializer_factor": 1.0, "initializer_range": 0.02}"#;

fn examples() -> Vec<Vec<u8>> {
    vec![SMALL.into(), SMALL.replace("quick_gelu", "gelu").into()]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let config = TextEncoderConfig::from_json(text(bytes)?).map_err(message)?;
    assert_eq!(TextEncoderConfig::from_json(&config.to_json()).map_err(message)?, config);
    let graph = TextEncoder::new(config).graph(1, 4).map_err(message)?;
    tnas_graph::cost(&graph);
    Ok(())
}
