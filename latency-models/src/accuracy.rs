use serde::{Deserialize, Serialize};

/// How well predictions agree with measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
}

impl Accuracy {
    /// Compares predictions with what was measured.
    pub fn new(measured: &[f64], predicted: &[f64]) -> Self {
        let errors: Vec<f64> = measured.iter().zip(predicted).map(|(m, p)| ((p - m) / m).abs()).collect();
        let count = errors.len();
        let share = |limit: f64| errors.iter().filter(|&&e| e <= limit).count() as f64 / count.max(1) as f64;
        Self {
            count,
            mape: errors.iter().sum::<f64>() / count.max(1) as f64,
            within_5pct: share(0.05),
            within_10pct: share(0.10),
            spearman: spearman(measured, predicted),
            kendall: kendall(measured, predicted),
        }
    }
}

/// Rank correlation: Pearson's on ranks, ties at their mean rank. 0 where one side does not vary.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    pearson(&ranks(a), &ranks(b))
}

/// Kendall's τ-b (Kendall 1945): concordant less discordant pairs, corrected for ties.
pub fn kendall(a: &[f64], b: &[f64]) -> f64 {
    let (mut score, mut pairs_a, mut pairs_b) = (0.0, 0.0, 0.0);
    for i in 0..a.len() {
        for j in 0..i {
            let (x, y) = (sign(a[i] - a[j]), sign(b[i] - b[j]));
            score += x * y;
            pairs_a += x * x;
            pairs_b += y * y;
        }
    }
    let scale: f64 = pairs_a * pairs_b;
    if scale > 0.0 { score / scale.sqrt() } else { 0.0 }
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

fn ranks(x: &[f64]) -> Vec<f64> {
    let rank = |value: f64| {
        let below = x.iter().filter(|&&other| other < value).count() as f64;
        let equal = x.iter().filter(|&&other| other == value).count() as f64;
        below + 0.5 * (equal - 1.0)
    };
    x.iter().map(|&value| rank(value)).collect()
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let covariance: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let variance = |x: &[f64], mean: f64| x.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    let scale = (variance(a, mean_a) * variance(b, mean_b)).sqrt();
    if scale > 0.0 { covariance / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_of_known_lists() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(spearman(&a, &[2.0, 4.0, 6.0, 8.0, 10.0]), 1.0);
        assert_eq!(kendall(&a, &[5.0, 4.0, 3.0, 2.0, 1.0]), -1.0);
        // One swapped neighbour: ρ = 1 − 6·2/(5·24), τ = 8/10.
        let b = [1.0, 3.0, 2.0, 4.0, 5.0];
        assert!((spearman(&a, &b) - 0.9).abs() < 1e-12);
        assert!((kendall(&a, &b) - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&a, &[1.0; 5]), 0.0);
    }
}
