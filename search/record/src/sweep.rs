use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Spread, summary::summary_of};

/// Students by the distribution of the noise times that they are trained at (`distill --sweep-mean`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepSummary {
    /// Method: `adversarial` or `dmd2`.
    pub method: String,
    /// Denoising steps of the students.
    pub student_steps: usize,
    /// One row per student.
    pub rows: Vec<SweepRow>,
    /// The row with the smallest kernel MMD.
    pub best: Option<SweepRow>,
}

summary_of!("sweep", SweepSummary);

/// A student and the distance of its clips to real ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepRow {
    /// Mean of the logit-normal distribution of times.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
    /// Squared kernel MMD to real clips.
    pub kernel_mmd: Option<Spread>,
    /// Fréchet distance to real clips.
    pub frechet: Option<Spread>,
}
