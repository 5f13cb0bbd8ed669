use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    EvaluatorLabels, FormatVersion, PublishedNetwork, Sampler, Spread, number,
    summary::{file_at, summary_of},
};

/// Metrics of a set of clips by name: `kernel_mmd`, `frechet`, `frame_difference_ratio`, `accuracy/<label>`, …
pub type Metrics = BTreeMap<String, Spread>;

/// `evaluation/evaluation.json`, `samples/evaluation.json`: models and folders of clips compared with real clips by the run's evaluator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Version of the file.
    pub format_version: FormatVersion<3>,
    /// The evaluator: figures compare under one evaluator only.
    pub evaluator: EvaluatorIdentity,
    /// Clips of each arm.
    pub clips: usize,
    /// Real clips that distances are taken to.
    pub reference: Reference,
    /// Seeds that clips were sampled with.
    pub seeds: Vec<u64>,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Warnings to read before the figures.
    pub warnings: Vec<String>,
    /// Real clips compared with other real clips: the best that an arm can do.
    pub floor: EvaluatedArm,
    /// The floor's clips before the autoencoder, where there is one: what the autoencoder loses.
    pub before_autoencoder: Option<EvaluatedArm>,
    /// Held-out real clips, where the floor is of training clips.
    pub held_out: Option<EvaluatedArm>,
    /// Models and folders.
    pub arms: Vec<EvaluatedArm>,
    /// Corrupted real clips.
    pub controls: Vec<EvaluatedArm>,
    /// Whether each metric finds every control worse than real clips.
    pub fitness: Vec<MetricFitness>,
    /// Loss of few-step sampling, and the fraction of it that students recover.
    pub few_steps: Vec<FewSteps>,
    /// Paired differences of every two arms.
    pub differences: Vec<ArmDifference>,
}

file_at!("evaluation/evaluation.json", 3, Evaluation);

/// Which evaluator was used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluatorIdentity {
    /// SHA-256 of the run's `evaluator/`.
    pub hash: String,
    /// SHA-256 of the file of its weights.
    pub evaluator_sha256: String,
    /// SHA-256 of everything that its training clips follow from.
    pub training_split_sha256: String,
    /// Clips that it was trained on.
    pub training_clips: usize,
    /// Length of its features.
    pub features: usize,
    /// Labels that it predicts.
    pub labels: EvaluatorLabels,
    /// Geometry of its network.
    pub network: PublishedNetwork,
    /// Settings that it was trained with.
    pub settings: Map<String, Value>,
}

/// Real clips that distances are taken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Clips.
    pub clips: usize,
    /// Which they are, in words.
    pub of: String,
}

/// A set of clips with its metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluatedArm {
    /// Name of the arm.
    pub arm: String,
    /// Where its clips come from.
    pub settings: ArmSettings,
    /// Clips of each seed.
    pub clips: usize,
    /// Seeds.
    pub seeds: usize,
    /// Each metric with its 95 % interval.
    pub metrics: Metrics,
    /// Mean absolute difference of neighbouring frames; pixels reach from −1 to 1.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub mean_frame_difference: f64,
    /// Mean error of block-matched frames.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub warp_error: f64,
    /// Metrics minus those of the first arm, paired; none for real clips and controls.
    pub minus_first: Option<Metrics>,
    /// Nearest training clips; none where the clips are training clips themselves.
    pub memorisation: Option<Memorisation>,
}

/// Where an arm's clips come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ArmSettings {
    /// Real clips.
    Real,
    /// Corrupted real clips.
    Control,
    /// Sampled from a model.
    Model {
        /// Pipeline folder.
        model: PathBuf,
        /// UNet weights of another file.
        weights: Option<PathBuf>,
        /// Hash of the folder and of those weights.
        model_hash: String,
        /// Denoising steps.
        steps: usize,
        /// Sampler.
        sampler: Sampler,
        /// Shift of the times.
        shift: f32,
        /// Classifier-free guidance; 1 is none.
        guidance: f32,
    },
    /// Read from a folder.
    Folder {
        /// Folder.
        folder: PathBuf,
        /// Hash of its contents.
        folder_hash: String,
    },
}

/// Distances to the nearest training clips, compared with those of held-out real clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memorisation {
    /// Median distance to the nearest training clip.
    pub median: f64,
    /// The same of held-out real clips.
    pub held_out_median: f64,
    /// The first over the second: below 1 is nearer than real clips are.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub ratio: f64,
    /// Fraction of clips nearer than the 1st percentile of held-out clips.
    pub below_1st: f64,
    /// Its 95 % interval (Wilson).
    pub below_1st_interval: [f64; 2],
    /// Fraction of clips nearer than the 5th percentile of held-out clips.
    pub below_5th: f64,
    /// Its 95 % interval (Wilson).
    pub below_5th_interval: [f64; 2],
    /// Whether training clips were copied.
    pub copies: bool,
}

/// Whether a metric is fit to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricFitness {
    /// Metric.
    pub metric: String,
    /// Whether it finds every control worse than real clips.
    pub fit: bool,
    /// Controls that it does not find worse.
    pub blind_to: Vec<String>,
}

/// Loss of quality from many steps to few, in squared kernel MMD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FewSteps {
    /// Number of few steps.
    pub steps: usize,
    /// Plain Euler in few steps minus many steps.
    pub gap: Spread,
    /// Whether the gap exceeds two standard errors.
    pub beyond_2_errors: bool,
    /// Students of so many steps.
    pub students: Vec<StudentGain>,
}

/// What a student recovers of the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudentGain {
    /// Name of its arm.
    pub arm: String,
    /// Plain Euler minus this student, in squared kernel MMD.
    pub won: Spread,
    /// Fraction of the gap that it closes; none where the gap is within two errors.
    pub closed: Option<Spread>,
}

/// Paired difference of two arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmDifference {
    /// First arm.
    pub arm: String,
    /// Arm that is subtracted.
    pub minus: String,
    /// Difference of each metric that both have.
    pub difference: Metrics,
}

/// The evaluation in short; the whole is in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSummary {
    /// SHA-256 of the run's `evaluator/`.
    pub evaluator_hash: String,
    /// Clips of each arm.
    pub clips: usize,
    /// Arms.
    pub arms: usize,
    /// Metrics that are not fit to decide.
    pub unfit: Vec<String>,
}

summary_of!("evaluate", EvaluateSummary);

impl Evaluation {
    /// Every set of clips: real ones, arms, controls.
    pub fn all_arms(&self) -> impl Iterator<Item = &EvaluatedArm> {
        let real = std::iter::once(&self.floor).chain(&self.before_autoencoder).chain(&self.held_out);
        real.chain(&self.arms).chain(&self.controls)
    }

    /// The evaluation in short.
    pub fn summary(&self) -> EvaluateSummary {
        EvaluateSummary {
            evaluator_hash: self.evaluator.hash.clone(),
            clips: self.clips,
            arms: self.arms.len(),
            unfit: self.unfit().map(|metric| metric.metric.clone()).collect(),
        }
    }

    /// Metrics that are not fit to decide.
    pub fn unfit(&self) -> impl Iterator<Item = &MetricFitness> {
        self.fitness.iter().filter(|metric| !metric.fit)
    }
}
