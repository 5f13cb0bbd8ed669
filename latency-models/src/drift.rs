use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Measurement, Spread};

/// How a device slowed down or sped up while it was measured, by the anchors: one architecture measured again and again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// As measured.
    raw: Vec<DriftPoint>,
    /// A single outlier among neighbours taken out.
    points: Vec<DriftPoint>,
}

/// An anchor's time as a fraction of its usual one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftPoint {
    /// When: position in the plan.
    pub order: u32,
    /// 1.1: ten per cent slower than usual.
    pub ratio: f64,
}

/// Anchors needed to tell drift from a hiccup.
const LEAST_ANCHORS: usize = 3;

impl Drift {
    /// Reads the anchors; without three of them there is no drift to speak of.
    pub(crate) fn new(measurements: &[Measurement], time_ms: impl Fn(&Measurement) -> Option<f64>) -> Self {
        let mut anchors: BTreeMap<&str, Vec<(u32, f64)>> = BTreeMap::new();
        for measurement in measurements.iter().filter(|m| m.anchor) {
            if let Some(ms) = time_ms(measurement) {
                anchors.entry(&measurement.arch_id).or_default().push((measurement.order, ms));
            }
        }
        let mut points = Vec::new();
        for times in anchors.into_values().filter(|times| times.len() >= LEAST_ANCHORS) {
            let usual = Spread::of(&mut times.iter().map(|(_, ms)| *ms).collect::<Vec<_>>()).median_ms;
            points.extend(times.into_iter().map(|(order, ms)| DriftPoint { order, ratio: ms / usual }));
        }
        points.sort_by_key(|point| point.order);
        Self { points: smooth(&points), raw: points }
    }

    /// Ratio at the anchors, in order of time, a single outlier among neighbours taken out.
    pub fn points(&self) -> &[DriftPoint] {
        &self.points
    }

    /// Ratio at any time: linear between anchors, constant before the first and after the last.
    pub fn ratio(&self, order: u32) -> f64 {
        let after = self.points.partition_point(|point| point.order < order);
        match (after.checked_sub(1).map(|before| self.points[before]), self.points.get(after)) {
            (Some(before), Some(after)) => {
                let fraction = f64::from(order - before.order) / f64::from(after.order - before.order);
                before.ratio + fraction * (after.ratio - before.ratio)
            }
            (Some(only), None) => only.ratio,
            (None, Some(only)) => only.ratio,
            (None, None) => 1.0,
        }
    }

    /// A time as it would have been at the usual speed.
    pub fn corrected_ms(&self, order: u32, ms: f64) -> f64 {
        ms / self.ratio(order)
    }

    /// Error of an anchor's time as its neighbours predict it: the median fraction, over the inner ones.
    pub fn scatter(&self) -> f64 {
        let inner = self.raw.windows(3).map(|w| (0.5 * (w[0].ratio + w[2].ratio) - w[1].ratio).abs());
        Spread::of(&mut inner.collect::<Vec<_>>()).median_ms
    }

    /// Whether a correction brings times nearer to each other: an anchor's neighbours predict it better than its usual time.
    pub fn is_predicted_by_neighbours(&self) -> bool {
        let inner = self.raw.windows(3).map(|w| (w[1].ratio - 1.0).abs());
        const CLEARLY: f64 = 0.7;
        self.scatter() < CLEARLY * Spread::of(&mut inner.collect::<Vec<_>>()).median_ms
    }

    /// From the fastest to the slowest, in per cent.
    pub fn drift_pct(&self) -> f64 {
        let ratios = self.points.iter().map(|point| point.ratio);
        let (least, most) = ratios.fold((f64::INFINITY, 0.0_f64), |(l, m), r| (l.min(r), m.max(r)));
        if most > 0.0 { 100.0 * (most / least - 1.0) } else { 0.0 }
    }
}

/// Median of each inner point and its neighbours.
fn smooth(points: &[DriftPoint]) -> Vec<DriftPoint> {
    let mut smoothed = points.to_vec();
    for (inner, window) in smoothed.iter_mut().skip(1).zip(points.windows(3)) {
        let [a, b, c] = [window[0].ratio, window[1].ratio, window[2].ratio];
        inner.ratio = a.min(b).max(a.max(b).min(c));
    }
    smoothed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(ratios: &[f64]) -> Drift {
        let points = ratios.iter().enumerate().map(|(i, &ratio)| DriftPoint { order: 10 * i as u32, ratio });
        let raw: Vec<DriftPoint> = points.collect();
        Drift { points: raw.clone(), raw }
    }

    #[test]
    fn linear_between_anchors_and_constant_outside() {
        let drift = drift(&[1.0, 1.2, 1.1]);
        assert_eq!(drift.ratio(0), 1.0);
        assert!((drift.ratio(5) - 1.1).abs() < 1e-12);
        assert_eq!(drift.ratio(10), 1.2);
        assert_eq!(drift.ratio(99), 1.1);
        assert!((drift.drift_pct() - 20.0).abs() < 1e-9);
        assert!((drift.corrected_ms(10, 12.0) - 10.0).abs() < 1e-12);
    }

    #[test]
    fn jumps_are_no_drift() {
        assert!(drift(&[1.0, 1.05, 1.1, 1.15, 1.2]).is_predicted_by_neighbours());
        let jumps = drift(&[1.0, 1.1, 0.9, 1.1, 0.9, 1.1]);
        assert!(!jumps.is_predicted_by_neighbours() && jumps.scatter() > 0.1);
        assert!(!drift(&[1.0; 5]).is_predicted_by_neighbours());
    }

    #[test]
    fn no_anchors_no_drift() {
        assert_eq!(drift(&[]).ratio(7), 1.0);
        assert_eq!(drift(&[]).drift_pct(), 0.0);
    }

    #[test]
    fn a_single_hiccup_is_smoothed_away() {
        let hiccup = smooth(&drift(&[1.0, 1.0, 3.0, 1.0, 1.01]).points);
        assert!(hiccup.iter().all(|point| point.ratio <= 1.01), "{hiccup:?}");
    }
}
