//! A tokenizer as a folder in the transformers layout: `tokenizer.json` and `tokenizer_config.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ClipError;
use crate::tokenizer::{BOS, EOS, PAD, Padding, SpecialIds, Tokenizer, UNK};

pub(crate) const MODEL: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";

/// The parts of tokenizer.json that a word tokenizer depends on; the rest follows from them.
#[derive(Deserialize)]
struct ModelFile {
    #[serde(default)]
    normalizer: Option<Part>,
    #[serde(default)]
    pre_tokenizer: Option<Part>,
    model: Model,
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    r#type: Option<String>,
    vocab: Value,
    #[serde(default)]
    unk_token: Option<String>,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    bos_token: Option<Value>,
    #[serde(default)]
    eos_token: Option<Value>,
    #[serde(default)]
    pad_token: Option<Value>,
    #[serde(default)]
    model_max_length: Option<f64>,
}

impl Tokenizer {
    /// Writes the folder, each file whole or not at all.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), ClipError> {
        let folder = folder.as_ref();
        let write_error = |path: &Path| {
            let path = path.to_owned();
            move |source| ClipError::Write { path, source }
        };
        fs::create_dir_all(folder).map_err(write_error(folder))?;
        for (name, value) in [(MODEL, self.model_json()), (CONFIG, self.config_json())] {
            let path = folder.join(name);
            write_whole(folder, &path, &format!("{value:#}\n")).map_err(write_error(&path))?;
        }
        Ok(())
    }

    /// Reads a folder that `save` wrote, or another of a word tokenizer with the same normaliser and pre-tokenizer.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, ClipError> {
        let (path, file): (PathBuf, ModelFile) = read_json(folder.as_ref(), MODEL)?;
        let refuse = |message: String| ClipError::Tokenizer { path: path.clone(), message };
        let kind = file.model.r#type.unwrap_or_default();
        if kind != "WordLevel" {
            return Err(refuse(format!("its model is of type {kind:?}, not \"WordLevel\"")));
        }
        let lowercase = match file.normalizer.as_ref().map(|part| part.r#type.as_str()) {
            None => false,
            Some("Lowercase") => true,
            Some(other) => {
                return Err(refuse(format!("its normalizer is {other:?}, neither null nor \"Lowercase\"")));
            }
        };
        let splitter = file.pre_tokenizer.map(|part| part.r#type).unwrap_or_default();
        if splitter != "Whitespace" {
            return Err(refuse(format!("its pre_tokenizer is {splitter:?}, not \"Whitespace\"")));
        }
        let ids: BTreeMap<String, i64> =
            serde_json::from_value(file.model.vocab).map_err(|e| refuse(e.to_string()))?;
        let words = words_by_id(&ids).map_err(refuse)?;
        let (_, config): (_, ConfigFile) = read_json(folder.as_ref(), CONFIG)?;
        let id = |token: &str| {
            ids.get(token)
                .copied()
                .ok_or_else(|| refuse(format!("{token} is not in its vocabulary of {}", ids.len())))
        };
        let named = |token: &Option<Value>, default: &str| {
            id(&token.as_ref().and_then(content).unwrap_or(default.to_owned()))
        };
        let (bos, eos) = (named(&config.bos_token, BOS)?, named(&config.eos_token, EOS)?);
        let pad = named(&config.pad_token, PAD)?;
        let special = SpecialIds { pad, unk: id(file.model.unk_token.as_deref().unwrap_or(UNK))?, bos, eos };
        let padding = if pad == eos { Padding::Eos } else { Padding::Pad };
        // Transformers writes 1e30 for "no limit"; the cast saturates.
        let max_length = config.model_max_length.unwrap_or(77.0) as usize;
        Ok(Self { ids, words, special, lowercase, padding, max_length })
    }

    fn model_json(&self) -> Value {
        let special = |id: i64| &self.words[id as usize];
        let SpecialIds { pad, unk, bos, eos } = self.special;
        let mut specials = vec![pad, unk, bos, eos];
        specials.sort_unstable();
        specials.dedup();
        let added: Vec<Value> = specials
            .into_iter()
            .map(|id| {
                json!({ "id": id, "content": special(id), "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true })
            })
            .collect();
        let token = |id: i64, sequence: u8| json!({ "SpecialToken": { "id": special(id), "type_id": sequence } });
        let text = |name: &str, sequence: u8| json!({ "Sequence": { "id": name, "type_id": sequence } });
        let template = |id: i64| json!({ "id": special(id), "ids": [id], "tokens": [special(id)] });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": self.lowercase.then(|| json!({ "type": "Lowercase" })),
            "pre_tokenizer": { "type": "Whitespace" },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [token(bos, 0), text("A", 0), token(eos, 0)],
                "pair": [token(bos, 0), text("A", 0), token(eos, 0), token(bos, 1), text("B", 1), token(eos, 1)],
                "special_tokens": { special(bos).as_str(): template(bos), special(eos).as_str(): template(eos) },
            },
            "decoder": null,
            "model": { "type": "WordLevel", "vocab": self.ids, "unk_token": special(unk) },
        })
    }

    fn config_json(&self) -> Value {
        let word = |id: i64| &self.words[id as usize];
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.max_length,
            "padding_side": "right",
            "truncation_side": "right",
            "clean_up_tokenization_spaces": false,
            "bos_token": word(self.special.bos),
            "eos_token": word(self.special.eos),
            "unk_token": word(self.special.unk),
            "pad_token": word(self.padding_id()),
        })
    }
}

