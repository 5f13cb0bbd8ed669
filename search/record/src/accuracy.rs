use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number;

/// Agreement of predicted latencies with measured ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Architectures compared.
    pub count: usize,
    /// Mean absolute relative error, as a fraction.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub mape: f64,
    /// Fraction of architectures predicted within 5 %.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub within_5pct: f64,
    /// Fraction of architectures predicted within 10 %.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub within_10pct: f64,
    /// Spearman's rank correlation.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub spearman: f64,
    /// Kendall's τ-b.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub kendall: f64,
    /// Fraction of the variance explained.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub r2: f64,
    /// Fraction of measurements inside the predicted 90 % intervals; none where predictions have no interval.
    pub coverage: Option<f64>,
}
