//! The files of a byte-pair encoding, and what they say.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

use crate::ClipError;
use crate::tokenizer_file::write_whole;

const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const MODEL: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// How CLIP splits a text into words (Radford et al. 2021): contractions, runs of letters, single digits, runs of the rest.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Settings that change no ids.
const NEUTRAL: &[&str] = &[
    "tokenizer_class",
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_file",
    "errors",
    "clean_up_tokenization_spaces",
    "use_fast",
    "backend",
    "is_local",
    "local_files_only",
    "processor_class",
    "model_input_names",
    "model_max_length",
    "max_length",
    "stride",
    "truncation_strategy",
    "pad_token_type_id",
    "chat_template",
    "auto_map",
    "device",
    "dtype",
    "torch_dtype",
    "trust_remote_code",
    "additional_special_tokens",
    "extra_special_tokens",
    "added_tokens_decoder",
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
    "padding_side",
    "truncation_side",
];

/// Settings of which one value is known, as JSON.
const FIXED: &[(&str, &str)] = &[
    ("do_lower_case", "true"),
    ("add_prefix_space", "false"),
    ("add_bos_token", "true"),
    ("add_eos_token", "true"),
    ("split_special_tokens", "false"),
    ("pad_to_multiple_of", "null"),
    ("model_specific_special_tokens", "{}"),
];

/// The folder's files as they were read: name to text.
#[derive(Clone, Debug)]
pub(crate) struct BpeFiles {
    folder: PathBuf,
    texts: BTreeMap<&'static str, String>,
}

/// What the settings say besides the vocabulary.
#[derive(Clone, Debug)]
pub(crate) struct BpeSettings {
    pub bos: AddedToken,
    pub eos: AddedToken,
    pub unk: AddedToken,
    pub pad: AddedToken,
    /// Tokens that are found whole in a text, each with its id where one is given.
    pub tokens: Vec<(AddedToken, Option<u32>)>,
    pub max_length: usize,
    pub pads_left: bool,
    pub truncates_left: bool,
}

impl BpeFiles {
    pub fn read(folder: &Path) -> Result<Self, ClipError> {
        let mut texts = BTreeMap::new();
        for name in [VOCABULARY, MERGES, MODEL, CONFIG, SPECIAL, ADDED] {
            let path = folder.join(name);
            match fs::read_to_string(&path) {
                Ok(text) => _ = texts.insert(name, text),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(ClipError::Read { path, source }),
            }
        }
        Ok(Self { folder: folder.into(), texts })
    }

    pub fn save(&self, folder: &Path) -> Result<(), ClipError> {
        let write_error = |path: &Path| {
            let path = path.to_owned();
            move |source| ClipError::Write { path, source }
        };
        fs::create_dir_all(folder).map_err(write_error(folder))?;
        for (name, text) in &self.texts {
            let path = folder.join(name);
            write_whole(folder, &path, text).map_err(write_error(&path))?;
        }
        Ok(())
    }

