use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number;

/// Time that a training loop spent waiting for batches of clips, since the process began the loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadingTimes {
    /// Batches loaded.
    pub batches: u64,
    /// Seconds since the first batch was requested.
    pub seconds: f64,
    /// Seconds of them in which training waited.
    pub waited_seconds: f64,
    /// The second over the first.
    #[serde(deserialize_with = "number::or_nan")]
    #[schemars(with = "Option<f64>")]
    pub waited_fraction: f64,
}
