use std::path::PathBuf;

use thiserror::Error;

/// Why a model cannot be exported or proved.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A weight is missing or misshapen.
    #[error(transparent)]
    Weight(#[from] tnas_graph::WeightError),
    /// The model is larger than one protobuf message may be.
    #[error("export the model: {bytes} bytes of weights do not fit the 2 GB that one ONNX file holds")]
    TooLarge {
        /// Bytes.
        bytes: usize,
    },
    /// ONNX Runtime's library is missing.
    #[error(
        "load ONNX Runtime: no libonnxruntime was found{tried}; install it with `pip install onnxruntime`, or name it in ORT_DYLIB_PATH"
    )]
    NoLibrary {
        /// Where it was looked for, with a leading separator.
        tried: String,
    },
    /// ONNX Runtime refused.
    #[error("run {what} in ONNX Runtime: {message}")]
    Runtime {
        /// File or step.
        what: String,
        /// What it said.
        message: String,
    },
    /// A file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
}
