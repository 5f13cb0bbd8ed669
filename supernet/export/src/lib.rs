//! Writing graphs as ONNX, running them in other runtimes ([`RUNTIMES`]), and verifying that they give the same numbers.

mod builder;
mod error;
mod onnx;
mod operations;
mod proto;
mod runtimes;
mod verify;

pub use error::ExportError;
pub use onnx::{ModelInfo, to_onnx};
pub use runtimes::RUNTIMES;
pub use verify::{Verification, verify};
