use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_record::ObjectiveNames;
use tnas_training::{FlowSettings, SettingError};

use super::ReferencePoint;

/// Evolution and scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSettings {
    /// What is traded off, by name; the first is what the best of a front is the best of.
    pub objectives: ObjectiveNames,
    /// Candidates alive.
    pub population: usize,
    /// Generations.
    pub generations: u32,
    /// What the first generation is made of.
    #[serde(skip_serializing_if = "Start::is_default")]
    pub start: Start,
    /// Held-out clips that score a candidate.
    pub clips: usize,
    /// Times and noise of the score.
    pub flow: FlowSettings,
    /// Clips of a forward pass.
    pub batch: usize,
    /// A limit on what is predicted is kept where the prediction and so many of its standard deviations are within it.
    pub limit_sigmas: f64,
    /// Most members of the front that are measured again.
    pub remeasure: usize,
    /// Held-out clips on which trained models are compared.
    pub compared_clips: usize,
    /// A value of each objective that hypervolumes are taken to, for comparing runs; a twentieth beyond the worst of this search
    /// where not given. The run's study.toml has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_point: Option<ReferencePoint>,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            objectives: ObjectiveNames::default(),
            population: 24,
            generations: 12,
            start: Start::Local,
            clips: 96,
            flow: FlowSettings::default(),
            batch: 16,
            limit_sigmas: 1.0,
            remeasure: 24,
            compared_clips: 256,
            reference_point: None,
        }
    }
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// From nothing and from what the scores of each choice at each slot alone say is best, filled up by chance.
    #[default]
    Local,
    /// From nothing, filled up by chance.
    Random,
}

impl Start {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the winner is compared with, all trained alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompareSettings {
    /// Steps of every arm; those of fine-tuning where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Random architectures of the winner's size.
    pub random: usize,
    /// Fraction of the winner's parameters that an arm may differ by and still be of its size.
    pub size_tolerance: f64,
    /// Genotypes of one's own by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arms: BTreeMap<String, String>,
}

impl Default for CompareSettings {
    fn default() -> Self {
        Self { steps: None, random: 8, size_tolerance: 0.05, arms: BTreeMap::new() }
    }
}

impl CompareSettings {
    /// What is wrong with the settings, if anything.
    pub(super) fn check(&self) -> Result<(), SettingError> {
        let taken = ["winner", "none", "attention-everywhere", "hand-rule"];
        let plain = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && !name.is_empty()
                && !taken.contains(&name)
                && !name.starts_with("random-")
        };
        if let Some(name) = self.arms.keys().find(|name| !plain(name)) {
            let reason = format!("needs a name of letters, digits, - and _, other than {}", taken.join(", "));
            return Err(SettingError::new(format!("arms.{name:?}"), reason));
        }
        if !(self.size_tolerance >= 0.0 && self.size_tolerance.is_finite()) {
            let reason = format!("= {} must be 0 or more", self.size_tolerance);
            return Err(SettingError::new("size_tolerance", reason));
        }
        Ok(())
    }
}
