use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::EvaluationError;

/// A statistic with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Of the items themselves.
    pub estimate: f64,
    /// 2.5 % of the resamples are below.
    pub low: f64,
    /// 2.5 % of the resamples are above.
    pub high: f64,
}

/// The percentile interval of a statistic of `items` things (Efron 1979): `statistic` is asked with lists of `items`
/// indices, drawn with replacement. For a paired difference, index both sides by the same list.
pub fn bootstrap_interval(
    seed: u64,
    resamples: usize,
    items: usize,
    statistic: impl Fn(&[usize]) -> f64 + Sync,
) -> Result<Interval, EvaluationError> {
    if resamples < 40 || items == 0 {
        let message = format!("{resamples} resamples of {items} items; at least 40 of 1 give 2.5 % on either side");
        return Err(EvaluationError::Statistic { statistic: "a bootstrap interval", message });
    }
    let all: Vec<usize> = (0..items).collect();
    let mut values: Vec<f64> = (0..resamples as u64)
        .into_par_iter()
        .map(|resample| {
            // A stream per resample: the same interval for any number of threads, without holding all draws.
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(resample);
            let drawn: Vec<usize> = all.iter().map(|_| rng.random_range(0..items)).collect();
            statistic(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    Ok(Interval { estimate: statistic(&all), low: quantile(&values, 0.025), high: quantile(&values, 0.975) })
}

/// A statistic with its values on resamples of the things that it is taken of.
///
/// Statistics of one number of things under one seed are resampled alike, so that [`Resampled::minus`] is paired.
#[derive(Clone, Debug, PartialEq)]
pub struct Resampled {
    /// Of the things themselves.
    pub estimate: f64,
    /// Of each resample.
    pub values: Vec<f64>,
}

/// How far a statistic may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Of the things themselves.
    pub estimate: f64,
    /// Deviation of the resamples.
    pub standard_error: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Resampled {
    /// This statistic less another, resample by resample.
    pub fn minus(&self, other: &Self) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a - b).collect();
        Self { estimate: self.estimate - other.estimate, values }
    }

    /// The same of a function of the statistic.
    pub fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        Self { estimate: of(self.estimate), values: self.values.iter().map(|&value| of(value)).collect() }
    }

    /// Mean of several statistics.
    pub fn mean(parts: &[Self]) -> Self {
        let count = parts.len().max(1) as f64;
        let resamples = parts.iter().map(|part| part.values.len()).min().unwrap_or(0);
        let value = |resample: usize| parts.iter().map(|part| part.values[resample]).sum::<f64>() / count;
        Self {
            estimate: parts.iter().map(|part| part.estimate).sum::<f64>() / count,
            values: (0..resamples).map(value).collect(),
        }
    }

    /// The percentile interval (Efron 1979), moved so that the resamples' mean is the estimate: a resample repeats some
    /// things, which shifts distances as having fewer things would.
    pub fn spread(&self) -> Spread {
        let count = self.values.len().max(1) as f64;
        let mean = self.values.iter().sum::<f64>() / count;
        let variance = self.values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let end = |fraction| {
            if sorted.is_empty() { f64::NAN } else { quantile(&sorted, fraction) + self.estimate - mean }
        };
        Spread { estimate: self.estimate, standard_error: variance.sqrt(), low: end(0.025), high: end(0.975) }
    }
}

/// How often each of `items` things is drawn, for each resample: `items` draws with replacement. A pure function of its
/// arguments.
pub fn resample_counts(seed: u64, resamples: usize, items: usize) -> Vec<Vec<u32>> {
    let counts = |resample: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(resample);
        let mut counts = vec![0; items];
        for _ in 0..items {
            counts[rng.random_range(0..items)] += 1;
        }
        counts
    };
    (0..resamples as u64).into_par_iter().map(counts).collect()
}

/// The score interval of a fraction, 95 % (Wilson 1927); it does not shrink to a point where all are right.
pub fn wilson_interval(fraction: f64, count: usize) -> Interval {
    const Z: f64 = 1.959_963_984_540_054;
    let n = count.max(1) as f64;
    let centre = (fraction + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (fraction * (1.0 - fraction) / n + Z * Z / (4.0 * n * n)).sqrt();
    Interval {
        estimate: fraction,
        low: (centre - half).max(0.0).min(fraction),
        high: (centre + half).min(1.0).max(fraction),
    }
}

/// Linear between the two nearest of the sorted values.
pub(crate) fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let place = fraction * (sorted.len() - 1) as f64;
    let (below, rest) = (place as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] * (1.0 - rest) + sorted[above] * rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_two_standard_errors_wide_to_either_side() {
        // 0 … 399: standard error of the mean 115.5 / 20.
        let mean = |indices: &[usize]| indices.iter().sum::<usize>() as f64 / indices.len() as f64;
        let interval = bootstrap_interval(1, 2000, 400, mean).expect("enough");
        assert_eq!(interval.estimate, 199.5);
        assert!((interval.low - (199.5 - 1.96 * 5.775)).abs() < 0.8, "{interval:?}");
        assert!((interval.high - (199.5 + 1.96 * 5.775)).abs() < 0.8, "{interval:?}");
        assert_eq!(interval, bootstrap_interval(1, 2000, 400, mean).expect("enough"));
        assert_ne!(interval, bootstrap_interval(2, 2000, 400, mean).expect("enough"));
    }

    #[test]
    fn counts_are_draws_with_replacement() {
        let counts = resample_counts(3, 500, 40);
        assert!(counts.iter().all(|counts| counts.iter().sum::<u32>() == 40));
        assert_eq!(counts, resample_counts(3, 500, 40));
        assert_ne!(counts, resample_counts(4, 500, 40));
        // Binomial(40, 1/40): mean 1, variance 39/40.
        let all: Vec<f64> = counts.iter().flatten().map(|&count| f64::from(count)).collect();
        let variance = all.iter().map(|count| (count - 1.0).powi(2)).sum::<f64>() / all.len() as f64;
        assert!((variance - 0.975).abs() < 0.05, "{variance}");
    }

    #[test]
    fn an_interval_lies_about_its_estimate_whatever_resampling_shifts() {
        let values = (0..1001).map(|i| 7.0 + f64::from(i) / 1000.0).collect();
        let spread = Resampled { estimate: 2.0, values }.spread();
        assert!((spread.low - 1.525).abs() < 1e-9 && (spread.high - 2.475).abs() < 1e-9, "{spread:?}");
        assert!((spread.standard_error - (1001.0 * 1002.0 / 12.0_f64).sqrt() / 1000.0).abs() < 1e-9);
    }

    #[test]
    fn a_difference_of_one_statistic_to_itself_is_nothing() {
        let one = Resampled { estimate: 1.0, values: vec![0.5, 2.0, 1.5] };
        assert_eq!(one.minus(&one), Resampled { estimate: 0.0, values: vec![0.0; 3] });
        let doubled = one.map(|x| 2.0 * x);
        assert_eq!(Resampled::mean(&[one.clone(), one.map(|x| 3.0 * x)]), doubled);
    }

    #[test]
    fn the_score_interval_is_that_of_the_tables() {
        // Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20.
        for (right, count, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
        {
            let interval = wilson_interval(f64::from(right) / count as f64, count);
            assert!((interval.low - low).abs() < 6e-5 && (interval.high - high).abs() < 6e-5, "{interval:?}");
        }
    }

    #[test]
    fn too_few_are_refused() {
        assert!(bootstrap_interval(0, 39, 5, |_| 0.0).is_err());
        assert!(bootstrap_interval(0, 100, 0, |_| 0.0).is_err());
    }
}
