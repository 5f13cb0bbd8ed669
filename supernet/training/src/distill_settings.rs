use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{AdamWSettings, FlowSettings, SettingError, TimeDistribution, TrainingRecipe};

/// Distillation of a trained video model to few steps: adversarially (SF-V, arXiv 2406.04324, written for rectified flow), or by
/// distribution matching.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistillSettings {
    /// `adversarial`, or `dmd2`.
    #[serde(skip_serializing_if = "DistillMethod::is_default")]
    pub method: DistillMethod,
    /// Denoising steps of the student.
    pub student_steps: usize,
    /// Shift of the student's times towards noise.
    pub shift: f32,
    /// Discriminator-only updates at the start.
    pub head_warmup_steps: u64,
    /// Discriminator updates per update of the student.
    pub head_updates: u64,
    /// λ, weight of the distance to the data.
    pub reconstruction: f64,
    /// c of the pseudo-Huber distance.
    pub huber: f64,
    /// γ, weight of the approximate R1 penalty. Above 0 the discriminator is computed in f32.
    pub r1: f64,
    /// σ of the noise that approximates it.
    pub r1_noise: f32,
    /// Distribution of the times of the noise under which the discriminator sees clips.
    pub noise: TimeDistribution,
    /// Optimiser of the discriminator's heads.
    pub heads: AdamWSettings,
    /// Settings of `dmd2`.
    #[serde(skip_serializing_if = "ScoreSettings::is_default")]
    pub scores: ScoreSettings,
    /// Steps, batch, optimiser of the student and the rest; `flow` does not apply.
    #[serde(deserialize_with = "recipe")]
    pub training: TrainingRecipe,
}

fn recipe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrainingRecipe, D::Error> {
    TrainingRecipe::distill().overridden(deserializer)
}

impl Default for DistillSettings {
    fn default() -> Self {
        Self {
            method: DistillMethod::Adversarial,
            student_steps: 4,
            shift: 1.0,
            head_warmup_steps: 60,
            head_updates: 2,
            reconstruction: 0.1,
            huber: 0.01,
            r1: 0.1,
            r1_noise: 0.05,
            noise: TimeDistribution { mean: -1.0, deviation: 1.0 },
            heads: AdamWSettings { learning_rate: 3e-3, warmup_steps: 10, ..AdamWSettings::default() },
            scores: ScoreSettings::default(),
            training: TrainingRecipe::distill(),
        }
    }
}

impl DistillSettings {
    /// The figure that shows whether training is stable: the loss of the network that the student is trained against.
    pub fn watched(&self) -> &'static str {
        match self.method {
            DistillMethod::Adversarial => "loss_heads",
            DistillMethod::Dmd2 => "loss_score",
        }
    }

    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), SettingError> {
        if self.student_steps == 0 {
            return Err(SettingError::new("student_steps", "= 0: a student takes at least one step"));
        }
        if self.training.flow != FlowSettings::default() {
            let reason = "does not apply to a student: its times are student_steps and shift, those of what it is compared with \
                          noise and scores.noise; take it out";
            return Err(SettingError::new("training.flow", reason));
        }
        self.scores.check().map_err(|error| error.within("scores"))
    }

    /// Updates of the discriminator per step; 0 where the method has none.
    pub(crate) fn discriminator_updates(&self) -> u64 {
        if self.has_discriminator() { self.head_updates } else { 0 }
    }

    /// Whether the method has a discriminator.
    pub(crate) fn has_discriminator(&self) -> bool {
        self.method == DistillMethod::Adversarial || self.scores.adversarial > 0.0
    }

    /// Updates of the student's score per step; 0 where the method has none.
    pub(crate) fn score_updates(&self) -> u64 {
        if self.method == DistillMethod::Dmd2 { self.scores.updates } else { 0 }
    }

    /// Steps before the student's first update, in which the discriminator alone is updated.
    pub(crate) fn warmup_steps(&self) -> u64 {
        match self.discriminator_updates() {
            0 => 0,
            updates => self.head_warmup_steps.div_ceil(updates),
        }
    }
}

/// How the student is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DistillMethod {
    /// A discriminator, and the distance to the data (SF-V, arXiv 2406.04324).
    #[default]
    Adversarial,
    /// Distribution matching: the difference of two scores (DMD2, arXiv 2405.14867).
    Dmd2,
}

impl DistillMethod {
    /// Whether it is the default, which is not written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Its name in studies.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adversarial => "adversarial",
            Self::Dmd2 => "dmd2",
        }
    }
}

/// Distribution matching distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreSettings {
    /// Updates of the network that learns the student's score, per update of the student.
    pub updates: u64,
    /// Guidance of the teacher's score; 1 needs no second call of the network.
    pub guidance: f32,
    /// Distribution of the times at which the scores are compared and learnt.
    pub noise: TimeDistribution,
    /// Weight of −D(ŷ), with the discriminator of the adversarial method and as many updates of it; 0 leaves it out.
    pub adversarial: f64,
    /// Optimiser of the network that learns the student's score.
    pub optimizer: AdamWSettings,
}

impl Default for ScoreSettings {
    fn default() -> Self {
        Self {
            updates: 5,
            guidance: 1.0,
            noise: TimeDistribution::default(),
            adversarial: 0.0,
            optimizer: AdamWSettings { learning_rate: 1e-4, warmup_steps: 10, ..AdamWSettings::default() },
        }
    }
}

impl ScoreSettings {
    /// Whether these are the defaults, which are not written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self { updates, guidance, adversarial, .. } = self;
        if *updates == 0 {
            let reason = "= 0 leaves the student's score untrained; give at least 1";
            return Err(SettingError::new("updates", reason));
        }
        if !guidance.is_finite() || *guidance < 0.0 {
            return Err(SettingError::new("guidance", format!("= {guidance} must be a number from 0 on")));
        }
        if !adversarial.is_finite() || *adversarial < 0.0 {
            return Err(SettingError::new("adversarial", format!("= {adversarial} must be a number from 0 on")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_named() {
        assert!(ScoreSettings::default().check().is_ok());
        let bad = |settings: ScoreSettings| settings.check().unwrap_err().to_string();
        assert!(bad(ScoreSettings { updates: 0, ..Default::default() }).contains("updates = 0"));
        assert!(bad(ScoreSettings { guidance: f32::NAN, ..Default::default() }).contains("guidance = NaN"));
        assert!(bad(ScoreSettings { adversarial: -1.0, ..Default::default() }).contains("adversarial = -1"));
    }
}
