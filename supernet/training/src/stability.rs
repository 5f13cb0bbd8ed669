use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SettingError;

/// What a training loop does about unstable steps, and when it stops early.
///
/// A bad step (a loss or gradient norm that is not finite, or that explodes) is skipped: weights, moments and averages keep
/// their bits. After several in a row the state goes back to the last snapshot and the learning rate falls; the batches of
/// the bad steps are not seen again (Chowdhery et al. 2022, §5.1). After several such roll-backs the stage fails.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StabilitySettings {
    /// A loss or gradient norm above this many times its running median is an explosion; 0 skips only what is not finite.
    pub explosion: f64,
    /// Good steps in the running median.
    pub window: usize,
    /// Bad steps in a row before a roll-back.
    pub bad_steps: u64,
    /// Factor of the learning rate at each roll-back.
    pub rate_factor: f64,
    /// Roll-backs before the stage fails.
    pub roll_backs: u64,
    /// Evaluations of the held-out loss without an improvement before the stage stops early; 0 never stops early.
    pub patience: u64,
    /// Steps between evaluations of the held-out loss.
    pub held_out_every: u64,
    /// Fraction by which the held-out loss must fall to count as an improvement.
    pub least_gain: f64,
}

impl Default for StabilitySettings {
    fn default() -> Self {
        Self {
            explosion: 100.0,
            window: 64,
            bad_steps: 5,
            rate_factor: 0.5,
            roll_backs: 3,
            patience: 0,
            held_out_every: 100,
            least_gain: 0.0,
        }
    }
}

impl StabilitySettings {
    /// Whether these are the defaults, which are not written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self { explosion, window, bad_steps, rate_factor, held_out_every, least_gain, .. } = *self;
        if !(explosion == 0.0 || explosion.is_finite() && explosion > 1.0) {
            let reason = format!("= {explosion} must be above 1, or 0 to skip only what is not finite");
            return Err(SettingError::new("explosion", reason));
        }
        let counts = [("window", window as u64), ("bad_steps", bad_steps), ("held_out_every", held_out_every)];
        if let Some((key, _)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return Err(SettingError::new(key, "= 0 must be at least 1"));
        }
        if !(rate_factor > 0.0 && rate_factor <= 1.0) {
            let reason = format!("= {rate_factor} must be above 0 and at most 1");
            return Err(SettingError::new("rate_factor", reason));
        }
        if !(0.0..1.0).contains(&least_gain) {
            return Err(SettingError::new("least_gain", format!("= {least_gain} must be from 0 to below 1")));
        }
        Ok(())
    }

    /// Whether the held-out loss is due after this step.
    pub(crate) fn held_out_due(&self, step: u64) -> bool {
        self.patience > 0 && (step + 1).is_multiple_of(self.held_out_every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_named() {
        let bad = StabilitySettings { explosion: 0.5, ..StabilitySettings::default() };
        assert!(bad.check().unwrap_err().to_string().contains("explosion = 0.5"));
        assert!(StabilitySettings::default().check().is_ok());
    }
}
