use crate::{SettingsError, nearest, overrides};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// Reads settings from a TOML file, with `a.b=c` overrides laid over them in order.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>, overrides: &[String]) -> Result<T, SettingsError> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.into(), source })?;
    parse(&text, path, overrides)
}

/// As [`load`], from a text; `path` names it in errors.
///
/// The text may be incomplete or wrong where an override sets it right. If the result is wrong, the file is blamed with
/// line and column, or the override that broke it.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path, overrides: &[String]) -> Result<T, SettingsError> {
    let original = toml::from_str::<T>(text);
    if overrides.is_empty() {
        return original.map_err(|e| at(path, text, &e));
    }
    // Positions are lost in what overrides make, so the text is evaluated by itself too.
    let mut table: Table = toml::from_str(text).map_err(|e| at(path, text, &e))?;
    let mut result = original.map_err(|e| (message(&e), at(path, text, &e)));
    for text in overrides {
        let refused = |message| SettingsError::Override { text: text.clone(), message };
        overrides::apply(&mut table, text).map_err(refused)?;
        result = match (Value::Table(table.clone()).try_into::<T>(), result) {
            (Ok(settings), _) => Ok(settings),
            (Err(e), Err((before, blamed))) if before == message(&e) => Err((before, blamed)),
            (Err(e), _) => Err((message(&e), refused(message(&e)))),
        };
    }
    result.map_err(|(_, blamed)| blamed)
}

/// The settings as the TOML text that [`load`] reads.
pub fn to_toml_string(settings: &impl Serialize) -> Result<String, SettingsError> {
    toml::to_string(settings).map_err(|e| SettingsError::ToToml(e.to_string()))
}

fn at(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let offset = error.span().map_or(0, |span| text.floor_char_boundary(span.start));
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    SettingsError::At {
        path: path.into(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: message(error),
    }
}

/// The error's words; for an unknown name with the one that was probably meant.
fn message(error: &toml::de::Error) -> String {
    let words = error.message();
    // serde says, and objectives say after it: unknown field `found`, expected one of `this`, `that`.
    let kind =
        ["field", "variant", "objective"].into_iter().find(|kind| words.starts_with(&format!("unknown {kind} `")));
    let mut names = words.split('`').skip(1).step_by(2);
    match (kind, names.next().and_then(|found| Some((found, nearest(found, names)?)))) {
        (Some(kind), Some((found, meant))) => format!("unknown {kind} `{found}`, did you mean `{meant}`?"),
        _ => words.trim_end().replace('\n', "; "),
    }
}
