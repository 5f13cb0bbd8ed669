use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Accuracy, number, summary::summary_of};

/// The latency predictor of the target device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencySummary {
    /// Device and runtime.
    pub device: String,
    /// Clock that was read: `cpu` (processor time) or `wall`.
    pub clock: String,
    /// Architectures that the tested predictor was fitted on.
    pub trained_on: usize,
    /// Accuracy on held-out architectures; none where there are none.
    pub accuracy: Option<Accuracy>,
    /// Accuracy of a line through multiply-accumulates, as a baseline.
    pub accuracy_of_macs_fit: Option<Accuracy>,
    /// Accuracy of a linear model of (slot, choice) indicators, as a baseline.
    pub accuracy_of_one_hot_fit: Option<Accuracy>,
    /// Fraction of held-out measurements inside their 90 % intervals.
    pub coverage_90: Option<f64>,
    /// Median relative difference of architectures measured twice.
    pub noise_floor: Option<f64>,
    /// Model of the process's peak memory, where peaks were measured.
    pub memory: Option<MemoryModel>,
    /// Devices that the predictor also learned from.
    pub sources: Vec<SimilarDevice>,
    /// Each held-out architecture.
    pub held_out_points: Vec<LatencyPoint>,
}

summary_of!("latency", LatencySummary);

/// Peak memory of a process: a base, plus so many bytes per byte of weights and of live activations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryModel {
    /// Bytes of the process without a network.
    pub base_bytes: f64,
    /// Bytes per byte of weights.
    pub per_parameter_byte: f64,
    /// Bytes per byte of live activations.
    pub per_activation_byte: f64,
    /// Mean absolute relative error on the peaks that it was fitted on.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub fit_mape: f64,
    /// Least predicted peak in bytes of an architecture that ran out of memory.
    pub too_much_bytes: Option<u64>,
}

/// Another device whose latencies resemble the target's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimilarDevice {
    /// Device and runtime.
    pub device: String,
    /// Spearman's correlation of its predictions with the target's measurements.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub agreement: f64,
}

/// A held-out architecture's latency in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyPoint {
    /// Measured.
    pub measured_ms: f64,
    /// Predicted.
    pub predicted_ms: f64,
    /// Lower end of the predicted 90 % interval.
    pub low_ms: f64,
    /// Upper end of the interval.
    pub high_ms: f64,
    /// Predicted by a line through multiply-accumulates.
    pub macs_fit_ms: f64,
}
