use std::path::PathBuf;

use thiserror::Error;

/// Why latency cannot be measured or learned.
#[derive(Debug, Error)]
pub enum LatencyError {
    /// A profile cannot be read or written.
    #[error("use profile {path}, line {line}: {message}")]
    Profile {
        /// File.
        path: PathBuf,
        /// Line, from 1; 0 for the whole file.
        line: usize,
        /// What is wrong, and the way out.
        message: String,
    },
    /// Too little, or numbers that are none.
    #[error("fit the latency predictor: {0}")]
    Fit(String),
    /// The runtime failed.
    #[error(transparent)]
    Runtime(#[from] tnas_graph::RuntimeError),
}
