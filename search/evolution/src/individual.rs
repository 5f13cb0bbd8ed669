use serde::{Deserialize, Serialize};

use crate::objectives::Objectives;

/// A genome and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Individual<G> {
    /// The candidate.
    pub genome: G,
    /// Its evaluation.
    pub objectives: Objectives,
}
