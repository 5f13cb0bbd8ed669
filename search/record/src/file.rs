use std::{fs, io::ErrorKind, path::Path};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{RecordError, RunFiles};

/// What a JSON file holds. Its first field is `format_version`.
pub trait Versioned: Serialize + DeserializeOwned {
    /// Version that is written and read.
    const FORMAT_VERSION: u32;
}

/// A file that a run has once.
pub trait RunFile: Versioned {
    /// Path from the run's folder, e.g. `search/candidates.json`.
    const PATH: &'static str;
}

/// The file's contents, or `None` where the run has none.
pub fn read<T: RunFile>(files: &RunFiles) -> Result<Option<T>, RecordError> {
    read_from(&files.path(T::PATH))
}

/// The same of a file at any other place.
pub fn read_from<T: Versioned>(path: &Path) -> Result<Option<T>, RecordError> {
    let fail = |message: String| RecordError::Read { path: path.into(), message };
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(error.to_string())),
        Ok(bytes) => from_json(&bytes).map(Some).map_err(fail),
    }
}

/// A value out of the bytes of its file. The version is compared first: what else may have changed is of no use to a reader.
pub fn from_json<T: Versioned>(bytes: &[u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Head {
        format_version: u32,
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if head.format_version != T::FORMAT_VERSION {
        let (found, known) = (head.format_version, T::FORMAT_VERSION);
        return Err(format!("its format version is {found}, this program knows {known}"));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// A record as the bytes of its file: indented, with a line break at the end.
pub fn to_json(record: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    Ok(bytes)
}
