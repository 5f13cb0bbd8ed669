use std::collections::BTreeMap;

use crate::{Measurement, MeasurementKind, Spread};

/// First and second time of each architecture that was measured twice.
pub(crate) fn repeats(
    measurements: &[Measurement],
    time_ms: impl Fn(&Measurement) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let whole = measurements.iter().filter(|m| m.kind == MeasurementKind::Whole && !m.anchor);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for measurement in whole {
        if let Some(ms) = time_ms(measurement) {
            times.entry(&measurement.arch_id).or_default().push(ms);
        }
    }
    times.values().flat_map(|times| times.windows(2)).map(|pair| (pair[0], pair[1])).collect()
}

/// Median relative difference of such pairs: what no predictor can be better than. `None` where nothing was repeated.
pub(crate) fn noise_floor(pairs: &[(f64, f64)]) -> Option<f64> {
    let mut differences: Vec<f64> = pairs.iter().map(|(a, b)| 2.0 * (b - a).abs() / (a + b)).collect();
    (!differences.is_empty()).then(|| Spread::of(&mut differences).median_ms)
}
