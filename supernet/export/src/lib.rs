//! Writing graphs as ONNX, running them through ONNX Runtime, and proving that both give the same numbers.

mod builder;
mod error;
mod onnx;
mod operations;
mod proto;
mod runtime;
mod verify;

pub use error::ExportError;
pub use onnx::{ModelInfo, to_onnx};
pub use runtime::{OnnxRuntime, OnnxSession};
pub use verify::{Verification, verify};
