use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::{AddedToken, Tokenizer as Engine};

use crate::ClipError;
use crate::bpe_files::{BpeFiles, BpeSettings};

/// Byte-pair encoding as CLIP has it, read from a folder in the transformers layout: `tokenizer.json`, or `vocab.json` with
/// `merges.txt`, and the settings of `tokenizer_config.json`.
#[derive(Clone, Debug)]
pub struct BpeTokenizer {
    engine: Engine,
    bos: i64,
    eos: i64,
    pad: i64,
    settings: BpeSettings,
    /// One more than the largest id.
    ids: usize,
    files: BpeFiles,
}

impl BpeTokenizer {
    /// Reads a folder.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, ClipError> {
        let files = BpeFiles::read(folder.as_ref())?;
        let settings = files.settings()?;
        let (path, model) = files.model(&settings)?;
        let refuse = |message: String| ClipError::Tokenizer { path: path.clone(), message };
        let mut engine: Engine = serde_json::from_value(model).map_err(|error| refuse(error.to_string()))?;
        add(&mut engine, &settings).map_err(refuse)?;
        let id = |token: &AddedToken| {
            let id = engine.token_to_id(&token.content).map(i64::from);
            id.ok_or_else(|| refuse(format!("{} is not in its vocabulary", token.content)))
        };
        let (bos, eos, pad) = (id(&settings.bos)?, id(&settings.eos)?, id(&settings.pad)?);
        let largest = engine.get_vocab(true).into_values().max().unwrap_or(0);
        let this = Self { bos, eos, pad, ids: largest as usize + 1, engine, settings, files };
        this.check_post_processor().map_err(refuse)?;
        Ok(this)
    }

    /// Writes the folder's files as they were read.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), ClipError> {
        self.files.save(folder.as_ref())
    }

    /// Number of ids.
    pub fn vocabulary_size(&self) -> usize {
        self.ids
    }

    /// The length that its text encoder is fed; the largest number where the settings name none.
    pub fn max_length(&self) -> usize {
        self.settings.max_length
    }

    /// Id of the end of text.
    pub fn eos_id(&self) -> i64 {
        self.eos
    }

    /// Beginning, text, end, padding: exactly `max_length` ids. What does not fit is dropped, the end stays.
    pub fn encode(&self, text: &str, max_length: usize) -> Result<Vec<i64>, ClipError> {
        let inner = self.inner(text)?;
        let room = max_length.saturating_sub(2).min(inner.len());
        let first = if self.settings.truncates_left { inner.len() - room } else { 0 };
        let mut ids = vec![self.bos];
        ids.extend(&inner[first..first + room]);
        ids.push(self.eos);
        let padding = vec![self.pad; max_length.saturating_sub(ids.len())];
        let mut ids = if self.settings.pads_left { [padding, ids].concat() } else { [ids, padding].concat() };
        ids.truncate(max_length);
        Ok(ids)
    }

    /// A text's own ids.
    fn inner(&self, text: &str) -> Result<Vec<i64>, ClipError> {
        let encoding = self.engine.encode_fast(text, false).map_err(|error| ClipError::Encoding {
            text: text.chars().take(100).collect(),
            message: error.to_string(),
        })?;
        Ok(encoding.get_ids().iter().copied().map(i64::from).collect())
    }

    /// A tokenizer.json may say what it puts around a text: only the beginning and the end are known here.
    fn check_post_processor(&self) -> Result<(), String> {
        if self.engine.get_post_processor().is_none() {
            return Ok(());
        }
        let found = self.engine.encode_fast("", true).map_err(|error| error.to_string())?;
        let expected = [self.bos, self.eos];
        if found.get_ids().iter().copied().map(i64::from).eq(expected) {
            return Ok(());
        }
        let found = found.get_ids();
        Err(format!("its post_processor puts the ids {found:?} around a text, not {expected:?} (bos and eos)"))
    }
}

/// Adds the settings' tokens to the engine's, with the ids that they ask for.
fn add(engine: &mut Engine, settings: &BpeSettings) -> Result<(), String> {
    let known: BTreeMap<String, u32> =
        engine.get_added_tokens_decoder().into_iter().map(|(id, token)| (token.content, id)).collect();
    for (token, id) in &settings.tokens {
        if !known.contains_key(&token.content) {
            engine.add_tokens([token.clone()]).map_err(|error| error.to_string())?;
        }
        let found = engine.token_to_id(&token.content);
        if id.is_some() && *id != found {
            return Err(format!(
                "the added token {:?} should have the id {id:?}, and gets {found:?}",
                token.content
            ));
        }
    }
    Ok(())
}
