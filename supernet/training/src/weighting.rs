use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SettingError;

/// Weight of a clip's loss by its time; how often a time is drawn is up to [`crate::TimeDistribution`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// 1 at all times.
    #[default]
    None,
    /// min(SNR, γ) on the error of the predicted data (Hang et al. 2023), SNR = ((1 − t)/t)². That error is t times the
    /// velocity's: the velocity's weight is min((1 − t)², γ·t²), largest in the middle. They take γ = 5.
    MinSnr(f32),
    /// (1 + p)·tᵖ: leans to noise, and is 1 in the mean over evenly drawn times.
    HighNoise(f32),
}

impl Weighting {
    /// Whether it is the default, which is not written.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Weight of the velocity's squared error at a time.
    pub fn of(self, t: f32) -> f32 {
        match self {
            Self::None => 1.0,
            Self::MinSnr(gamma) => (1.0 - t).powi(2).min(gamma * t * t),
            Self::HighNoise(power) => (1.0 + power) * t.powf(power),
        }
    }

    /// What is wrong with it, if anything.
    pub fn check(self) -> Result<(), SettingError> {
        match self {
            Self::MinSnr(gamma) if !(gamma > 0.0 && gamma.is_finite()) => {
                Err(SettingError::new("weighting.min_snr", format!("= {gamma} must be above 0; 5 is usual")))
            }
            Self::HighNoise(power) if !(power >= 0.0 && power.is_finite()) => {
                let reason = format!("= {power} must be 0 (no weighting) or more");
                Err(SettingError::new("weighting.high_noise", reason))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_snr_weighs_the_error_of_the_data() {
        let gamma = 5.0f64;
        for t in [0.01f64, 0.2, 0.3, 0.31, 0.5, 0.9, 0.99] {
            let snr = ((1.0 - t) / t).powi(2);
            // x̂0 = x_t − t·v̂: an error e of v̂ is one of −t·e of x̂0.
            let of_data = snr.min(gamma) * t.powi(2);
            assert!((f64::from(Weighting::MinSnr(5.0).of(t as f32)) / of_data - 1.0).abs() < 1e-5, "{t}");
        }
    }

    #[test]
    fn high_noise_keeps_the_mean() {
        const COUNT: usize = 20_000;
        for power in [0.0f32, 0.5, 1.0, 3.0] {
            let weight = |i| f64::from(Weighting::HighNoise(power).of((i as f32 + 0.5) / COUNT as f32));
            let mean = (0..COUNT).map(weight).sum::<f64>() / COUNT as f64;
            assert!((mean - 1.0).abs() < 1e-3, "{power}: {mean}");
        }
        assert_eq!(Weighting::HighNoise(0.0).of(0.3), 1.0);
        assert!(Weighting::HighNoise(1.0).of(0.9) > Weighting::HighNoise(1.0).of(0.1));
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        assert!(Weighting::MinSnr(0.0).check().unwrap_err().to_string().contains("min_snr = 0"));
        assert!(Weighting::HighNoise(-1.0).check().unwrap_err().to_string().contains("high_noise = -1"));
        assert!(Weighting::None.check().is_ok());
    }
}
