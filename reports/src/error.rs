use std::path::PathBuf;

use thiserror::Error;

/// Why a report cannot be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error("read {path}: {message}")]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        message: String,
    },
    /// A plot cannot be drawn.
    #[error("draw plot {name}: {message}")]
    Draw {
        /// Plot.
        name: String,
        /// Cause.
        message: String,
    },
}
