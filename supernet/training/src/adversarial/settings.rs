use serde::{Deserialize, Serialize};

use crate::{
    AdamWSettings, Checkpointing, Compute, SettingError, StabilitySettings, TimeDistribution,
    defaults::is_nothing,
    distribution_matching::{DistillMethod, ScoreSettings},
};

/// Fine-tuning to few steps: adversarially (SF-V, arXiv 2406.04324, written for rectified flow), or by scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversarialSettings {
    /// `adversarial`, or `dmd2`.
    #[serde(skip_serializing_if = "DistillMethod::is_default")]
    pub method: DistillMethod,
    /// Denoising steps of the student.
    pub student_steps: usize,
    /// Generator updates.
    pub steps: u64,
    /// Clips a step.
    pub batch: usize,
    /// Shift of the student's times towards noise.
    pub shift: f32,
    /// Discriminator-only updates at the start.
    pub head_warmup_steps: u64,
    /// Discriminator updates per generator update.
    pub head_updates: u64,
    /// λ, weight of the distance to the data.
    pub reconstruction: f64,
    /// c of the pseudo-Huber distance.
    pub huber: f64,
    /// γ, weight of the approximate R1 penalty.
    pub r1: f64,
    /// σ of the noise that approximates it.
    pub r1_noise: f32,
    /// Distribution of the times at which the discriminator looks.
    pub noise: TimeDistribution,
    /// Decay of the average of the student's weights.
    pub ema_decay: f64,
    /// Optimiser of the student.
    pub generator: AdamWSettings,
    /// Optimiser of the heads.
    pub heads: AdamWSettings,
    /// What `dmd2` does.
    #[serde(skip_serializing_if = "ScoreSettings::is_default")]
    pub scores: ScoreSettings,
    /// Fraction of the steps that train on single frames of the clips.
    #[serde(skip_serializing_if = "is_nothing")]
    pub images: f64,
    /// What the networks that train compute in, `"f32"`, `"bf16"` or `"f16"`, over weights in f32; the discriminator in f32 where
    /// `r1` is above 0.
    #[serde(skip_serializing_if = "Compute::is_f32")]
    pub compute: Compute,
    /// What a step keeps for its backward pass, `"off"` (all) or `"blocks"`.
    #[serde(skip_serializing_if = "Checkpointing::is_off")]
    pub checkpointing: Checkpointing,
    /// What happens to bad steps.
    #[serde(skip_serializing_if = "StabilitySettings::is_default")]
    pub stability: StabilitySettings,
}

impl Default for AdversarialSettings {
    fn default() -> Self {
        let adam = |learning_rate| AdamWSettings { learning_rate, warmup_steps: 10, ..AdamWSettings::default() };
        Self {
            method: DistillMethod::Adversarial,
            student_steps: 4,
            steps: 200,
            batch: 4,
            shift: 1.0,
            head_warmup_steps: 60,
            head_updates: 2,
            reconstruction: 0.1,
            huber: 0.01,
            r1: 0.1,
            r1_noise: 0.05,
            noise: TimeDistribution { mean: -1.0, deviation: 1.0 },
            ema_decay: 0.95,
            generator: adam(1e-5),
            heads: adam(3e-3),
            scores: ScoreSettings::default(),
            images: 0.0,
            compute: Compute::F32,
            checkpointing: Checkpointing::Off,
            stability: StabilitySettings::default(),
        }
    }
}

impl AdversarialSettings {
    /// The figure that tells how the stage goes: the loss of what the student is trained against.
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
        self.scores.check().map_err(|error| error.within("scores"))
    }

    /// Whether there are heads to train.
    pub(super) fn has_heads(&self) -> bool {
        self.method == DistillMethod::Adversarial || self.scores.adversarial > 0.0
    }
}
