use serde::{Deserialize, Serialize};

use crate::evaluation::Evaluation;

/// A genome and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Individual<G> {
    /// The genome.
    pub genome: G,
    /// Its objectives, or its violation.
    pub evaluation: Evaluation,
}