/// A token stands as its text, or as an object with it.
fn content(token: &Value) -> Option<String> {
    let text = token.as_str().or_else(|| token.get("content").and_then(Value::as_str));
    text.map(str::to_owned)
}

/// The inverse of a vocabulary whose ids are 0, 1, 2, …
fn words_by_id(ids: &BTreeMap<String, i64>) -> Result<Vec<String>, String> {
    let by_id: BTreeMap<i64, &String> = ids.iter().map(|(word, id)| (*id, word)).collect();
    if by_id.len() != ids.len() || !by_id.keys().copied().eq(0..ids.len() as i64) {
        return Err(format!("the ids of its {} words are not 0 to {}", ids.len(), ids.len().saturating_sub(1)));
    }
    Ok(by_id.into_values().cloned().collect())
}

fn read_json<T: for<'de> Deserialize<'de>>(folder: &Path, name: &str) -> Result<(PathBuf, T), ClipError> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(|source| ClipError::Read { path: path.clone(), source })?;
    match serde_json::from_str(&text) {
        Ok(value) => Ok((path, value)),
        Err(error) => Err(ClipError::Tokenizer { path, message: error.to_string() }),
    }
}

/// Temporary file, sync, rename, sync of the folder.
pub(crate) fn write_whole(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        Tokenizer::from_captions(["a red square moves left", "a blue circle, too"])
    }

    #[test]
    fn what_is_saved_is_loaded() {
        for padding in [Padding::Pad, Padding::Eos] {
            let folder = tempfile::tempdir().expect("a folder");
            let saved = tokenizer().with_padding(padding).with_max_length(24);
            saved.save(folder.path().join("tokenizer")).expect("saved");
            let loaded = Tokenizer::load(folder.path().join("tokenizer")).expect("loaded");
            assert_eq!(loaded.encode("a red dog, too", 9), saved.encode("a red dog, too", 9));
            assert_eq!((loaded.vocabulary(), loaded.max_length()), (saved.vocabulary(), 24));
            assert_eq!(loaded.padding_id(), saved.padding_id());
        }
    }

    #[test]
    fn other_tokenizers_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        tokenizer().save(folder.path()).expect("saved");
        let path = folder.path().join(MODEL);
        let good = fs::read_to_string(&path).expect("read");
        for (from, to, complaint) in [
            ("WordLevel", "BPE", "its model is of type \"BPE\""),
            ("Lowercase", "NFC", "its normalizer is \"NFC\""),
            ("\"Whitespace\"", "\"ByteLevel\"", "its pre_tokenizer is \"ByteLevel\""),
            ("\"red\": ", "\"red\": 9", "are not 0 to"),
            ("\"<eos>\": ", "\"<e>\": ", "<eos> is not in its vocabulary"),
            ("{", "", "line 2"),
        ] {
            fs::write(&path, good.replacen(from, to, 1)).expect("written");
            let message = Tokenizer::load(folder.path()).expect_err(to).to_string();
            assert!(message.contains(complaint), "{message}");
        }
        assert!(matches!(Tokenizer::load(folder.path().join("none")), Err(ClipError::Read { .. })));
    }
}
