use thiserror::Error;

/// Why a model cannot be exported.
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
}
