use std::path::PathBuf;

use thiserror::Error;

/// Why latency cannot be measured or learned. Each completes the phrase "failed to …".
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
    /// A saved predictor cannot be read or written.
    #[error("use predictor {path}: {message}")]
    Predictor {
        /// File.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The candidates cannot be planned.
    #[error("plan the measurements: {0}")]
    Plan(String),
    /// Too little, or numbers that are none.
    #[error("fit the predictor: {0}")]
    Fit(String),
    /// A policy that can never end, or never begin.
    #[error("measure by the policy: {0}")]
    Policy(String),
    /// The measuring process cannot be started or spoken to.
    #[error("run the measuring process {program}: {message}")]
    Child {
        /// Program.
        program: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The runtime failed.
    #[error(transparent)]
    Runtime(#[from] tnas_graph::RuntimeError),
}
