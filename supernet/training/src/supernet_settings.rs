use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{TrainingRecipe, defaults::is_nothing};

/// What happens to the image backbone's weights while the supernet trains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpatialWeights {
    /// They are frozen.
    Frozen,
    /// They train at this fraction of the learning rate.
    Slow(f64),
    /// They are frozen; low-rank adapters of this rank on them train (Hu et al. 2022).
    Lora(usize),
}

/// How a supernet is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SupernetSettings {
    /// Genotype of the teacher; at each slot the choice with the most multiply-accumulates where not given.
    pub teacher: Option<String>,
    /// What happens to the image weights.
    pub spatial: SpatialWeights,
    /// Steps before distillation starts.
    pub warmup_steps: u64,
    /// Weight of the distance to the teacher's prediction; 0 turns it off.
    pub distillation: f64,
    /// Weight of the distance to the teacher's block outputs, each relative to their mean square; 0 turns it off.
    #[serde(skip_serializing_if = "is_nothing")]
    pub feature_distillation: f64,
    /// The teacher's own path trains every this many steps; 0 for never.
    pub teacher_every: u64,
    /// Sandwich rule: each step also trains the widest or the narrowest path of the same kinds of operators, alternating.
    pub sandwich: bool,
    /// Steps, batch, optimiser and the rest.
    #[serde(deserialize_with = "recipe")]
    pub training: TrainingRecipe,
}

fn recipe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrainingRecipe, D::Error> {
    TrainingRecipe::supernet().overridden(deserializer)
}

impl Default for SupernetSettings {
    fn default() -> Self {
        Self {
            teacher: None,
            spatial: SpatialWeights::Frozen,
            warmup_steps: 100,
            distillation: 0.5,
            feature_distillation: 0.0,
            teacher_every: 4,
            sandwich: true,
            training: TrainingRecipe::supernet(),
        }
    }
}

impl SupernetSettings {
    /// Whether a loss uses a teacher.
    pub(crate) fn distils(&self) -> bool {
        self.distillation > 0.0 || self.feature_distillation > 0.0
    }
}
