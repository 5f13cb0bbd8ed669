use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{FormatVersion, summary::file_at};

/// `stages/<stage>.json`: what a finished stage depended on, what it wrote, and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageStamp {
    /// Version of the stamp.
    pub format_version: FormatVersion<1>,
    /// Name of the stage.
    pub stage: String,
    /// Version of what the stage does.
    pub stage_version: u32,
    /// SHA-256 of everything that the result depends on.
    pub key: String,
    /// Resolved settings, by name.
    pub settings: BTreeMap<String, Value>,
    /// Inputs in order; their paths are for people.
    pub inputs: Vec<HashedPath>,
    /// Outputs, by paths from the run's folder.
    pub outputs: Vec<HashedPath>,
    /// Figures of the stage: a [`Summary`](crate::Summary).
    pub summary: Value,
}

file_at!(1, StageStamp);

/// A file or folder and the hash of its contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HashedPath {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its contents, in hexadecimal.
    pub sha256: String,
}

impl StageStamp {
    /// The stage's figures; an error where they are of another version of the program.
    pub fn figures<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(&self.summary).map_err(|error| error.to_string())
    }
}
