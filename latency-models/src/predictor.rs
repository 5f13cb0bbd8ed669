use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::{ArchFeatures, LatencyError};

/// Latency of an architecture from its choices: a prior on counted work, a table of (slot, choice) shrunk to it, and a
/// Gaussian process on what is left, for interactions.
///
/// All three are one Gaussian process with a sum of kernels: linear on the prior's numbers, an indicator per equal (slot,
/// choice), and its square, which knows pairs of slots (Rasmussen & Williams 2006, §2.7 and §4.2.4). Their weights are
/// chosen by the leave-one-out error, which has a closed form (§5.4.2). Times are learned as logarithms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyPredictor {
    format_version: u32,
    weights: KernelWeights,
    centre: f64,
    scale: Vec<(f64, f64)>,
    train: Vec<ArchFeatures>,
    alpha: Vec<f64>,
    inverse: Vec<f64>,
    interval: f64,
}

/// A predicted latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Expected milliseconds.
    pub mean_ms: f64,
    /// Lower end of the 90 % interval.
    pub low_ms: f64,
    /// Upper end.
    pub high_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct KernelWeights {
    prior: f64,
    table: f64,
    pairs: f64,
    noise: f64,
}

/// Share of held-out architectures that an interval should hold.
const COVERAGE: f64 = 0.9;

impl LatencyPredictor {
    /// Learns from measured architectures.
    pub fn fit(features: &[ArchFeatures], latency_ms: &[f64]) -> Result<Self, LatencyError> {
        check(features, latency_ms)?;
        let n = features.len();
        let y: Vec<f64> = latency_ms.iter().map(|ms| ms.ln()).collect();
        let centre = y.iter().sum::<f64>() / n as f64;
        let target = DVector::from_iterator(n, y.iter().map(|y| y - centre));
        let scale = scales(features);
        let mut best: Option<(f64, KernelWeights, DVector<f64>, DMatrix<f64>)> = None;
        for weights in grid() {
            let kernel = |a: &ArchFeatures, b: &ArchFeatures| weights.kernel(a, b, &scale);
            let mut k = DMatrix::from_fn(n, n, |i, j| kernel(&features[i], &features[j]));
            for i in 0..n {
                k[(i, i)] += weights.noise;
            }
            let Some(inverse) = k.cholesky().map(|cholesky| cholesky.inverse()) else { continue };
            let alpha = &inverse * &target;
            // Leave-one-out residual: α_i / K⁻¹_ii.
            let residuals = DVector::from_fn(n, |i, _| alpha[i] / inverse[(i, i)]);
            let error = residuals.norm_squared() / n as f64;
            if best.as_ref().is_none_or(|(least, ..)| error < *least) {
                best = Some((error, weights, alpha, inverse));
            }
        }
        let (_, weights, alpha, inverse) =
            best.ok_or_else(|| LatencyError::Fit("no kernel could be inverted".into()))?;
        // Standardised leave-one-out residuals give the width of the interval (jackknife+, Barber et al. 2021).
        let mut standard: Vec<f64> = (0..n).map(|i| (alpha[i] / inverse[(i, i)].sqrt()).abs()).collect();
        standard.sort_by(f64::total_cmp);
        let rank = (((n + 1) as f64 * COVERAGE).ceil() as usize).min(n) - 1;
        Ok(Self {
            format_version: 1,
            weights,
            centre,
            scale,
            train: features.to_vec(),
            alpha: alpha.iter().copied().collect(),
            inverse: inverse.iter().copied().collect(),
            interval: standard[rank],
        })
    }

    /// Predicts one architecture.
    pub fn predict(&self, features: &ArchFeatures) -> Prediction {
        let n = self.train.len();
        let k: Vec<f64> = self.train.iter().map(|t| self.weights.kernel(t, features, &self.scale)).collect();
        let mean = self.centre + k.iter().zip(&self.alpha).map(|(k, a)| k * a).sum::<f64>();
        let explained: f64 =
            (0..n).map(|i| k[i] * (0..n).map(|j| self.inverse[i * n + j] * k[j]).sum::<f64>()).sum();
        let own = self.weights.kernel(features, features, &self.scale) + self.weights.noise;
        let deviation = (own - explained).max(self.weights.noise).sqrt();
        let wide = self.interval * deviation;
        Prediction { mean_ms: mean.exp(), low_ms: (mean - wide).exp(), high_ms: (mean + wide).exp() }
    }
}

impl KernelWeights {
    fn kernel(&self, a: &ArchFeatures, b: &ArchFeatures, scale: &[(f64, f64)]) -> f64 {
        let standard = |f: &ArchFeatures| -> Vec<f64> {
            f.prior().iter().zip(scale).map(|(x, (mean, deviation))| (x - mean) / deviation).collect()
        };
        let linear: f64 = standard(a).iter().zip(standard(b)).map(|(a, b)| a * b).sum();
        let slots = a.choices.len().max(1) as f64;
        let equal = a.choices.iter().zip(&b.choices).filter(|(a, b)| a == b).count() as f64 / slots;
        self.prior * linear + self.table * equal + self.pairs * equal * equal
    }
}

