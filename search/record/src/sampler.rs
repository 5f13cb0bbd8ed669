use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a sampler moves from one noise level to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Along the velocity.
    Euler,
    /// To the predicted data, and back to the next level with fresh noise.
    Renoise,
}