    /// The model in the form of a tokenizer.json, and the file that it stands in.
    pub fn model(&self, settings: &BpeSettings) -> Result<(PathBuf, Value), ClipError> {
        if self.texts.contains_key(MODEL) {
            let model = Value::Object(self.json(MODEL)?);
            let kind = model["model"].get("type").and_then(Value::as_str);
            if let Some(kind) = kind.filter(|kind| *kind != "BPE") {
                return Err(self.refuse(MODEL, format!("its model is of type {kind:?}, neither WordLevel nor BPE")));
            }
            if model["model"].get("dropout").and_then(Value::as_f64).is_some_and(|dropout| dropout > 0.0) {
                return Err(self.refuse(MODEL, format!("dropout = {} is not supported", model["model"]["dropout"])));
            }
            return Ok((self.folder.join(MODEL), model));
        }
        for name in [VOCABULARY, MERGES] {
            if !self.texts.contains_key(name) {
                let message = format!("neither {MODEL} nor {VOCABULARY} with {MERGES} is there");
                return Err(ClipError::Tokenizer { path: self.folder.clone(), message });
            }
        }
        let vocabulary = self.json(VOCABULARY)?;
        let id = |token: &AddedToken| vocabulary.get(&token.content).cloned().unwrap_or(Value::from(0));
        let around = |token: &AddedToken| json!([token.content, id(token)]);
        let (bos, eos) = (around(&settings.bos), around(&settings.eos));
        let model = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": true},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            ]},
            "post_processor": {"type": "RobertaProcessing", "sep": eos, "cls": bos,
                "trim_offsets": false, "add_prefix_space": false},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": settings.unk.content,
                "continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": self.merges()?},
        });
        Ok((self.folder.join(VOCABULARY), model))
    }

    /// Pairs of pieces, the most frequent first.
    fn merges(&self) -> Result<Vec<[&str; 2]>, ClipError> {
        let text = self.texts.get(MERGES).map_or("", String::as_str);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with("#version") && !line.is_empty());
        lines
            .map(|(index, line)| match line.split(' ').collect::<Vec<_>>()[..] {
                [left, right] => Ok([left, right]),
                _ => Err(self.refuse(MERGES, format!("line {}: {line:?} is not a pair", index + 1))),
            })
            .collect()
    }

    /// The settings, with what a `special_tokens_map.json` and `added_tokens.json` add where the settings hold no tokens.
    pub fn settings(&self) -> Result<BpeSettings, ClipError> {
        let mut config = self.json(CONFIG)?;
        self.refuse_unknown(&config)?;
        let mut tokens = Vec::new();
        match config.get("added_tokens_decoder").and_then(Value::as_object).cloned() {
            Some(listed) => {
                for (id, value) in &listed {
                    let (id, token) = (id.parse().ok(), token(value, false));
                    let (Some(id), Some(token)) = (id, token) else {
                        return Err(self.refuse(CONFIG, format!("added_tokens_decoder holds {id:?}: {value}")));
                    };
                    tokens.push((id, token));
                }
            }
            None => {
                config.extend(self.json(SPECIAL)?);
                let specials: Vec<String> =
                    config.values().filter_map(|value| Some(token(value, true)?.content)).collect();
                for (content, id) in self.json(ADDED)? {
                    let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                        return Err(self.refuse(ADDED, format!("{content:?} has the id {id}")));
                    };
                    let special = specials.contains(&content);
                    tokens.push((id, AddedToken::from(content, special)));
                }
            }
        }
        tokens.sort_by_key(|(id, _)| *id);
        let named = |option: &str, default: &str| {
            let value = config.get(option).filter(|value| !value.is_null());
            let Some(value) = value else { return Ok(AddedToken::from(default, true)) };
            token(value, true).ok_or_else(|| self.refuse(CONFIG, format!("{option} = {value} is no token")))
        };
        let (bos, eos) = (named("bos_token", "<|startoftext|>")?, named("eos_token", "<|endoftext|>")?);
        let (unk, pad) = (named("unk_token", &eos.content)?, named("pad_token", &eos.content)?);
        let mut tokens: Vec<_> = tokens.into_iter().map(|(id, token)| (token, Some(id))).collect();
        let written_out = |option: &str| config.get(option).is_some_and(Value::is_object);
        let named = ["bos_token", "eos_token", "unk_token", "pad_token"].map(written_out);
        let named = [&bos, &eos, &unk, &pad].into_iter().cloned().zip(named);
        add_named(&mut tokens, named.chain(self.extra(&config)?.into_iter().map(|token| (token, false))));
        let max_length = match config.get("model_max_length") {
            None | Some(Value::Null) => usize::MAX,
            // transformers writes 1e30 for "no limit"; the cast saturates.
            Some(value) => match value.as_f64() {
                Some(length) if length >= 2.0 => length as usize,
                _ => return Err(self.refuse(CONFIG, format!("model_max_length = {value}; 2 is the least"))),
            },
        };
        let left = |option: &str| match config.get(option).and_then(Value::as_str) {
            None | Some("right") => Ok(false),
            Some("left") => Ok(true),
            Some(other) => Err(self.refuse(CONFIG, format!("{option} = {other:?}; right and left are known"))),
        };
        let (pads_left, truncates_left) = (left("padding_side")?, left("truncation_side")?);
        Ok(BpeSettings { bos, eos, unk, pad, tokens, max_length, pads_left, truncates_left })
    }

    fn extra(&self, config: &Map<String, Value>) -> Result<Vec<AddedToken>, ClipError> {
        let lists =
            ["additional_special_tokens", "extra_special_tokens"].map(|option| (option, config.get(option)));
        let mut found = Vec::new();
        for (option, list) in lists {
            match list {
                None | Some(Value::Null) => {}
                Some(Value::Object(named)) if named.is_empty() => {}
                Some(Value::Array(list)) => {
                    for value in list {
                        let token = token(value, true);
                        found.push(token.ok_or_else(|| self.refuse(CONFIG, format!("{option} holds {value}")))?);
                    }
                }
                Some(other) => {
                    return Err(self.refuse(CONFIG, format!("{option} = {other} is not a list of tokens")));
                }
            }
        }
        Ok(found)
    }

    fn refuse_unknown(&self, config: &Map<String, Value>) -> Result<(), ClipError> {
        const CLASSES: [&str; 4] =
            ["CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"];
        if let Some(class) = config.get("tokenizer_class").and_then(Value::as_str)
            && !CLASSES.contains(&class)
        {
            let message =
                format!("tokenizer_class = {class:?} is not supported; supported: {}", CLASSES.join(", "));
            return Err(self.refuse(CONFIG, message));
        }
        for (option, value) in config {
            if NEUTRAL.contains(&option.as_str()) || option.starts_with('_') || value.is_null() {
                continue;
            }
            let fixed = FIXED.iter().find(|(name, _)| name == option).map(|&(_, value)| value);
            if fixed != Some(value.to_string().as_str()) {
                let supported = fixed.map_or(String::new(), |value| format!("; supported: {value}"));
                return Err(self.refuse(CONFIG, format!("{option} = {value} is not supported{supported}")));
            }
        }
        Ok(())
    }

    /// A file as an object; empty where it is missing.
    fn json(&self, name: &str) -> Result<Map<String, Value>, ClipError> {
        let Some(text) = self.texts.get(name) else { return Ok(Map::new()) };
        serde_json::from_str(text).map_err(|error| self.refuse(name, error.to_string()))
    }

    fn refuse(&self, name: &str, message: String) -> ClipError {
        ClipError::Tokenizer { path: self.folder.join(name), message }
    }
}

