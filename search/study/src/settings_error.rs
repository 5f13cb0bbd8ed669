use std::io;
use std::path::PathBuf;

/// What is wrong with a settings file or an override; each message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file says something that is not understood.
    #[error("read {path}:{line}:{column}: {message}")]
    At {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Characters, counted from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// An override does not fit.
    #[error("apply --set {text}: {message}")]
    Override {
        /// The override as it was typed.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// The settings have no TOML form.
    #[error("write the settings as TOML: {0}")]
    ToToml(String),
}
