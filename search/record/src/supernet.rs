use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LoadingTimes, number, summary::summary_of};

/// The trained supernet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SupernetSummary {
    /// Optimiser steps.
    pub steps: u64,
    /// Architectures in the search space.
    pub cardinality: f64,
    /// Slots of the space.
    pub slots: usize,
    /// Weights, those of all choices included.
    pub parameters: usize,
    /// Weights of temporal layers among them.
    pub temporal_parameters: usize,
    /// Genotype of the teacher.
    pub teacher: String,
    /// Held-out loss of the teacher's path.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub loss_teacher: f64,
    /// Held-out loss without temporal layers.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub loss_none: f64,
    /// Held-out loss of the teacher's path on clips whose frames are out of order.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub loss_teacher_on_shuffled_frames: f64,
    /// Waiting for clips.
    pub loading: LoadingTimes,
}

summary_of!("supernet", SupernetSummary);
