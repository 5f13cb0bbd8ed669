use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Accuracy, FormatVersion, ObjectiveSet, ObjectiveValues,
    summary::{file_at, summary_of},
};

/// `front.json`: the Pareto front.
///
/// In Python, `pandas.json_normalize(json.load(open("front.json"))["rows"])` has a row per member, with the columns
/// `objectives.loss`, `objectives.latency_ms`, `measured.latency_ms`, `parameters`, …
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Version of the file.
    pub format_version: FormatVersion<2>,
    /// Objectives of the study, in its order.
    pub objectives: ObjectiveSet,
    /// One row per member, from the worst to the best of the first objective: with loss and latency, the fastest first.
    pub rows: Vec<FrontRow>,
}

file_at!("front.json", 2, Front);

/// A member of the front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontRow {
    /// Architecture.
    pub arch_id: String,
    /// Its canonical text.
    pub genotype: String,
    /// Value of each objective by name, as the search saw it: scored, predicted or counted.
    pub objectives: ObjectiveValues,
    /// Values that were measured afterwards, by the same names; empty where it was not measured.
    pub measured: ObjectiveValues,
    /// Weights of the denoiser.
    pub parameters: u64,
    /// Multiply-accumulates of one call.
    pub macs: u64,
    /// Bytes of activations alive at once during a call.
    pub peak_activation_bytes: u64,
    /// Whether the study's rule picked it.
    pub winner: bool,
}

/// The measured front and its winner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontSummary {
    /// Members.
    pub members: usize,
    /// Members that were measured.
    pub measured: usize,
    /// Predicted values compared with the measured ones, by objective.
    pub accuracy: BTreeMap<String, Accuracy>,
    /// Architecture of the winner.
    pub winner: String,
    /// Its canonical text.
    pub winner_genotype: String,
}

summary_of!("front", FrontSummary);
