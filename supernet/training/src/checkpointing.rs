use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Activation checkpointing: what a training step keeps of its forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Checkpointing {
    /// All activations that the backward pass reads.
    #[default]
    Off,
    /// The activations between blocks; each block is computed again (Chen et al. 2016): less than half the memory for up to a
    /// third more time.
    Blocks,
}

impl Checkpointing {
    /// Whether it is the default, which is not written.
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}
