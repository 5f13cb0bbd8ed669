use thiserror::Error;

/// Why clips could not be evaluated.
#[derive(Debug, Error)]
pub enum EvaluationError {
    /// A statistic cannot be computed on these features.
    #[error("compute {statistic}: {message}")]
    Statistic {
        /// Which one.
        statistic: &'static str,
        /// What is missing.
        message: String,
    },
    /// Clips could not be read.
    #[error(transparent)]
    Clips(#[from] tnas_clips::ClipError),
}