/// Weights tried, in units of squared log-milliseconds.
fn grid() -> impl Iterator<Item = KernelWeights> {
    const PRIOR: [f64; 4] = [1e-2, 1e-1, 1.0, 10.0];
    const TABLE: [f64; 4] = [0.0, 1e-2, 1e-1, 1.0];
    const PAIRS: [f64; 3] = [0.0, 1e-2, 1e-1];
    const NOISE: [f64; 4] = [1e-5, 1e-4, 1e-3, 1e-2];
    PRIOR.into_iter().flat_map(|prior| {
        TABLE.into_iter().flat_map(move |table| {
            PAIRS.into_iter().flat_map(move |pairs| {
                NOISE.into_iter().map(move |noise| KernelWeights { prior, table, pairs, noise })
            })
        })
    })
}

fn scales(features: &[ArchFeatures]) -> Vec<(f64, f64)> {
    let rows: Vec<Vec<f64>> = features.iter().map(ArchFeatures::prior).collect();
    let n = rows.len() as f64;
    (0..rows[0].len())
        .map(|column| {
            let mean = rows.iter().map(|row| row[column]).sum::<f64>() / n;
            let variance = rows.iter().map(|row| (row[column] - mean).powi(2)).sum::<f64>() / n;
            (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
        })
        .collect()
}

fn check(features: &[ArchFeatures], latency_ms: &[f64]) -> Result<(), LatencyError> {
    let fail = |message: String| Err(LatencyError::Fit(message));
    if features.len() != latency_ms.len() || features.len() < 4 {
        return fail(format!(
            "{} architectures and {} latencies; at least 4 of each",
            features.len(),
            latency_ms.len()
        ));
    }
    match latency_ms.iter().find(|ms| !(ms.is_finite() && **ms > 0.0)) {
        Some(ms) => fail(format!("a latency of {ms} ms")),
        None => Ok(()),
    }
}

/// The baseline: a line through multiply-accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MacsFit {
    slope: f64,
    offset_ms: f64,
}

impl MacsFit {
    /// Least squares.
    pub fn fit(features: &[ArchFeatures], latency_ms: &[f64]) -> Result<Self, LatencyError> {
        check(features, latency_ms)?;
        let n = features.len() as f64;
        let x_mean = features.iter().map(|f| f.macs).sum::<f64>() / n;
        let y_mean = latency_ms.iter().sum::<f64>() / n;
        let covariance: f64 = features.iter().zip(latency_ms).map(|(f, y)| (f.macs - x_mean) * (y - y_mean)).sum();
        let variance: f64 = features.iter().map(|f| (f.macs - x_mean).powi(2)).sum();
        let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
        Ok(Self { slope, offset_ms: y_mean - slope * x_mean })
    }

    /// Milliseconds.
    pub fn predict_ms(&self, features: &ArchFeatures) -> f64 {
        self.offset_ms + self.slope * features.macs
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::Accuracy;

    /// A device whose latency is a table of choices with one interaction between neighbours.
    fn device(count: usize, seed: u64) -> (Vec<ArchFeatures>, Vec<f64>) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let one = |rng: &mut rand_chacha::ChaCha8Rng| {
            let choices: Vec<u16> = (0..8).map(|_| rng.random_range(0..4)).collect();
            let work: f64 = choices.iter().map(|&c| f64::from(c)).sum();
            let table: f64 =
                choices.iter().enumerate().map(|(i, &c)| 0.1 * ((i * 7 + usize::from(c) * 3) % 5) as f64).sum();
            let pair = if choices[2] == choices[3] { 0.6 } else { 0.0 };
            let noise = 1.0 + 0.01 * rng.random_range(-1.0..1.0);
            let features = ArchFeatures {
                choices,
                macs: 1e6 * work,
                kinds: [("Conv2d".to_string(), [1e6 * work, 1e5 * work, 3.0])].into(),
            };
            (features, (4.0 + 0.2 * work + table + pair) * noise)
        };
        (0..count).map(|_| one(&mut rng)).unzip()
    }

    #[test]
    fn learns_what_a_macs_fit_cannot() {
        let (train, times) = device(80, 1);
        let (test, truth) = device(60, 2);
        let predictor = LatencyPredictor::fit(&train, &times).unwrap();
        let line = MacsFit::fit(&train, &times).unwrap();
        let predicted: Vec<f64> = test.iter().map(|f| predictor.predict(f).mean_ms).collect();
        let by_line: Vec<f64> = test.iter().map(|f| line.predict_ms(f)).collect();
        let (ours, theirs) = (Accuracy::new(&truth, &predicted), Accuracy::new(&truth, &by_line));
        assert!(ours.mape < 0.5 * theirs.mape, "{ours:?} {theirs:?}");
        assert!(ours.spearman > 0.9, "{ours:?}");
        let held = test.iter().zip(&truth).filter(|(f, t)| {
            let p = predictor.predict(f);
            (p.low_ms..=p.high_ms).contains(*t)
        });
        let share = held.count() as f64 / 60.0;
        assert!((0.75..=1.0).contains(&share), "{share}");
    }

    #[test]
    fn the_same_data_gives_the_same_bytes_and_survives_json() {
        let (train, times) = device(30, 3);
        let fit = || serde_json::to_string(&LatencyPredictor::fit(&train, &times).unwrap()).unwrap();
        assert_eq!(fit(), fit());
        let predictor: LatencyPredictor = serde_json::from_str(&fit()).unwrap();
        let original = LatencyPredictor::fit(&train, &times).unwrap();
        assert_eq!(predictor.predict(&train[0]), original.predict(&train[0]));
    }

    #[test]
    fn bad_times_are_refused() {
        let (train, mut times) = device(10, 4);
        times[3] = f64::NAN;
        assert!(LatencyPredictor::fit(&train, &times).is_err());
        assert!(LatencyPredictor::fit(&train[..2], &times[..2]).is_err());
    }
}
