use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{FormatVersion, LoadingTimes, RunFile, Versioned, number, summary::summary_of};

/// Labels that an evaluator predicts, each with its values in order.
pub type EvaluatorLabels = Vec<(String, Vec<String>)>;

/// `evaluator/evaluator.json`: which evaluator a run has. Figures compare under one evaluator only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedEvaluator<S = Map<String, Value>> {
    /// Version of the file.
    pub format_version: FormatVersion<1>,
    /// SHA-256 of the file of its weights.
    pub evaluator_sha256: String,
    /// SHA-256 of everything that its training clips follow from, in order.
    pub training_split_sha256: String,
    /// Clips that it was trained on.
    pub training_clips: usize,
    /// Labels that it predicts.
    pub labels: EvaluatorLabels,
    /// Geometry of its network.
    pub network: PublishedNetwork,
    /// Settings that it was trained with, as in the study's `evaluator`.
    pub settings: S,
}

impl<S: Serialize + DeserializeOwned> Versioned for PublishedEvaluator<S> {
    const FORMAT_VERSION: u32 = 1;
}

impl<S: Serialize + DeserializeOwned> RunFile for PublishedEvaluator<S> {
    const PATH: &'static str = "evaluator/evaluator.json";
}

/// Geometry of an evaluator's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedNetwork {
    /// Rows and columns of a frame.
    pub size: usize,
    /// Frames of a clip.
    pub frames: usize,
    /// Width of the first convolution.
    pub width: usize,
    /// Classes of each label, in order.
    pub classes: Vec<usize>,
    /// Numbers that its features predict of a clip's colours; 0 where they do not see appearance.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub colours: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A trained evaluator on real clips and on corrupted ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluatorSummary {
    /// SHA-256 of the run's `evaluator/`.
    pub evaluator_hash: String,
    /// Fréchet distance of real clips to other real clips.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub floor: f64,
    /// Real clips, then corrupted ones.
    pub controls: Vec<ControlRow>,
    /// Whether every corrupted set is further from real clips than real clips are.
    pub controls_worse_than_floor: bool,
    /// Waiting for clips.
    pub loading: LoadingTimes,
}

summary_of!("evaluator", EvaluatorSummary);

/// A set of held-out clips under the evaluator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlRow {
    /// `real`, or how they are corrupted.
    pub clips: String,
    /// Fréchet distance to real clips.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub frechet: f64,
    /// Fraction of clips whose label is predicted correctly, by label.
    pub accuracy: BTreeMap<String, f64>,
}
