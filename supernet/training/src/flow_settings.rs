use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_network::Stream;

use crate::{SettingError, Shift, Weighting};

/// Which times of the flow are trained, how often their captions are dropped, and how much each time counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowSettings {
    /// Distribution of training times.
    pub time: TimeDistribution,
    /// Shift towards noise: above 1 for larger samples, or `"auto"`.
    pub shift: Shift,
    /// Fraction of clips trained with the empty caption, for guidance; held-out losses keep their captions.
    pub caption_dropout: f64,
    /// Weight of a clip's loss by its time.
    #[serde(skip_serializing_if = "Weighting::is_none")]
    pub weighting: Weighting,
}

/// Logit-normal times (Esser et al. 2024, §3.1): t = sigmoid(n), n ~ N(mean, deviation²).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeDistribution {
    /// Mean of the logit: above 0 leans to noise.
    pub mean: f32,
    /// Its standard deviation.
    pub deviation: f32,
}

impl Default for TimeDistribution {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

impl TimeDistribution {
    /// Draws a time in (0, 1).
    pub fn draw(&self, rng: &mut Stream) -> f32 {
        let n: f32 = StandardNormal.sample(rng);
        self.at(n)
    }

    /// The time at a standard normal number.
    pub(crate) fn at(&self, n: f32) -> f32 {
        sigmoid(self.mean + self.deviation * n)
    }
}

impl FlowSettings {
    /// Draws a shifted training time for clips `[C, F, H, W]`.
    pub fn draw(&self, shape: [usize; 4], rng: &mut Stream) -> f32 {
        self.shift.shift(self.time.draw(rng), shape)
    }

    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), SettingError> {
        self.shift.check()?;
        self.weighting.check()?;
        let dropout = self.caption_dropout;
        if !(0.0..=1.0).contains(&dropout) {
            return Err(SettingError::new("caption_dropout", format!("= {dropout} must be a fraction, of 0 to 1")));
        }
        Ok(())
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
