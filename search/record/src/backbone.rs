use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LoadingTimes, summary::summary_of};

/// The image model of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackboneSummary {
    /// Whether it was trained here, on single frames; otherwise it was copied.
    pub trained: bool,
    /// Optimiser steps, where it was trained.
    pub steps: Option<u64>,
    /// Weights of the UNet.
    pub parameters: usize,
    /// Weights of the text encoder.
    pub text_parameters: usize,
    /// Layer of the text encoder that the UNet reads; none where it was trained here.
    pub text_layer: Option<String>,
    /// Waiting for clips, where it was trained.
    pub loading: Option<LoadingTimes>,
}

summary_of!("backbone", BackboneSummary);
