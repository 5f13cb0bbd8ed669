use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ObjectiveValues, summary::summary_of};

/// Hypervolume of all candidates so far, by generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HypervolumeSummary {
    /// Reference point: a value of each objective by name that all candidates of interest are better than.
    pub reference_point: ObjectiveValues,
    /// Hypervolume after each generation.
    pub by_generation: Vec<f64>,
}

summary_of!("hypervolume", HypervolumeSummary);
