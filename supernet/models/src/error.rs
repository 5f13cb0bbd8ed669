use thiserror::Error;
use tnas_space::SpaceError;

/// Why a config cannot be used, or its graph not be built.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A config asks for something that is not there.
    #[error("use {config}: {option} = {value} is not supported{hint}")]
    Unsupported {
        /// Kind of config.
        config: &'static str,
        /// Option's name.
        option: String,
        /// Its value.
        value: String,
        /// What is supported, with a leading separator, or nothing.
        hint: String,
    },
    /// A config is not what it should be.
    #[error("read {config}: {message}")]
    Config {
        /// Kind of config.
        config: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A genotype does not fit the backbone.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The graph is not well formed.
    #[error(transparent)]
    Graph(#[from] tnas_graph::GraphError),
}
