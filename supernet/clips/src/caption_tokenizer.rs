use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::tokenizer_file::MODEL;
use crate::{BpeTokenizer, ClipError, Tokenizer};

/// How captions become ids: our own words, or CLIP's byte-pair encoding.
#[derive(Clone, Debug)]
pub enum CaptionTokenizer {
    /// Words of the captions that a backbone was trained on.
    Words(Tokenizer),
    /// Pieces of any text.
    Bpe(Box<BpeTokenizer>),
}

impl CaptionTokenizer {
    /// Reads a folder in the transformers layout.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self, ClipError> {
        let folder = folder.as_ref();
        let model = fs::read_to_string(folder.join(MODEL)).ok();
        let model: Option<Value> = model.and_then(|text| serde_json::from_str(&text).ok());
        let kind = model.as_ref().and_then(|model| model["model"]["type"].as_str());
        match kind {
            Some("WordLevel") => Ok(Self::Words(Tokenizer::load(folder)?)),
            _ => Ok(Self::Bpe(Box::new(BpeTokenizer::load(folder)?))),
        }
    }

    /// Writes the folder.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), ClipError> {
        match self {
            Self::Words(words) => words.save(folder),
            Self::Bpe(pieces) => pieces.save(folder),
        }
    }

    /// Number of ids.
    pub fn vocabulary_size(&self) -> usize {
        match self {
            Self::Words(words) => words.vocabulary_size(),
            Self::Bpe(pieces) => pieces.vocabulary_size(),
        }
    }

    /// The length that its text encoder is fed.
    pub fn max_length(&self) -> usize {
        match self {
            Self::Words(words) => words.max_length(),
            Self::Bpe(pieces) => pieces.max_length(),
        }
    }

    /// Id of the end of text.
    pub fn eos_id(&self) -> i64 {
        match self {
            Self::Words(words) => words.eos_id(),
            Self::Bpe(pieces) => pieces.eos_id(),
        }
    }

    /// Exactly `max_length` ids: beginning, text, end, padding.
    pub fn encode(&self, text: &str, max_length: usize) -> Result<Vec<i64>, ClipError> {
        match self {
            Self::Words(words) => Ok(words.encode(text, max_length)),
            Self::Bpe(pieces) => pieces.encode(text, max_length),
        }
    }

    /// The words of a text that are the same to the tokenizer; pieces can spell any word.
    pub fn unknown_words(&self, text: &str) -> Vec<String> {
        match self {
            Self::Words(words) => words.unknown_words(text),
            Self::Bpe(_) => Vec::new(),
        }
    }
}

impl From<Tokenizer> for CaptionTokenizer {
    fn from(words: Tokenizer) -> Self {
        Self::Words(words)
    }
}
