use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LoadingTimes, summary::summary_of};

/// A few-step student of the winner. The stage's name continues where the student is not the study's own:
/// `distill-dmd2-2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistillSummary {
    /// Method: `adversarial` or `dmd2`.
    pub method: String,
    /// Optimiser steps.
    pub steps: u64,
    /// Denoising steps that the student was trained to.
    pub student_steps: usize,
    /// Its pipeline folder, from the run's folder.
    pub folder: PathBuf,
    /// Waiting for clips.
    pub loading: LoadingTimes,
}

summary_of!("distill", DistillSummary);
