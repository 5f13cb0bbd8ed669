use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FormatVersion, number, summary::file_at};

/// `search/local_scores.json`: each choice at each slot alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalScores {
    /// Version of the file.
    pub format_version: FormatVersion<1>,
    /// One row per slot and choice.
    pub rows: Vec<LocalScore>,
}

file_at!("search/local_scores.json", 1, LocalScores);

/// One choice at one slot compared with no temporal layers, through the supernet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalScore {
    /// Slot, e.g. `down.0.1.r`.
    pub slot: String,
    /// Operators of the choice, e.g. `conv1d(k=3)`.
    pub choice: String,
    /// Held-out loss with the choice minus without: below 0 where it helps.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub loss_change: f64,
    /// Standard error of the change, paired over clips.
    pub standard_error: Option<f64>,
    /// Milliseconds that the choice is predicted to add.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub latency_change_ms: f64,
}
