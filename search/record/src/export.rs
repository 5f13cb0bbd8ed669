use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    FormatVersion, number,
    summary::{file_at, summary_of},
};

/// `export/<architecture>/verify.json`: exported networks compared with this program on one recorded call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportSummary {
    /// Version of the file.
    pub format_version: FormatVersion<2>,
    /// The few-step student.
    pub denoiser: ExportProof,
    /// The autoencoder's decoder, where the study has one.
    pub decoder: Option<ExportProof>,
}

summary_of!("export", ExportSummary);
file_at!(2, ExportSummary);

/// One exported network in every runtime that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportProof {
    /// Whether it was run and agrees.
    pub proved: bool,
    /// Why it was not run.
    pub reason: Option<String>,
    /// Each runtime that ran it.
    pub runtimes: Vec<RuntimeProof>,
}

/// One exported network in one runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuntimeProof {
    /// Runtime and its version, e.g. `onnxruntime 1.23.0`.
    pub runtime: String,
    /// Type that the runtime computes in.
    pub precision: String,
    /// Its error.
    pub error: ExportError,
}

/// Error of a runtime's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportError {
    /// Largest absolute difference.
    #[serde(deserialize_with = "number::or_nan_f32")]
    #[schemars(with = "Option<f32>")]
    pub max_abs_error: f32,
    /// Largest absolute expected value.
    pub max_abs_output: f32,
    /// Allowed difference.
    pub tolerance: f32,
    /// Whether the error is within it.
    pub passed: bool,
}
