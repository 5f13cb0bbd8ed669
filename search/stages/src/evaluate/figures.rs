//! Measures as stored figures.

use serde_json::{Map, Value, json};
use tnas_evaluation::{Interval, Measures, Metric, Resampled, ScoredClips, wilson_interval};

use super::scoring::Scored;

/// Each metric with its interval, and what its ratios are ratios of.
pub fn figures(measures: &Measures, scored: &Scored) -> Value {
    let metrics: Map<String, Value> = measures
        .iter()
        .map(|(metric, resampled)| (metric.to_string(), figure(metric, resampled, &scored.seeds)))
        .collect();
    json!({
        "clips": scored.len(),
        "seeds": scored.seeds.len(),
        "metrics": metrics,
        "mean_frame_difference": mean(&scored.seeds, |set| &set.frame_difference),
        "warp_error": mean(&scored.seeds, |set| &set.warp_error),
    })
}

fn figure(metric: &Metric, resampled: &Resampled, seeds: &[ScoredClips]) -> Value {
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
    json!(spread)
}

/// Metrics of one set less those of another, paired.
pub fn difference(one: &Measures, other: &Measures) -> Value {
    let pairs = one.iter().filter_map(|(metric, value)| Some((metric, value, other.get(metric)?)));
    let of = pairs.map(|(metric, one, other)| (metric.to_string(), json!(one.minus(other).spread())));
    Value::Object(of.collect())
}

fn mean(seeds: &[ScoredClips], of: impl Fn(&ScoredClips) -> &Vec<f64>) -> f64 {
    let all = || seeds.iter().flat_map(&of);
    all().sum::<f64>() / all().count().max(1) as f64
}
