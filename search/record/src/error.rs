use std::path::PathBuf;

use thiserror::Error;

/// Why a record cannot be read or named.
#[derive(Debug, Error)]
pub enum RecordError {
    /// A file of the run cannot be read.
    #[error("read {path}: {message}")]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        message: String,
    },
    /// A name from outside cannot be part of a file's name.
    #[error(
        "name a file after the {what} {name:?}: letters, digits, `.`, `_` and `-` are allowed, and no `.` first"
    )]
    FileName {
        /// What is named: a device, an architecture, a stage.
        what: &'static str,
        /// Its name.
        name: String,
    },
}
