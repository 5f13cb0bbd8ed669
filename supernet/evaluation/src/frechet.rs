use std::sync::OnceLock;

use nalgebra::{DMatrix, DVector};

use crate::EvaluationError;
use crate::statistics::feature_width;

/// The Fréchet distance between two sets of feature vectors, each seen as a normal distribution
/// (Dowson & Landau 1982; Heusel et al. 2017, eq. 6):
///
/// d² = ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a^½ Σ_b Σ_a^½)^½)
///
/// with covariances over n − 1. d² is returned, as FID and FVD do; those names belong to particular networks'
/// features. It is biased upwards by few samples: compare sets of equal size, with real against real.
pub fn frechet_distance(features_a: &[Vec<f64>], features_b: &[Vec<f64>]) -> Result<f64, EvaluationError> {
    let width = feature_width("the Fréchet distance", &[features_a, features_b], 2)?;
    let (mean_a, covariance_a) = moments(features_a, width);
    let (mean_b, covariance_b) = moments(features_b, width);
    let root_a = square_root(&covariance_a);
    // Symmetric, so that its eigenvalues are real, and those of Σ_a Σ_b.
    let product = &root_a * &covariance_b * &root_a;
    let trace_of_root: f64 =
        symmetric(&product).symmetric_eigenvalues().iter().map(|value| value.max(0.0).sqrt()).sum();
    let squared =
        (mean_a - mean_b).norm_squared() + covariance_a.trace() + covariance_b.trace() - 2.0 * trace_of_root;
    Ok(squared.max(0.0))
}

/// A set of feature vectors seen as a normal distribution.
#[derive(Clone, Debug)]
pub struct NormalFit {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
    /// Of the covariance, once it is asked for.
    root: OnceLock<DMatrix<f64>>,
}

impl NormalFit {
    /// Of the vectors, each as often as it is drawn (twice in all at least).
    pub fn new(features: &[Vec<f64>], counts: &[u32]) -> Result<Self, EvaluationError> {
        let width = feature_width("the Fréchet distance", &[features], 1)?;
        let drawn: Vec<(&Vec<f64>, f64)> =
            features.iter().zip(counts).filter(|(_, count)| **count > 0).map(|(x, &n)| (x, f64::from(n))).collect();
        let total: f64 = drawn.iter().map(|(_, count)| count).sum();
        if total < 2.0 {
            let message = format!("{total} feature vectors, at least 2 needed");
            return Err(EvaluationError::Statistic { statistic: "the Fréchet distance", message });
        }
        let mut mean = DVector::zeros(width);
        for (row, count) in &drawn {
            mean.iter_mut().zip(row.iter()).for_each(|(mean, x)| *mean += count / total * x);
        }
        let scaled = DMatrix::from_fn(drawn.len(), width, |i, j| drawn[i].1.sqrt() * (drawn[i].0[j] - mean[j]));
        let covariance = scaled.transpose() * &scaled / (total - 1.0);
        Ok(Self { mean, covariance, root: OnceLock::new() })
    }

    /// [`frechet_distance`] to another set of as many features.
    pub fn distance(&self, other: &Self) -> f64 {
        let root = self.root.get_or_init(|| square_root(&self.covariance));
        let product = root * &other.covariance * root;
        let trace_of_root: f64 =
            symmetric(&product).symmetric_eigenvalues().iter().map(|value| value.max(0.0).sqrt()).sum();
        let traces = self.covariance.trace() + other.covariance.trace();
        ((&self.mean - &other.mean).norm_squared() + traces - 2.0 * trace_of_root).max(0.0)
    }
}

/// Mean and covariance.
fn moments(features: &[Vec<f64>], width: usize) -> (DVector<f64>, DMatrix<f64>) {
    let rows = DMatrix::from_row_iterator(features.len(), width, features.iter().flatten().copied());
    let mean = rows.row_mean().transpose();
    let centred = DMatrix::from_fn(features.len(), width, |i, j| rows[(i, j)] - mean[j]);
    let covariance = centred.transpose() * &centred / (features.len() - 1) as f64;
    (mean, covariance)
}

