use thiserror::Error;
use tnas_record::RecordError;

/// Why a report cannot be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error(transparent)]
    Read(#[from] RecordError),
    /// A plot cannot be drawn.
    #[error("draw plot {name}: {message}")]
    Draw {
        /// Plot.
        name: String,
        /// Cause.
        message: String,
    },
}
