use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Accuracy, LatencyPoint, SimilarDevice, number, summary::summary_of};

/// Accuracy of the latency predictor on a profile, with its learning curve (`latency eval`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyEvaluation {
    /// Device and runtime.
    pub device: String,
    /// Clock that was read: `cpu` (processor time) or `wall`.
    pub clock: String,
    /// Architectures that the predictor was fitted on.
    pub measurements: usize,
    /// Architectures that it was tested on.
    pub tested_on: usize,
    /// Median relative difference of architectures measured twice.
    pub noise_floor: Option<f64>,
    /// Second measurements predicted by the first: the accuracy of a perfect predictor.
    pub repeats: Option<Accuracy>,
    /// Of the predictor.
    pub predictor: Option<Accuracy>,
    /// Of a line through multiply-accumulates.
    pub macs_fit: Option<Accuracy>,
    /// Of a linear model of (slot, choice) indicators.
    pub one_hot_fit: Option<Accuracy>,
    /// Other devices that were offered as sources.
    pub sources_offered: usize,
    /// Those of them that resemble this device and were learned from.
    pub sources: Vec<SimilarDevice>,
    /// Accuracy by number of measurements.
    pub learning_curve: Vec<LearningPoint>,
    /// Means over other splits into training and test architectures.
    pub splits: SplitMeans,
    /// Each tested architecture.
    pub points: Vec<LatencyPoint>,
}

summary_of!("latency-eval", LatencyEvaluation);

/// The evaluation with the time that fitting takes, as `latency eval` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimedLatencyEvaluation {
    /// Figures that are the same on every machine.
    pub evaluation: LatencyEvaluation,
    /// Those of this machine.
    pub speed: PredictorSpeed,
}

/// Accuracy of predictors that were fitted on so many architectures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearningPoint {
    /// Architectures.
    pub measurements: usize,
    /// Of the predictor.
    pub predictor: Option<Accuracy>,
    /// Of a line through multiply-accumulates.
    pub macs_fit: Option<Accuracy>,
    /// Of a linear model of (slot, choice) indicators.
    pub one_hot_fit: Option<Accuracy>,
}

/// Mean accuracy over random splits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitMeans {
    /// Splits.
    pub count: u64,
    /// Of the predictor.
    pub predictor: Option<Accuracy>,
    /// Of a line through multiply-accumulates.
    pub macs_fit: Option<Accuracy>,
    /// Of a linear model of (slot, choice) indicators.
    pub one_hot_fit: Option<Accuracy>,
}

/// Time that fitting and predicting take, on this machine. It is printed, and not part of the stage's summary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictorSpeed {
    /// Architectures fitted.
    pub rows: usize,
    /// Seconds of the fit.
    pub fit_seconds: f64,
    /// Candidates predicted in a second of processor time.
    pub per_second: f64,
    /// Candidates predicted in a second of wall time.
    pub per_second_of_wall_time: f64,
    /// Median latency of the candidates, in milliseconds.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub median_candidate_ms: f64,
}
