use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::{ArchFeatures, LatencyError, predictor::check};

/// The first baseline: a line through multiply-accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MacsFit {
    ms_per_mac: f64,
    offset_ms: f64,
}

impl MacsFit {
    /// Least squares.
    pub fn fit(features: &[ArchFeatures], latency_ms: &[f64]) -> Result<Self, LatencyError> {
        check(features, latency_ms)?;
        let n = features.len() as f64;
        let x_mean = features.iter().map(|f| f.macs as f64).sum::<f64>() / n;
        let y_mean = latency_ms.iter().sum::<f64>() / n;
        let offsets = || features.iter().map(|f| f.macs as f64 - x_mean);
        let covariance: f64 = offsets().zip(latency_ms).map(|(x, y)| x * (y - y_mean)).sum();
        let variance: f64 = offsets().map(|x| x * x).sum();
        let ms_per_mac = if variance > 0.0 { covariance / variance } else { 0.0 };
        Ok(Self { ms_per_mac, offset_ms: y_mean - ms_per_mac * x_mean })
    }

    /// Milliseconds.
    pub fn predict_ms(&self, features: &ArchFeatures) -> f64 {
        self.offset_ms + self.ms_per_mac * features.macs as f64
    }
}

/// The second baseline: a sum of one number per (slot, choice), as a look-up table has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneHotFit {
    mean_ms: f64,
    table: Vec<Vec<f64>>,
}

/// Only makes the table unique: the columns of a slot add up to 1.
const RIDGE: f64 = 1e-6;

impl OneHotFit {
    /// Least squares around the mean.
    pub fn fit(features: &[ArchFeatures], latency_ms: &[f64]) -> Result<Self, LatencyError> {
        check(features, latency_ms)?;
        let slots = features[0].choices.len();
        let choices = |slot: usize| features.iter().map(|f| usize::from(f.choices[slot]) + 1).max().unwrap_or(0);
        let mut starts = vec![0];
        for slot in 0..slots {
            starts.push(starts[slot] + choices(slot));
        }
        let columns = starts[slots];
        let mean_ms = latency_ms.iter().sum::<f64>() / latency_ms.len() as f64;
        let (mut gram, mut moment) = (DMatrix::identity(columns, columns) * RIDGE, DVector::zeros(columns));
        for (features, ms) in features.iter().zip(latency_ms) {
            let ones: Vec<usize> = features.choices.iter().zip(&starts).map(|(&c, s)| s + usize::from(c)).collect();
            for &i in &ones {
                moment[i] += ms - mean_ms;
                ones.iter().for_each(|&j| gram[(i, j)] += 1.0);
            }
        }
        let solved = gram.cholesky().map(|cholesky| cholesky.solve(&moment));
        let entries =
            solved.ok_or_else(|| LatencyError::Fit(format!("{columns} table entries are not independent")))?;
        let table = (0..slots).map(|slot| entries.as_slice()[starts[slot]..starts[slot + 1]].to_vec()).collect();
        Ok(Self { mean_ms, table })
    }

    /// Milliseconds; a choice never seen adds nothing.
    pub fn predict_ms(&self, features: &ArchFeatures) -> f64 {
        let rows = self.table.iter().zip(&features.choices);
        self.mean_ms + rows.filter_map(|(row, &choice)| row.get(usize::from(choice))).sum::<f64>()
    }
}
