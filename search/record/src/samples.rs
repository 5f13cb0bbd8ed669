use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    EvaluateSummary, FormatVersion, Sampler, Spread,
    summary::{file_at, summary_of},
};

/// The winner and its student sampled in many and in few steps, from captions of real clips. The figures are an
/// [`Evaluation`](crate::Evaluation) in `samples/evaluation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplesSummary {
    /// The evaluation in short.
    pub evaluation: EvaluateSummary,
    /// Sampler of the student with the smaller kernel MMD at its own number of steps.
    pub student_sampler: Sampler,
    /// That squared kernel MMD to real clips.
    pub student_kernel_mmd: Option<Spread>,
}

summary_of!("samples", SamplesSummary);

/// `evaluated.json`, next to an evaluation: what the evaluator predicts of each clip.
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

file_at!(2, EvaluatedLabels);

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
