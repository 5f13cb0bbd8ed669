use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Band, LoadingTimes, number, summary::summary_of};

/// The trained winner, compared with the image model alone and with the supernet's teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinetuneSummary {
    /// Optimiser steps of each arm.
    pub steps: u64,
    /// Learning rate of the image weights, as a fraction of that of the temporal weights.
    pub spatial_rate: f64,
    /// Rank of the adapters that train in place of the image weights; 0 for none.
    pub lora_rank: usize,
    /// `winner`, `none` and `teacher`.
    pub arms: Vec<TrainedArm>,
}

summary_of!("finetune", FinetuneSummary);

/// A trained architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainedArm {
    /// Name of the arm.
    pub arm: String,
    /// Canonical text of its architecture.
    pub genotype: String,
    /// Mean held-out loss.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub held_out_loss: f64,
    /// The same by band of time.
    pub bands: Vec<Band>,
    /// Loss of the winner minus loss of this arm, paired over clips: below 0 where the winner is better.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub winner_minus_this: f64,
    /// Standard error of the difference.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub standard_error: f64,
    /// Clips compared on.
    pub clips: usize,
    /// Waiting for clips.
    pub loading: LoadingTimes,
}
