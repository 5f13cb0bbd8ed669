use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::SettingError;

/// What a training loop does where a step goes wrong, and when it stops early.
///
/// A bad step (a loss or gradient norm that is not finite, or that explodes) is skipped: weights, moments and averages keep
/// their bits. After several in a row the state goes back to the last snapshot and the learning rate falls; the batches of
/// the bad steps are not seen again (Chowdhery et al. 2022, §5.1). After several such roll-backs the loop gives up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StabilitySettings {
    /// A loss or gradient norm above so many times its running median explodes; 0 looks for numbers that are not finite
    /// alone.
    pub explosion: f64,
    /// Good steps whose figures make the running median.
    pub window: usize,
    /// Bad steps in a row before a roll-back.
    pub bad_steps: u64,
    /// What a roll-back multiplies the learning rate by.
    pub rate_factor: f64,
    /// Roll-backs before the loop gives up.
    pub roll_backs: u64,
    /// Looks at the held-out loss without a better one before the loop stops early; 0 never stops early.
    pub patience: u64,
    /// Steps between looks.
    pub held_out_every: u64,
    /// Share by which a loss must fall to be better.
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
    /// Whether these are the defaults: they are then not written, and a stage's settings read as they did before.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self { explosion, window, bad_steps, rate_factor, held_out_every, least_gain, .. } = *self;
        if !(explosion == 0.0 || explosion.is_finite() && explosion > 1.0) {
            let reason = format!("= {explosion} must be above 1, or 0 to look for no explosion");
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

/// What a loop remembers beside the weights; kept in checkpoints, so that a resumed run evaluates steps as an unbroken one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoopRecord {
    /// Steps done, skipped ones among them.
    pub done: u64,
    /// Bad steps at the end of them.
    pub bad: u64,
    /// Bad steps in all.
    pub skipped: u64,
    /// Roll-backs so far.
    pub roll_backs: u64,
    /// Figures of the last good steps by name, oldest first.
    pub recent: BTreeMap<String, Vec<f64>>,
    /// The least held-out loss so far.
    pub best: Option<f64>,
    /// Looks since.
    pub looks: u64,
    /// Whether the loop stopped early.
    pub stopped: bool,
}

/// Good steps before a running median says anything.
const LEAST_HISTORY: usize = 16;

/// One turn of a training loop: which step it is, how far the rate has fallen, and whether what it finds may be used.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Steps done before.
    pub step: u64,
    /// Factor of the learning rate: below 1 after roll-backs.
    pub rate: f64,
    pub(crate) settings: &'a StabilitySettings,
    pub(crate) record: &'a mut LoopRecord,
}

impl Turn<'_> {
    /// Whether these figures of a step are good: finite, and none far above its running median. Good ones join the median.
    pub fn accepts(&mut self, figures: &[(&str, f64)]) -> bool {
        let good = figures.iter().all(|&(name, value)| value.is_finite() && !self.explodes(name, value));
        if good {
            for &(name, value) in figures {
                let recent = self.record.recent.entry(name.into()).or_default();
                recent.push(value);
                if recent.len() > self.settings.window {
                    recent.remove(0);
                }
            }
        }
        good
    }

    fn explodes(&self, name: &str, value: f64) -> bool {
        let recent = self.record.recent.get(name).map_or(&[][..], Vec::as_slice);
        if self.settings.explosion == 0.0 || recent.len() < LEAST_HISTORY.min(self.settings.window) {
            return false;
        }
        let mut sorted = recent.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        median > 0.0 && value > self.settings.explosion * median
    }
}

impl LoopRecord {
    /// Notes a held-out loss; whether the loop has waited too long for a better one.
    pub(crate) fn look(&mut self, loss: f64, settings: &StabilitySettings) -> bool {
        if loss.is_finite() && self.best.is_none_or(|best| loss < best * (1.0 - settings.least_gain)) {
            (self.best, self.looks) = (Some(loss), 0);
        } else {
            self.looks += 1;
        }
        self.stopped = self.looks >= settings.patience;
        self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_far_above_its_median_is_bad_once_there_is_one() {
        let settings = StabilitySettings { window: 20, ..StabilitySettings::default() };
        let mut record = LoopRecord::default();
        let mut turn = Turn { step: 0, rate: 1.0, settings: &settings, record: &mut record };
        assert!(turn.accepts(&[("loss", 1e6)]));
        for _ in 0..30 {
            assert!(turn.accepts(&[("loss", 2.0)]));
        }
        assert!(turn.accepts(&[("loss", 199.0)]) && !turn.accepts(&[("loss", 201.0)]));
        assert!(!turn.accepts(&[("loss", f64::NAN)]) && !turn.accepts(&[("loss", f64::INFINITY)]));
        assert_eq!(record.recent["loss"].len(), 20);
    }

    #[test]
    fn looks_without_a_better_loss_end_a_loop() {
        let settings = StabilitySettings { patience: 2, least_gain: 0.1, ..StabilitySettings::default() };
        let mut record = LoopRecord::default();
        let looks: Vec<bool> = [1.0, 0.95, 0.8, 0.79, f64::NAN].map(|loss| record.look(loss, &settings)).to_vec();
        assert_eq!(looks, [false, false, false, false, true]);
        assert_eq!(record.best, Some(0.8));
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let bad = StabilitySettings { explosion: 0.5, ..StabilitySettings::default() };
        assert!(bad.check().unwrap_err().to_string().contains("explosion = 0.5"));
        assert!(StabilitySettings::default().check().is_ok());
    }
}