/// A token of the settings: its text, or an object with it and how it is found in a text.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    if let Some(content) = value.as_str() {
        return Some(AddedToken::from(content, special));
    }
    let flag = |name: &str, default: bool| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    let content = value.get("content")?.as_str()?;
    let special = special || flag("special", false);
    let token = AddedToken::from(content, special)
        .single_word(flag("single_word", false))
        .lstrip(flag("lstrip", false))
        .rstrip(flag("rstrip", false))
        .normalized(flag("normalized", !special));
    Some(token)
}

/// Tokens that stand in no list of added ones. Two names may have one token: of those written alike (as a text, or out as an
/// object) the first says how it is found in a text, of the two ways of writing the later.
fn add_named(tokens: &mut Vec<(AddedToken, Option<u32>)>, named: impl Iterator<Item = (AddedToken, bool)>) {
    let listed = tokens.len();
    let mut ways: Vec<(String, bool)> = Vec::new();
    for (token, written_out) in named {
        let way = (token.content.clone(), written_out);
        let place = tokens.iter().position(|(known, _)| known.content == token.content);
        match place {
            None => tokens.push((token, None)),
            Some(place) if place >= listed && !ways.contains(&way) => tokens[place].0 = token,
            Some(_) => {}
        }
        ways.push(way);
    }
}
