use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::overrides::{self, Override};
use crate::places::Places;
use crate::renamed::rename;
use crate::{SettingsError, nearest};

/// Where each key of some settings was written: the line and column in the file, or the override that set it.
#[derive(Clone, Debug)]
pub struct SettingsSource {
    places: Places,
    root: Key,
    warnings: Vec<String>,
}

/// Offset of a key, and the keys below it.
#[derive(Clone, Debug, Default)]
struct Key {
    offset: usize,
    below: BTreeMap<String, Key>,
}

impl SettingsSource {
    pub(crate) fn read<T: DeserializeOwned>(
        text: &str,
        path: &Path,
        overrides: &[String],
        renamed: &[(&str, &str)],
    ) -> Result<(T, Self), SettingsError> {
        let places = Places::new(path, text, overrides);
        let at = |error: toml::de::Error| {
            places.error(error.span().map_or(0, |span| span.start), message(error.message()))
        };
        let parsed = DeTable::parse(text).map_err(at)?;
        let span = parsed.span();
        let read = |(offset, text): (usize, &str)| {
            let refused = |message| SettingsError::Override { text: text.into(), message };
            Override::read(text, offset).map_err(refused)
        };
        let read: Vec<Override> = places.overrides().map(read).collect::<Result<_, _>>()?;
        let mut root = DeValue::Table(parsed.into_inner());
        let mut warnings = Vec::new();
        rename(&mut root, renamed, &places, &mut warnings)?;
        for one in &read {
            let key = one.renamed(renamed, &places, &mut warnings);
            let refused = |message| places.error(one.offset, message);
            overrides::apply(&mut root, &key, one.offset, one.value().map_err(refused)?).map_err(refused)?;
            // The value may be a table that holds old names.
            rename(&mut root, renamed, &places, &mut warnings)?;
        }
        let keys = Key::of(0, &root);
        let DeValue::Table(table) = root else { return Err(places.error(0, "no table of settings".into())) };
        let settings = T::deserialize(Deserializer::from(Spanned::new(span, table))).map_err(at)?;
        Ok((settings, Self { places, root: keys, warnings }))
    }

    /// An error about the value of a dotted key. It points at the key in the file, at the override that set it, or, where the
    /// key is not there, at the table that lacks it.
    pub fn error(&self, key: &str, message: impl Into<String>) -> SettingsError {
        let mut found = &self.root;
        for name in overrides::key_path(key).unwrap_or_default() {
            let Some(below) = found.below.get(&name) else { break };
            found = below;
        }
        self.places.error(found.offset, message.into())
    }

    /// What a user should change although it still works: keys under old names.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Key {
    fn of(offset: usize, value: &DeValue) -> Self {
        let below = match value {
            DeValue::Table(table) => table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), Self::of(key.span().start, value.get_ref())))
                .collect(),
            DeValue::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (index.to_string(), Self::of(item.span().start, item.get_ref())))
                .collect(),
            _ => BTreeMap::new(),
        };
        Self { offset, below }
    }
}

/// The message of a deserialisation error; for an unknown name with the one that was probably meant.
fn message(words: &str) -> String {
    // serde says, and objectives say after it: unknown field `found`, expected one of `this`, `that`.
    let kind =
        ["field", "variant", "objective"].into_iter().find(|kind| words.starts_with(&format!("unknown {kind} `")));
    let mut names = words.split('`').skip(1).step_by(2);
    match (kind, names.next().and_then(|found| Some((found, nearest(found, names)?)))) {
        (Some(kind), Some((found, meant))) => format!("unknown {kind} `{found}`, did you mean `{meant}`?"),
        _ => words.trim_end().replace('\n', "; "),
    }
}
