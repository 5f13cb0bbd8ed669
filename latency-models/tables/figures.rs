use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Accuracy, Prediction};

/// How well a device's test rows are predicted; shares and errors as fractions of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
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
    /// Share inside the 90 % intervals; none where there are no intervals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage_90: Option<f64>,
}

impl Figures {
    /// Of predictions with intervals.
    pub(crate) fn of_predictions(measured: &[f64], predictions: &[Prediction]) -> Self {
        Self::from(Accuracy::of_predictions(measured, predictions))
    }

    /// Of predictions without.
    pub(crate) fn of_means(measured: &[f64], predicted: &[f64]) -> Self {
        Self::from(Accuracy::new(measured, predicted))
    }

    /// Average of several.
    pub fn mean(all: &[Self]) -> Self {
        let n = all.len().max(1) as f64;
        let of = |figure: fn(&Self) -> f64| all.iter().map(figure).sum::<f64>() / n;
        let covered: Option<Vec<f64>> = all.iter().map(|figures| figures.coverage_90).collect();
        Self {
            mape: of(|f| f.mape),
            within_5pct: of(|f| f.within_5pct),
            within_10pct: of(|f| f.within_10pct),
            spearman: of(|f| f.spearman),
            kendall: of(|f| f.kendall),
            coverage_90: covered.map(|covered| covered.iter().sum::<f64>() / n),
        }
    }
}

impl From<Accuracy> for Figures {
    fn from(accuracy: Accuracy) -> Self {
        let Accuracy { mape, within_5pct, within_10pct, spearman, kendall, coverage, .. } = accuracy;
        Self { mape, within_5pct, within_10pct, spearman, kendall, coverage_90: coverage }
    }
}

/// Of all test rows, and of those between the fastest and the slowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Both {
    /// All rows.
    #[serde(flatten)]
    pub all: Figures,
    /// Without the fastest and slowest of the device's test rows (HELP drops a tenth at each end).
    pub trimmed: Figures,
}

impl Both {
    /// Average of several.
    pub fn mean(all: &[Self]) -> Self {
        let of = |part: fn(&Self) -> Figures| Figures::mean(&all.iter().map(part).collect::<Vec<_>>());
        Self { all: of(|both| both.all), trimmed: of(|both| both.trimmed) }
    }
}

/// One device, averaged over seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceFigures {
    /// Ours.
    #[serde(flatten)]
    pub ours: Both,
    /// Measured rows, and rows predicted.
    pub measurements: usize,
    /// Rows predicted.
    pub test_rows: usize,
    /// A table of one number per (slot, choice), or a line through amounts, fitted to the same measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_fit: Option<Both>,
    /// A linear fit of pairs to all training rows of the device: what the table's noise leaves to reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_rows: Option<Both>,
    /// Each test row predicted from all other rows of the device, measured before and after it: what is left to reach where the
    /// device's speed is known all the time. Where rows stand in the order of measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_known: Option<Both>,
    /// Spearman of each source with the measured rows, on average.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agreement: BTreeMap<String, f64>,
    /// Fraction of the seeds in which some source agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similar_source: Option<f64>,
    /// By kind of operation, where rows are operations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub operators: BTreeMap<String, Figures>,
    /// Standard deviation over seeds of Spearman, trimmed.
    pub spread: f64,
}

/// Indices without the fastest and slowest share.
pub(crate) fn trimmed(measured: &[f64], trim: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..measured.len()).collect();
    order.sort_by(|&a, &b| measured[a].total_cmp(&measured[b]));
    let n = measured.len() as f64;
    order[(n * trim) as usize..(n * (1.0 - trim)) as usize].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_dropped_at_each_end() {
        let measured: Vec<f64> = (0..20).rev().map(f64::from).collect();
        let kept: Vec<f64> = trimmed(&measured, 0.1).iter().map(|&index| measured[index]).collect();
        assert_eq!(kept, (2..18).map(f64::from).collect::<Vec<_>>());
        assert_eq!(trimmed(&measured, 0.0).len(), 20);
    }
}
