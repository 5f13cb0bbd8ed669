use std::collections::BTreeMap;

use crate::{Measurement, MeasurementKind, Quantity, Spread};

/// Median relative difference of architectures measured twice: what no predictor can be better than. `None` where
/// nothing was repeated.
pub fn noise_floor(measurements: &[Measurement], quantity: Quantity) -> Option<f64> {
    let whole = measurements.iter().filter(|m| m.kind == MeasurementKind::Whole && !m.anchor);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for measurement in whole {
        if let Some(ms) = measurement.latency_ms(quantity) {
            times.entry(&measurement.arch_id).or_default().push(ms);
        }
    }
    let pairs = times.values().flat_map(|times| times.windows(2));
    let mut differences: Vec<f64> =
        pairs.map(|pair| 2.0 * (pair[1] - pair[0]).abs() / (pair[0] + pair[1])).collect();
    (!differences.is_empty()).then(|| Spread::of(&mut differences).median_ms)
}
