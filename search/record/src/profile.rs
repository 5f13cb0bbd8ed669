use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{number, summary::summary_of};

/// Measurements of architectures on one device by one runtime. The stage's name continues with the runtime:
/// `profile-onnxruntime`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSummary {
    /// Device and runtime.
    pub device: String,
    /// Clock that was read: `cpu` (processor time) or `wall`.
    pub clock: String,
    /// Whole architectures that ran, repeats and anchors not counted.
    pub architectures: usize,
    /// Single blocks that ran.
    pub blocks: usize,
    /// Measurements that failed.
    pub failed: usize,
    /// Architectures that need more memory than there is.
    pub out_of_memory: usize,
    /// Measurements whose median had not settled.
    pub unsteady: usize,
    /// Median relative difference of architectures measured twice.
    pub noise_floor: Option<f64>,
    /// Change of the anchors from the fastest to the slowest in per cent, relative to the reference network.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub drift_percent: f64,
    /// The same as measured.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub raw_drift_percent: f64,
    /// Relative error of an anchor's time predicted from its neighbouring anchors.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub scatter: f64,
    /// Fraction of wall time that other processes took during slow runs.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub taken_by_others: f64,
}

summary_of!("profile", ProfileSummary);

/// What is to be measured on another device, as `profile plan` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemotePlan {
    /// Folder of the models and of the table to fill.
    pub folder: PathBuf,
    /// Architectures.
    pub architectures: usize,
    /// Lines of the table.
    pub lines: usize,
    /// Choices that occur once or never.
    pub rare: usize,
}
