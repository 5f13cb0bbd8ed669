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
    /// The least predicted peak of an architecture that ran out of memory when it was measured: what needs as much does not
    /// fit the device.
    #[serde(default)]
    pub too_much_bytes: Option<u64>,
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
        let (base_bytes, per_parameter_byte, per_activation_byte) = (x[0], x[1], x[2]);
        Ok(Self { base_bytes, per_parameter_byte, per_activation_byte, fit_mape, too_much_bytes: None })
    }

    /// Learns what does not fit, from architectures that ran out of memory.
    pub fn with_failures(self, out_of_memory: &[ArchFeatures]) -> Self {
        Self { too_much_bytes: out_of_memory.iter().map(|f| self.predicted_peak_bytes(f)).min(), ..self }
    }

    /// Whether an architecture keeps a limit, where there is one, and needs less than what was seen to fail.
    pub fn fits(&self, features: &ArchFeatures, limit_bytes: Option<u64>) -> bool {
        let needed = self.predicted_peak_bytes(features);
        limit_bytes.is_none_or(|limit| needed <= limit) && self.too_much_bytes.is_none_or(|failed| needed < failed)
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
        let limit = peak(&features[4]);
        assert!(fitted.fits(&features[4], Some(limit)) && !fitted.fits(&features[4], Some(limit - 1)));
        let warned = fitted.with_failures(&features[7..]);
        let failed = features[7..].iter().map(peak).min().unwrap();
        assert!(features.iter().all(|f| warned.fits(f, None) == (peak(f) < failed)));
    }
}
