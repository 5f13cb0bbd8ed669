use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ObjectiveValues, summary::summary_of};

/// The search for the front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchSummary {
    /// Candidates evaluated, those beyond a limit included.
    pub evaluated: usize,
    /// Candidates that keep all limits.
    pub feasible: usize,
    /// Members of the front.
    pub front: usize,
    /// Generations.
    pub generations: u32,
    /// Why it ended.
    pub stop_reason: Option<StopReason>,
    /// Largest allowed value of each limited quantity.
    pub limits: ObjectiveValues,
    /// Slots of the space, as data flows.
    pub slots: Vec<SlotSummary>,
}

summary_of!("search", SearchSummary);

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StopReason {
    /// So many generations were evaluated.
    GenerationLimit(u32),
    /// The hypervolume gained too little.
    HypervolumeStalled {
        /// Generations without gain.
        generations: u32,
    },
    /// No candidate was found that had not been evaluated.
    SpaceExhausted,
}

/// A slot of the search space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotSummary {
    /// Name, e.g. `down.0.1.r`.
    pub slot: String,
    /// Resolution level; 0 is the highest resolution.
    pub level: usize,
    /// Channels.
    pub channels: usize,
}
