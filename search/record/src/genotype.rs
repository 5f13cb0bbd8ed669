use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FormatVersion, summary::file_at};

/// `genotype.json` of a model folder: which temporal layers its UNet has, and how it was trained. Other keys are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelGenotype {
    /// Version of the file; files written by hand may leave it out.
    #[serde(default)]
    pub format_version: FormatVersion<1>,
    /// Architecture.
    #[serde(default)]
    pub arch_id: String,
    /// Its canonical text.
    pub genotype: String,
    /// Layer of the text encoder that the UNet reads, e.g. `penultimate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_layer: Option<String>,
    /// Whether it was trained to continue from a given first frame.
    #[serde(default, skip_serializing_if = "is_false")]
    pub first_frame: bool,
    /// Fraction of the noise's variance that the frames of a clip have in common.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shared_noise: f64,
    /// Where the weights come from, where they were not trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Seed that the weights were drawn with, where they were not trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

file_at!(1, ModelGenotype);

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}
