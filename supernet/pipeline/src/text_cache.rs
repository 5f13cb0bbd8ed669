//! Text features on the disk, under the hash of the text encoder and of the tokens that it read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tnas_models::TextEncoder;
use tnas_network::Parameters;
use tnas_study::{canonical_json, hash_bytes};
use tnas_training::{CaptionTokens, TextFeatures, text_features};
use tnas_weights::{HostTensor, SafeTensors, write_safetensors};

/// Raise where the same encoder and tokens would give other features.
const VERSION: u32 = 1;

/// Features of captions: read where they are kept, else computed and kept. `key` is all that the encoder's answer
/// follows from besides the tokens.
pub fn features(
    cache: &Path,
    key: &impl Serialize,
    encoder: &TextEncoder,
    weights: &Parameters,
    tokens: &CaptionTokens,
) -> anyhow::Result<TextFeatures> {
    let all = (VERSION, key, tokens.length, &tokens.ids, &tokens.ends);
    let name = hash_bytes(canonical_json(&all)?.as_bytes());
    let file = cache.join(format!("text/{name}.safetensors"));
    if let Some(kept) = read(&file, tokens) {
        return Ok(kept);
    }
    let features = text_features(encoder, weights, tokens)?;
    let count = features.context.len();
    let (context, pooled) = (features.context.concat(), features.pooled.concat());
    let pooled_width = features.pooled.first().map_or(0, Vec::len);
    let tensors = BTreeMap::from([
        ("context".to_owned(), HostTensor::f32(&[count, features.tokens, features.width], &context)),
        ("pooled".to_owned(), HostTensor::f32(&[count, pooled_width], &pooled)),
    ]);
    write_safetensors(&file, &tensors, &BTreeMap::new())?;
    Ok(features)
}

/// What a file holds, unless it is missing or is not of these captions.
fn read(file: &Path, tokens: &CaptionTokens) -> Option<TextFeatures> {
    let kept = SafeTensors::open(file).ok()?;
    let [count, length, width] = kept.info("context").ok()?.shape[..] else { return None };
    let [rows, pooled_width] = kept.info("pooled").ok()?.shape[..] else { return None };
    if [count, rows, length] != [tokens.ids.len(), tokens.ids.len(), tokens.length] || width * pooled_width == 0 {
        return None;
    }
    let chunks = |name: &str, length: usize| {
        Some(kept.f32(name).ok()?.chunks(length).map(<[f32]>::to_vec).collect::<Vec<_>>())
    };
    let (context, pooled) = (chunks("context", length * width)?, chunks("pooled", pooled_width)?);
    Some(TextFeatures { tokens: length, width, context, pooled })
}
