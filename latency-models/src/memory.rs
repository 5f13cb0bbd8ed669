use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::{ArchFeatures, LatencyError, nnls::nnls};

/// Peak memory of a process, predicted from counted bytes: what the runtime holds anyway, and so many bytes per byte of
/// weights and of live activations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryPredictor {
    /// Of the process with no network.
    pub base_bytes: f64,
    /// Copies of the weights.
    pub per_parameter_byte: f64,
    /// Copies of the live activations.
    pub per_activation_byte: f64,
    /// Mean absolute relative error on the measured peaks that it learned from.
    pub fit_mape: f64,
}

impl MemoryPredictor {
    /// Non-negative least squares of relative errors on measured peaks.
    pub fn fit(features: &[ArchFeatures], measured_peak_bytes: &[u64]) -> Result<Self, LatencyError> {
        let (n, peaks) = (features.len(), measured_peak_bytes);
        if n != peaks.len() || n < 2 || peaks.contains(&0) {
            let zeros = peaks.iter().filter(|&&peak| peak == 0).count();
            let message =
                format!("{n} architectures, {} peaks, {zeros} of them 0; at least 2 of each", peaks.len());
            return Err(LatencyError::Fit(message));
        }
        let terms = |f: &ArchFeatures| [1.0, f.parameter_bytes as f64, f.peak_activation_bytes as f64];
        let a = DMatrix::from_fn(n, 3, |i, j| terms(&features[i])[j] / peaks[i] as f64);
        let x = nnls(&a, &DVector::from_element(n, 1.0));
        let fit_mape = (&a * &x).iter().map(|ratio| (ratio - 1.0).abs()).sum::<f64>() / n as f64;
        Ok(Self { base_bytes: x[0], per_parameter_byte: x[1], per_activation_byte: x[2], fit_mape })
    }

    /// Predicted, not measured.
    pub fn predicted_peak_bytes(&self, features: &ArchFeatures) -> u64 {
        let weights = self.per_parameter_byte * features.parameter_bytes as f64;
        (self.base_bytes + weights + self.per_activation_byte * features.peak_activation_bytes as f64).round()
            as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_device_is_recovered() {
        let features: Vec<ArchFeatures> = (0..10_u64)
            .map(|i| ArchFeatures {
                parameter_bytes: 1000 * (1 + i),
                peak_activation_bytes: 700 * (1 + i * i % 7),
                ..ArchFeatures::default()
            })
            .collect();
        let peak = |f: &ArchFeatures| 50_000 + 2 * f.parameter_bytes + 3 * f.peak_activation_bytes;
        let peaks: Vec<u64> = features.iter().map(peak).collect();
        let fitted = MemoryPredictor::fit(&features, &peaks).unwrap();
        assert!(fitted.fit_mape < 1e-9, "{fitted:?}");
        assert!(features.iter().all(|f| fitted.predicted_peak_bytes(f) == peak(f)));
        assert!(MemoryPredictor::fit(&features[..1], &peaks[..1]).is_err());
    }
}
