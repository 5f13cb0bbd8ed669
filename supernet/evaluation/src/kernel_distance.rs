use rayon::prelude::*;

use crate::EvaluationError;
use crate::pairs::Pairs;
use crate::statistics::feature_width;

/// The squared maximum mean discrepancy between two sets of feature vectors under the kernel (x·y/d + 1)³, by the
/// unbiased estimator (Gretton et al. 2012, eq. 3; Bińkowski et al. 2018, §3.1):
///
/// Σ_{i≠j} k(a_i, a_j) / m(m−1) + Σ_{i≠j} k(b_i, b_j) / n(n−1) − 2 Σ_{ij} k(a_i, b_j) / mn
///
/// Unbiased also for few samples, hence sometimes below zero.
pub fn kernel_distance(features_a: &[Vec<f64>], features_b: &[Vec<f64>]) -> Result<f64, EvaluationError> {
    let width = feature_width("the kernel distance", &[features_a, features_b], 2)? as f64;
    let kernel = |x: &[f64], y: &[f64]| kernel(x, y, width);
    // Row sums in parallel, added in order: the same bits for any number of threads.
    let total = |a: &[Vec<f64>], b: &[Vec<f64>]| -> f64 {
        let rows: Vec<f64> = a.par_iter().map(|x| b.iter().map(|y| kernel(x, y)).sum()).collect();
        rows.iter().sum()
    };
    let within = |set: &[Vec<f64>]| {
        let diagonal: f64 = set.iter().map(|x| kernel(x, x)).sum();
        (total(set, set) - diagonal) / (set.len() * (set.len() - 1)) as f64
    };
    let between = total(features_a, features_b) / (features_a.len() * features_b.len()) as f64;
    Ok(within(features_a) + within(features_b) - 2.0 * between)
}

/// (x·y/d + 1)³
fn kernel(x: &[f64], y: &[f64], width: f64) -> f64 {
    let product: f64 = x.iter().zip(y).map(|(a, b)| a * b).sum();
    (product / width + 1.0).powi(3)
}

/// The kernels of two sets, computed once for the distances of many resamples.
#[derive(Clone, Debug)]
pub struct KernelDistance {
    within_a: Pairs,
    within_b: Pairs,
    between: Pairs,
}

impl KernelDistance {
    /// Of two sets of feature vectors, two of each at least.
    pub fn new(features_a: &[Vec<f64>], features_b: &[Vec<f64>]) -> Result<Self, EvaluationError> {
        let width = feature_width("the kernel distance", &[features_a, features_b], 2)? as f64;
        let pairs = |a, b| Pairs::new(a, b, |x, y| kernel(x, y, width));
        Ok(Self {
            within_a: pairs(features_a, features_a),
            within_b: pairs(features_b, features_b),
            between: pairs(features_a, features_b),
        })
    }

    /// [`kernel_distance`] of resamples, given how often each vector is drawn. A vector is not paired with itself, however
    /// often it is drawn: the estimator stays unbiased.
    pub fn resampled(&self, counts_a: &[u32], counts_b: &[u32]) -> f64 {
        let between = self.between.mean(counts_a, counts_b, false);
        self.within_a.mean(counts_a, counts_a, true) + self.within_b.mean(counts_b, counts_b, true) - 2.0 * between
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn uniform(count: usize, shift: f64, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
        (0..count).map(|_| (0..4).map(|_| rng.random_range(-1.0..1.0) + shift).collect()).collect()
    }

    #[test]
    fn it_is_zero_on_average_for_one_distribution_and_positive_for_two() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut mean = |shift: f64| {
            let distances = (0..200).map(|_| {
                let (a, b) = (uniform(20, 0.0, &mut rng), uniform(30, shift, &mut rng));
                kernel_distance(&a, &b).expect("features")
            });
            distances.sum::<f64>() / 200.0
        };
        let (same, other) = (mean(0.0), mean(1.0));
        assert!(same.abs() < 0.03, "{same}");
        assert!(other > 1.0, "{other}");
    }

    #[test]
    fn a_case_by_hand() {
        // d = 1: k(0, y) = 1; k(1, 1) = 8, k(1, 2) = 27.
        let (a, b) = ([vec![0.0], vec![0.0]], [vec![1.0], vec![2.0]]);
        assert_eq!(kernel_distance(&a, &b).expect("features"), 1.0 + 27.0 - 2.0);
        assert!(kernel_distance(&a[..1], &b).is_err());
    }
}
