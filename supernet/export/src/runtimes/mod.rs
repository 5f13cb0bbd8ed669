//! Runtimes whose library is loaded when the program runs, one file each.

mod library;
mod onnxruntime;
mod openvino;

use std::path::Path;

use tnas_graph::{Graph, RuntimeError, RuntimeKind, Weights};

use crate::{ModelInfo, to_onnx};

/// Every runtime that runs exported files. To add one, write its file and its line here.
pub const RUNTIMES: &[RuntimeKind] = &[onnxruntime::ONNX_RUNTIME, openvino::OPENVINO];

/// A graph as an ONNX file, for a runtime that takes graphs in this form.
fn onnx_bytes(kind: &RuntimeKind, graph: &Graph, weights: &dyn Weights) -> Result<Vec<u8>, RuntimeError> {
    let fail = |message: String| RuntimeError::Backend { runtime: kind.name.into(), message };
    to_onnx(graph, weights, &ModelInfo::default()).map_err(|error| fail(error.to_string()))
}

/// A model file.
fn read(file: &Path) -> Result<Vec<u8>, RuntimeError> {
    std::fs::read(file).map_err(|source| RuntimeError::Read { path: file.into(), source })
}
