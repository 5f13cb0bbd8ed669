//! Writing graphs as ONNX and proving the export.
