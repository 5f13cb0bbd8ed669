use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number;

/// Mean held-out loss over the clips whose time lies in a band.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Lowest time of the band; 0 is data, 1 is noise.
    pub from: f64,
    /// Highest time of the band.
    pub to: f64,
    /// Mean loss.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub mean: f64,
    /// Clips in the band.
    pub clips: usize,
}
