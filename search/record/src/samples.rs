use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    FormatVersion, Interval, Sampler, number,
    summary::{file_at, summary_of},
};

/// The winner and its student sampled in many and in few steps, from captions of real clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplesSummary {
    /// Clips of each arm.
    pub clips: usize,
    /// Real clips, then each way of sampling.
    pub arms: Vec<SampledArm>,
    /// Sampler of the student with the smaller distance at its own number of steps.
    pub student_sampler: Sampler,
    /// Mean distance to the nearest training clip, of real and of sampled clips.
    pub nearest_training_clip: BTreeMap<String, f64>,
}

summary_of!("samples", SamplesSummary);

/// A set of clips under the run's evaluator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampledArm {
    /// Name of the arm.
    pub arm: String,
    /// Fréchet distance to held-out real clips.
    pub frechet: Interval,
    /// Fraction of clips whose label is predicted as requested, by label.
    pub accuracy: BTreeMap<String, f64>,
    /// Mean absolute difference of neighbouring frames; pixels reach from −1 to 1.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub mean_frame_difference: f64,
    /// Fréchet distance minus that of plain Euler in the same steps, paired; for students.
    pub frechet_minus_plain: Option<Interval>,
    /// Denoising steps, of sampled clips.
    pub steps: Option<usize>,
    /// Shift of the times, of sampled clips.
    pub shift: Option<f32>,
    /// Sampler, of sampled clips.
    pub sampler: Option<Sampler>,
    /// Whether the student made them, of sampled clips.
    pub student: Option<bool>,
}

/// `samples/evaluated.json`: what the evaluator predicts of each clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluatedLabels {
    /// Version of the file.
    pub format_version: FormatVersion<2>,
    /// Caption and labels that each clip was requested with.
    pub requested: Vec<RequestedClip>,
    /// Predicted labels of each clip, by arm.
    pub predicted: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

file_at!("samples/evaluated.json", 2, EvaluatedLabels);

/// A caption with its labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestedClip {
    /// Caption.
    pub caption: String,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
}

/// `samples/captions.json`: captions of the sampled pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SheetCaptions {
    /// Version of the file.
    pub format_version: FormatVersion<1>,
    /// Caption of each picture, in order.
    pub captions: Vec<String>,
    /// Name of each column of a picture.
    pub columns: Vec<String>,
}

file_at!("samples/captions.json", 1, SheetCaptions);

/// Clips that were generated, as `generate` prints them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratedClips {
    /// One per caption.
    pub clips: Vec<GeneratedClip>,
}

/// A generated clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratedClip {
    /// Caption.
    pub caption: String,
    /// Film.
    pub file: PathBuf,
}

/// A line of `metadata.jsonl` of a folder of films.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilmMetadata {
    /// Name of the film in the folder.
    pub file_name: String,
    /// Caption.
    pub text: String,
}
