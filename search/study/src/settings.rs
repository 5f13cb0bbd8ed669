use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{SettingsError, SettingsSource};

/// Reads settings from a TOML file, with `a.b=c` overrides applied to them in order.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>, overrides: &[String]) -> Result<T, SettingsError> {
    Ok(load_source(path, overrides, &[])?.0)
}

/// As [`load`], from a text; `path` is the file's name in errors.
///
/// The text may be incomplete or wrong where an override sets it right. If the result is wrong, the error points at the
/// line and column in the file, or at the override that the wrong value came from.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path, overrides: &[String]) -> Result<T, SettingsError> {
    Ok(parse_source(text, path, overrides, &[])?.0)
}

/// As [`load`], with the source of every key: later checks make errors with it that point at the file's line and column or
/// at the override.
///
/// `renamed` lists old dotted keys and their new names. Values under an old name, in the file or in an override, move to the
/// new one, and [`SettingsSource::warnings`] says so.
pub fn load_source<T: DeserializeOwned>(
    path: impl AsRef<Path>,
    overrides: &[String],
    renamed: &[(&str, &str)],
) -> Result<(T, SettingsSource), SettingsError> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.into(), source })?;
    parse_source(&text, path, overrides, renamed)
}

/// As [`load_source`], from a text; `path` is the file's name in errors.
pub fn parse_source<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    overrides: &[String],
    renamed: &[(&str, &str)],
) -> Result<(T, SettingsSource), SettingsError> {
    SettingsSource::read(text, path, overrides, renamed)
}

/// The settings as the TOML text that [`load`] reads.
pub fn to_toml_string(settings: &impl Serialize) -> Result<String, SettingsError> {
    toml::to_string(settings).map_err(|e| SettingsError::ToToml(e.to_string()))
}
