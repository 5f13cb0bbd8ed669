//! Measures as recorded figures.

use tnas_evaluation::{Interval, Measures, Metric, Resampled, ScoredClips, wilson_interval};
use tnas_record::{Metrics, Spread};

use crate::recorded;

/// Each metric with its interval.
pub fn metrics(measures: &Measures, seeds: &[ScoredClips]) -> Metrics {
    measures.iter().map(|(metric, resampled)| (metric.to_string(), figure(metric, resampled, seeds))).collect()
}

fn figure(metric: &Metric, resampled: &Resampled, seeds: &[ScoredClips]) -> Spread {
    let mut spread = resampled.spread();
    if metric.is_fraction() {
        // Resamples of clips that are all right are all right too.
        let known = |set: &ScoredClips| match metric {
            Metric::Accuracy(label) => set.right.get(label).map_or(0, |right| right.iter().flatten().count()),
            _ => set.len(),
        };
        let Interval { low, high, .. } = wilson_interval(spread.estimate, seeds.first().map_or(0, known));
        (spread.low, spread.high) = (low, high);
    }
    recorded::spread(spread)
}

/// Metrics of one set less those of another, paired.
pub fn difference(one: &Measures, other: &Measures) -> Metrics {
    let pairs = one.iter().filter_map(|(metric, value)| Some((metric, value, other.get(metric)?)));
    pairs.map(|(metric, one, other)| (metric.to_string(), recorded::spread(one.minus(other).spread()))).collect()
}

/// Mean over the clips of all seeds.
pub fn mean(seeds: &[ScoredClips], of: impl Fn(&ScoredClips) -> &Vec<f64>) -> f64 {
    let all = || seeds.iter().flat_map(&of);
    all().sum::<f64>() / all().count().max(1) as f64
}