/// The symmetric root of a positive semidefinite matrix; eigenvalues below zero are rounding.
fn square_root(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = symmetric(matrix).symmetric_eigen();
    let roots = eigen.eigenvalues.map(|value| value.max(0.0).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}

fn symmetric(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    (matrix + matrix.transpose()) / 2.0
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn uniform(count: usize, width: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
    }

    fn mapped(features: &[Vec<f64>], scale: f64, shift: f64) -> Vec<Vec<f64>> {
        features.iter().map(|row| row.iter().map(|x| x * scale + shift).collect()).collect()
    }

    #[test]
    fn identical_sets_are_at_distance_zero_even_with_fewer_samples_than_features() {
        for (count, width) in [(200, 6), (5, 20)] {
            let features = uniform(count, width, 1);
            assert!(frechet_distance(&features, &features).expect("features") < 1e-6);
        }
    }

    #[test]
    fn shifted_and_scaled_sets_are_at_the_distance_of_the_closed_form() {
        // Σ_b = s² Σ_a: d² = ‖shift‖² + (s − 1)² tr Σ_a, for the mean moves by the scale too.
        let features = uniform(300, 5, 2);
        let (mean, covariance) = moments(&features, 5);
        let moved = mapped(&features, 1.7, 0.4);
        let expected = mean.map(|m| m * 0.7 + 0.4).norm_squared() + 0.49 * covariance.trace();
        let found = frechet_distance(&features, &moved).expect("features");
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        assert!((frechet_distance(&moved, &features).expect("features") - expected).abs() < 1e-9);
    }

    #[test]
    fn known_normals_that_do_not_commute_are_at_their_known_distance() {
        // Four points each: covariances diag(4, 1)·(2/3)·… against the same turned by 90°, both with mean 0.
        let a: Vec<Vec<f64>> = [[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]].map(Vec::from).into();
        let b: Vec<Vec<f64>> = a.iter().map(|p| vec![p[1], p[0]]).collect();
        // Σ_a = diag(8/3, 2/3), Σ_b = diag(2/3, 8/3): Σ (√λ_a − √λ_b)² = 2 (√(8/3) − √(2/3))² = 4/3.
        assert!((frechet_distance(&a, &b).expect("features") - 4.0 / 3.0).abs() < 1e-9);
        // A turn by 45°: Σ_c = [[5/3, 1], [1, 5/3]], and tr (Σ_a Σ_c)^½ = √(tr + 2√det) of the product.
        let c: Vec<Vec<f64>> =
            a.iter().map(|p| vec![(p[0] + p[1]) / 2f64.sqrt(), (p[0] - p[1]) / 2f64.sqrt()]).collect();
        let (trace, determinant) = (8.0 / 3.0 * 5.0 / 3.0 + 2.0 / 3.0 * 5.0 / 3.0, (16.0 / 9.0_f64).powi(2));
        let expected = 20.0 / 3.0 - 2.0 * (trace + 2.0 * determinant.sqrt()).sqrt();
        assert!((frechet_distance(&a, &c).expect("features") - expected).abs() < 1e-9);
    }

    #[test]
    fn counted_vectors_are_repeated_ones() {
        let (features, other) = (uniform(12, 4, 3), uniform(9, 4, 4));
        let counts = [0, 2, 1, 1, 3, 0, 0, 1, 1, 1, 2, 0];
        let repeated: Vec<Vec<f64>> =
            features.iter().zip(counts).flat_map(|(x, n)| std::iter::repeat_n(x.clone(), n as usize)).collect();
        let (fit, reference) = (NormalFit::new(&features, &counts), NormalFit::new(&other, &[1; 9]));
        let found = reference.expect("a fit").distance(&fit.expect("a fit"));
        let expected = frechet_distance(&repeated, &other).expect("features");
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        assert!(NormalFit::new(&features, &[1]).is_err());
    }

    #[test]
    fn a_lone_vector_has_no_covariance() {
        assert!(frechet_distance(&uniform(1, 3, 1), &uniform(9, 3, 1)).is_err());
        assert!(frechet_distance(&uniform(9, 3, 1), &uniform(9, 4, 1)).is_err());
    }
}
