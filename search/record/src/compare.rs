use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Band, number, summary::summary_of};

/// The winner compared with hand-made and random architectures, all trained alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Optimiser steps of each arm.
    pub steps: u64,
    /// Relative difference in parameters up to which an architecture counts as of the winner's size.
    pub size_tolerance: f64,
    /// One row per architecture, the winner first.
    pub rows: Vec<ContenderRow>,
    /// Random architecture with the median loss.
    pub random_median: Option<String>,
    /// Domination beyond the errors.
    pub verdicts: Verdicts,
}

summary_of!("compare", Comparison);

/// An architecture compared with the winner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContenderRow {
    /// Name of the arm.
    pub arm: String,
    /// Canonical text of its architecture.
    pub genotype: String,
    /// Weights of the denoiser.
    pub parameters: u64,
    /// The same relative to the winner's.
    pub size: f64,
    /// Whether it counts as of the winner's size.
    pub same_size: bool,
    /// Mean held-out loss.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub held_out_loss: f64,
    /// The same by band of time.
    pub bands: Vec<Band>,
    /// Loss of the winner minus loss of this, paired over clips: below 0 where the winner is better.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub winner_minus_this: f64,
    /// Standard error of the difference.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub standard_error: f64,
    /// Clips compared on.
    pub clips: usize,
    /// Measured objectives by name; empty where the target device is not at hand.
    pub measured: BTreeMap<String, MeasuredRange>,
    /// The winner compared with this in each objective: −1 better, 1 worse, 0 equal within the errors.
    pub winner_is: BTreeMap<String, i8>,
}

/// A measured value over several measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasuredRange {
    /// Median.
    pub median: f64,
    /// Least.
    pub least: f64,
    /// Most.
    pub most: f64,
}

/// Names of arms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Arms that dominate the winner.
    pub dominated_by: Vec<String>,
    /// Arms that the winner dominates.
    pub dominates: Vec<String>,
}
