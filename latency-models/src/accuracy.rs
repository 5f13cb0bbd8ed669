use serde::{Deserialize, Serialize};

use crate::{Prediction, correlation};

/// How well predictions agree with measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Architectures.
    pub count: usize,
    /// Mean absolute relative error.
    pub mape: f64,
    /// Share within 5 %.
    pub within_5pct: f64,
    /// Share within 10 %.
    pub within_10pct: f64,
    /// Spearman's rank correlation.
    pub spearman: f64,
    /// Kendall's τ-b.
    pub kendall: f64,
    /// Fraction of the variance that is explained; below 0, worse than the mean.
    pub r2: f64,
    /// Fraction of measurements inside their intervals, where there are intervals.
    pub coverage: Option<f64>,
}

impl Accuracy {
    /// Compares what was measured, all above 0, with as many predictions.
    pub fn new(measured: &[f64], predicted: &[f64]) -> Self {
        let errors: Vec<f64> = measured.iter().zip(predicted).map(|(m, p)| ((p - m) / m).abs()).collect();
        let count = errors.len();
        let share = |limit: f64| errors.iter().filter(|&&e| e <= limit).count() as f64 / count.max(1) as f64;
        Self {
            count,
            mape: errors.iter().sum::<f64>() / count.max(1) as f64,
            within_5pct: share(0.05),
            within_10pct: share(0.10),
            spearman: correlation::spearman(measured, predicted),
            kendall: correlation::kendall(measured, predicted),
            r2: r2(measured, predicted),
            coverage: None,
        }
    }

    /// Average of several, of which there is one at least; `count` is their sum.
    pub fn mean(all: &[Self]) -> Option<Self> {
        let n = all.len() as f64;
        let of = |figure: fn(&Self) -> f64| all.iter().map(figure).sum::<f64>() / n;
        let coverage: Option<Vec<f64>> = all.iter().map(|accuracy| accuracy.coverage).collect();
        (!all.is_empty()).then(|| Self {
            count: all.iter().map(|accuracy| accuracy.count).sum(),
            mape: of(|a| a.mape),
            within_5pct: of(|a| a.within_5pct),
            within_10pct: of(|a| a.within_10pct),
            spearman: of(|a| a.spearman),
            kendall: of(|a| a.kendall),
            r2: of(|a| a.r2),
            coverage: coverage.map(|coverage| coverage.iter().sum::<f64>() / n),
        })
    }

    /// The same with intervals.
    pub fn of_predictions(measured: &[f64], predictions: &[Prediction]) -> Self {
        let means: Vec<f64> = predictions.iter().map(|p| p.mean_ms).collect();
        let held = predictions.iter().zip(measured).filter(|(p, ms)| p.low_ms <= **ms && **ms <= p.high_ms).count();
        let coverage = Some(held as f64 / predictions.len().max(1) as f64);
        Self { coverage, ..Self::new(measured, &means) }
    }
}

fn r2(measured: &[f64], predicted: &[f64]) -> f64 {
    let mean = measured.iter().sum::<f64>() / measured.len().max(1) as f64;
    let total: f64 = measured.iter().map(|m| (m - mean).powi(2)).sum();
    let rest: f64 = measured.iter().zip(predicted).map(|(m, p)| (m - p).powi(2)).sum();
    if total > 0.0 { 1.0 - rest / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_and_ten_per_cent_off() {
        let measured = [1.0, 2.0, 4.0];
        let perfect = Accuracy::new(&measured, &measured);
        assert_eq!((perfect.mape, perfect.within_5pct, perfect.r2, perfect.kendall), (0.0, 1.0, 1.0, 1.0));
        let off = Accuracy::new(&measured, &[1.08, 2.16, 4.32]);
        assert!((off.mape - 0.08).abs() < 1e-12);
        assert_eq!((off.within_5pct, off.within_10pct, off.spearman), (0.0, 1.0, 1.0));
    }

    #[test]
    fn accuracies_are_averaged() {
        let (good, bad) = (Accuracy::new(&[1.0, 2.0], &[1.0, 2.0]), Accuracy::new(&[1.0, 2.0], &[1.2, 2.4]));
        let mean = Accuracy::mean(&[good, bad]).unwrap();
        assert!((mean.mape - 0.1).abs() < 1e-12 && mean.within_10pct == 0.5 && mean.count == 4);
        assert_eq!((Accuracy::mean(&[]), mean.coverage), (None, None));
    }

    #[test]
    fn the_mean_explains_nothing() {
        assert_eq!(r2(&[1.0, 2.0, 3.0], &[2.0; 3]), 0.0);
        assert_eq!(r2(&[2.0; 3], &[1.0; 3]), 0.0);
    }
}
