use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::StabilitySettings;

/// State of a training loop besides the weights; stored in checkpoints, so that a resumed run repeats an uninterrupted one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoopRecord {
    /// Steps done, skipped ones included.
    pub done: u64,
    /// Bad steps in a row up to now.
    pub bad: u64,
    /// Bad steps in all.
    pub skipped: u64,
    /// Roll-backs so far.
    pub roll_backs: u64,
    /// Figures of the last good steps by name, oldest first.
    pub recent: BTreeMap<String, Vec<f64>>,
    /// The lowest held-out loss so far.
    pub best: Option<f64>,
    /// Evaluations of the held-out loss since the lowest.
    // The name in checkpoints of earlier versions.
    #[serde(alias = "looks")]
    pub evaluations_since_best: u64,
    /// Whether the loop stopped early.
    pub stopped: bool,
}

impl LoopRecord {
    /// Records a held-out loss, and stops the loop where patience is exhausted.
    pub(crate) fn evaluated(&mut self, loss: f64, settings: &StabilitySettings) {
        if loss.is_finite() && self.best.is_none_or(|best| loss < best * (1.0 - settings.least_gain)) {
            (self.best, self.evaluations_since_best) = (Some(loss), 0);
        } else {
            self.evaluations_since_best += 1;
        }
        self.stopped = self.evaluations_since_best >= settings.patience;
    }
}

/// Good steps before there is a running median.
const LEAST_HISTORY: usize = 16;

/// The step that a training loop is at.
#[derive(Debug)]
pub struct CurrentStep<'a> {
    /// Steps done before.
    pub index: u64,
    /// Factor of the learning rate: below 1 after roll-backs.
    pub rate_factor: f64,
    pub(crate) settings: &'a StabilitySettings,
    pub(crate) record: &'a mut LoopRecord,
}

impl CurrentStep<'_> {
    /// Whether these figures are good: finite, and none an explosion over its running median, which good figures join.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_far_above_its_median_is_bad_once_there_is_one() {
        let settings = StabilitySettings { window: 20, ..StabilitySettings::default() };
        let mut record = LoopRecord::default();
        let mut step = CurrentStep { index: 0, rate_factor: 1.0, settings: &settings, record: &mut record };
        assert!(step.accepts(&[("loss", 1e6)]));
        for _ in 0..30 {
            assert!(step.accepts(&[("loss", 2.0)]));
        }
        assert!(step.accepts(&[("loss", 199.0)]) && !step.accepts(&[("loss", 201.0)]));
        assert!(!step.accepts(&[("loss", f64::NAN)]) && !step.accepts(&[("loss", f64::INFINITY)]));
        assert_eq!(record.recent["loss"].len(), 20);
    }

    #[test]
    fn evaluations_without_a_better_loss_end_a_loop() {
        let settings = StabilitySettings { patience: 2, least_gain: 0.1, ..StabilitySettings::default() };
        let mut record = LoopRecord::default();
        let stopped = [1.0, 0.95, 0.8, 0.79, f64::NAN].map(|loss| {
            record.evaluated(loss, &settings);
            record.stopped
        });
        assert_eq!(stopped, [false, false, false, false, true]);
        assert_eq!(record.best, Some(0.8));
    }

    #[test]
    fn records_of_older_checkpoints_are_read() {
        let text =
            r#"{"done":7,"bad":0,"skipped":1,"roll_backs":0,"recent":{},"best":0.5,"looks":2,"stopped":false}"#;
        let record: LoopRecord = serde_json::from_str(text).unwrap();
        assert_eq!((record.done, record.evaluations_since_best), (7, 2));
        assert!(serde_json::to_string(&record).unwrap().contains("\"evaluations_since_best\":2"));
    }
}
