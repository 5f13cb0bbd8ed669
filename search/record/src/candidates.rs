use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FormatVersion, ObjectiveSet, ObjectiveValues, summary::file_at};

/// `search/candidates.json`: every candidate that keeps the limits, in the order of the search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchCandidates {
    /// Version of the file.
    pub format_version: FormatVersion<2>,
    /// Objectives of the study, in its order.
    pub objectives: ObjectiveSet,
    /// One row per candidate.
    pub rows: Vec<SearchCandidate>,
}

file_at!("search/candidates.json", 2, SearchCandidates);

/// A candidate of the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchCandidate {
    /// Architecture.
    pub arch_id: String,
    /// Its canonical text.
    pub genotype: String,
    /// Generation that proposed it first, from 0.
    pub generation: u32,
    /// Value of each objective by name, e.g. `loss` and `latency_ms`, as the search saw it.
    pub objectives: ObjectiveValues,
    /// Whether it keeps all limits.
    pub feasible: bool,
}
