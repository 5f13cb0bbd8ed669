use std::path::PathBuf;

use thiserror::Error;

/// Why a table cannot be read, or a protocol not run on it. Each completes the phrase "failed to …".
#[derive(Debug, Error)]
pub enum TableError {
    /// A table of latencies cannot be used.
    #[error("use table {path}, line {line}: {message}")]
    Table {
        /// File.
        path: PathBuf,
        /// Line, from 1, the header being the first; 0 for the whole file.
        line: usize,
        /// What is wrong, and the way out.
        message: String,
    },
    /// What stands beside a table and describes it cannot be used.
    #[error("use the description {path}: {message}")]
    Card {
        /// File.
        path: PathBuf,
        /// What is wrong, and the way out.
        message: String,
    },
    /// Devices, rows or counts that the table does not have.
    #[error("follow the protocol: {0}")]
    Protocol(String),
    /// Numbers from which nothing can be learned.
    #[error("learn from {device}: {message}")]
    Learn {
        /// Device.
        device: String,
        /// What is wrong.
        message: String,
    },
    /// A predictor cannot be written.
    #[error("write {path}: {message}")]
    Write {
        /// File.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
}
