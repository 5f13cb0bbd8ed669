use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::ClipError;

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
) -> Result<Interval, ClipError> {
    if resamples < 40 || items == 0 {
        let message = format!("{resamples} resamples of {items} items; at least 40 of 1 give 2.5 % on either side");
        return Err(ClipError::Statistic { statistic: "a bootstrap interval", message });
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

/// Linear between the two nearest of the sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
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
    fn too_few_are_refused() {
        assert!(bootstrap_interval(0, 39, 5, |_| 0.0).is_err());
        assert!(bootstrap_interval(0, 100, 0, |_| 0.0).is_err());
    }
}
