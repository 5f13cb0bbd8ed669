use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FormatVersion, summary::file_at};

/// `broken_files.json`: files of the data set that could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokenFiles {
    /// Version of the file.
    pub format_version: FormatVersion<1>,
    /// Files of each split of a folder of clips; empty for clips that are generated.
    pub splits: BTreeMap<String, Vec<BrokenFile>>,
}

file_at!("broken_files.json", 1, BrokenFiles);

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokenFile {
    /// Name as in the metadata.
    pub file_name: String,
    /// What is wrong with it.
    pub reason: String,
}
