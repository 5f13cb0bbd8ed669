use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::EvaluationError;
use crate::statistics::feature_width;

/// Features turned and scaled so that known real clips vary by 1 in every direction: distances are then in deviations of
/// real clips, and a direction in which those hardly differ counts as much as one in which they differ most.
///
/// y = Λ^−½ Vᵀ (x − μ), with mean μ and covariance V Λ Vᵀ of real clips; eigenvalues are at least a hundredth of their
/// mean, so that a direction that is all but dead is not blown up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whitening {
    mean: Vec<f64>,
    /// Rows of Λ^−½ Vᵀ.
    rows: Vec<Vec<f64>>,
}

/// Least eigenvalue, as a fraction of their mean. Of 0, 0.001 and 0.01, the last set corrupted clips furthest apart from real ones
/// in standard errors; without one, a few extreme values in all but dead features decide.
const LEAST_SHARE: f64 = 0.01;

impl Whitening {
    /// Of real clips' features, two at least.
    pub fn new(features: &[Vec<f64>]) -> Result<Self, EvaluationError> {
        let width = feature_width("the whitening of features", &[features], 2)?;
        let count = features.len() as f64;
        let mean: Vec<f64> = (0..width).map(|i| features.iter().map(|row| row[i]).sum::<f64>() / count).collect();
        let centred = DMatrix::from_fn(features.len(), width, |i, j| features[i][j] - mean[j]);
        let eigen = (centred.transpose() * &centred / (count - 1.0)).symmetric_eigen();
        let least = LEAST_SHARE * eigen.eigenvalues.mean();
        if !(least > 0.0 && least.is_finite()) {
            let message = "the features of real clips do not differ".to_owned();
            return Err(EvaluationError::Statistic { statistic: "the whitening of features", message });
        }
        let row = |(value, vector): (&f64, nalgebra::DVectorView<'_, f64>)| {
            vector.iter().map(|x| x / value.max(least).sqrt()).collect()
        };
        let rows = eigen.eigenvalues.iter().zip(eigen.eigenvectors.column_iter()).map(row).collect();
        Ok(Self { mean, rows })
    }

    /// Length of the features.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Whitened features.
    pub fn apply(&self, features: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, EvaluationError> {
        let Some(wrong) = features.iter().find(|row| row.len() != self.width()) else {
            let centred = |row: &Vec<f64>| DVector::from_fn(self.width(), |i, _| row[i] - self.mean[i]);
            let turned = |x: DVector<f64>| {
                self.rows.iter().map(|row| row.iter().zip(x.iter()).map(|(a, b)| a * b).sum()).collect()
            };
            return Ok(features.iter().map(|row| turned(centred(row))).collect());
        };
        let message = format!("{} features, {} expected", wrong.len(), self.width());
        Err(EvaluationError::Statistic { statistic: "the whitening of features", message })
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::kernel_distance;

    /// Two features that go together, and one of another scale.
    fn features(count: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || rng.random_range(-1.0..1.0);
        let row = |_| {
            let (a, b, c): (f64, f64, f64) = (draw(), draw(), draw());
            vec![3.0 + a, a + 0.5 * b, 2.0 * c]
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn whitened_real_clips_vary_by_1_in_every_direction() {
        let real = features(500, 1);
        let white = Whitening::new(&real).expect("features").apply(&real).expect("features");
        for i in 0..3 {
            for j in 0..3 {
                let product = white.iter().map(|row| row[i] * row[j]).sum::<f64>() / 499.0;
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j}: {product}");
            }
            assert!(white.iter().map(|row| row[i]).sum::<f64>().abs() < 1e-9);
        }
    }

    #[test]
    fn how_features_are_turned_and_scaled_does_not_matter() {
        let (real, others) = (features(400, 1), features(300, 2));
        let mixed = |rows: &[Vec<f64>]| -> Vec<Vec<f64>> {
            rows.iter().map(|x| vec![x[0] + x[1], 2.0 * x[1] - x[2] + 7.0, x[0] - 0.5 * x[2]]).collect()
        };
        let distance = |real: &[Vec<f64>], others: &[Vec<f64>]| {
            let whitening = Whitening::new(real).expect("features");
            let white = |rows: &[Vec<f64>]| whitening.apply(rows).expect("features");
            kernel_distance(&white(others), &white(real)).expect("features")
        };
        let (plain, turned) = (distance(&real, &others), distance(&mixed(&real), &mixed(&others)));
        assert!((plain - turned).abs() < 1e-9, "{plain} {turned}");
    }

    #[test]
    fn a_dead_feature_is_not_blown_up_and_nonsense_is_refused() {
        let mut real = features(100, 3);
        real.iter_mut().enumerate().for_each(|(i, row)| row[2] = 1e-9 * i as f64);
        let whitening = Whitening::new(&real).expect("features");
        let mut other = real[0].clone();
        other[2] += 0.01;
        let white = whitening.apply(&[real[0].clone(), other]).expect("features");
        let moved: f64 = white[0].iter().zip(&white[1]).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(moved.sqrt() < 1.0, "{moved}");
        assert!(Whitening::new(&[vec![1.0], vec![1.0]]).is_err());
        assert!(Whitening::new(&real[..1]).is_err());
        assert!(whitening.apply(&[vec![0.0]]).is_err());
    }
}
