use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FormatVersion, ObjectiveSet, ObjectiveValues, summary::file_at};

/// `search/local_scores.json`: each choice at each slot alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalScores {
    /// Version of the file.
    pub format_version: FormatVersion<2>,
    /// Objectives of the study, in its order.
    pub objectives: ObjectiveSet,
    /// One row per slot and choice.
    pub rows: Vec<LocalScore>,
}

file_at!("search/local_scores.json", 2, LocalScores);

/// One choice at one slot compared with no temporal layers, through the supernet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalScore {
    /// Slot, e.g. `down.0.1.r`.
    pub slot: String,
    /// Operators of the choice, e.g. `conv1d(k=3)`.
    pub choice: String,
    /// Value of each objective with the choice minus without, by name.
    pub changes: ObjectiveValues,
    /// Standard error of the change of the loss, paired over clips.
    pub standard_error: Option<f64>,
}
