//! The io.safetensors of `tnas backbone check`, beside a small text encoder with its weights.

use std::{collections::BTreeMap, fs, path::Path};

use tnas_models::{TextEncoder, TextEncoderConfig};
use tnas_network::{Parameters, open_device};
use tnas_weights::HostTensor;

use super::{Parser, in_folder, message, safetensors::example};
use tnas_pipeline::check::check;

pub const PARSER: Parser = Parser { name: "golden", examples, read, room_bytes: 32 << 20 };

const CONFIG: &str = r#"{"model_type": "clip_text_model", "vocab_size": 12, "hidden_size": 8, "intermediate_size": 8,
    "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 8, "hidden_act": "gelu"}"#;

fn examples() -> Vec<Vec<u8>> {
    let ids = HostTensor::i64(&[2, 3], &[1, 4, 11, 0, 11, 11]);
    let out = HostTensor::f32(&[2, 3, 8], &[0.0; 48]);
    let mask = HostTensor::f32(&[2, 3], &[1.0; 6]);
    let pooled = HostTensor::f32(&[2, 8], &[0.5; 16]);
    vec![
        example(&[("case0.in.input_ids", ids.clone()), ("case0.out.last_hidden_state", out.clone())]),
        example(&[
            ("case0.in.input_ids", ids.clone()),
            ("case0.in.attention_mask", mask),
            ("case0.out.pooler_output", pooled),
            ("case0.mid.text_model.encoder.layers.0", out.clone()),
            ("case1.in.input_ids", ids),
            ("case1.out", out),
        ]),
    ]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    in_folder(|root| {
        let folder = root.join("golden");
        if !folder.exists() {
            make(&folder);
        }
        fs::write(folder.join("io.safetensors"), bytes).map_err(message)?;
        // The expected numbers are no model's: that cases differ is what the file says, and no error.
        check(&folder, "cpu").map(drop).map_err(|error| format!("{error:#}"))
    })
}

fn make(folder: &Path) {
    let encoder = TextEncoder::new(TextEncoderConfig::from_json(CONFIG).unwrap());
    let mut weights = Parameters::new(&open_device("cpu").unwrap());
    weights.init(encoder.whole_graph(1, 2).unwrap().weights(), 1);
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    weights.save(folder.join("model.safetensors"), &BTreeMap::new()).unwrap();
}
