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
    /// A name cannot be that of a file in the run's folder.
    #[error(
        "name {name:?}, {what}: a file name of ASCII letters, digits, '.', '_' and '-' is expected, not beginning with '.'"
    )]
    FileName {
        /// What is named: a device, an architecture, a stage.
        what: &'static str,
        /// Name as given.
        name: String,
    },
}
