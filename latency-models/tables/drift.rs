use nalgebra::{DMatrix, DVector};

use crate::core::{Encoding, Guess, Linear, Measured, Model, NewPlaces, PlaceEffect, Priors, conformal};

/// A device's latency where the rows of a table stand in the order of measurement: the predictor, and how the device's speed
/// changes along the rows. Without an order it is the predictor alone.
pub(crate) struct DriftModel {
    pub(crate) model: Model,
    pub(crate) drift: Option<Drift>,
}

/// Speed changes while rows are measured one after the other.
pub(crate) struct Drift {
    rows: Vec<usize>,
    amplitudes: Vec<f64>,
    /// Weight of each learned row's fraction of latency.
    alpha: DVector<f64>,
}

/// Rows of a device's table, encoded, and where they stand.
pub(crate) struct TableRows<'a> {
    pub(crate) x: DMatrix<f64>,
    pub(crate) rows: &'a [usize],
    pub(crate) latency_ms: &'a [f64],
    /// Whether rows stand in the order of measurement.
    pub(crate) in_order: bool,
    /// What more rows than these gave already.
    pub(crate) base: Option<Linear>,
}

/// Rows over which a device's speed changes.
const DRIFT_ROWS: [f64; 3] = [20.0, 300.0, 5000.0];
/// Variance of the speed that is expected, and that of a device that leaps.
const STEADY: f64 = 1e-4;
const LEAPS: f64 = 0.01;
/// What is predicted lies this part of the rows beyond what is learned from, where a device drifts …
const DRIFT_BLOCKS: usize = 5;
/// … and was, from so many places on, in what was measured.
const DRIFT_ORIGINS: usize = 12;
/// Fraction that intervals should hold.
pub(crate) const COVERAGE: f64 = 0.9;

impl DriftModel {
    /// Learns; `None` where numbers cannot be inverted.
    pub(crate) fn fit(encoding: &Encoding, priors: &Priors, table: &TableRows<'_>) -> Option<Self> {
        let model = |effect: Option<PlaceEffect>| {
            let (x, base) = (table.x.clone(), table.base.clone());
            let measured = Measured { x, latency_ms: table.latency_ms, base, effect, coverage: COVERAGE };
            Model::fit(encoding, priors.clone(), &measured)
        };
        if !table.in_order {
            return Some(Self { model: model(None)?, drift: None });
        }
        let steady = model(Some(effect(table.rows, STEADY)))?;
        // A leap of the speed looks like noise until it is followed; whether to follow, the last rows say.
        let following = model(Some(effect(table.rows, LEAPS)))?;
        let last = table.rows.len() / DRIFT_BLOCKS;
        let error = |model: &Model| -> f64 {
            model.process.rows_ahead(table.rows.len() - last, last).iter().map(|row| row.error.abs()).sum()
        };
        let mut model = if error(&following) < error(&steady) { following } else { steady };
        model.quantile = quantile(&model).unwrap_or(model.quantile);
        let drift = Drift {
            rows: table.rows.to_vec(),
            amplitudes: model.effect_amplitudes().to_vec(),
            // A slower device is slower by a fraction of each row's latency.
            alpha: model.process.alpha.component_mul(&DVector::from_column_slice(&model.scale)),
        };
        Some(Self { model, drift: Some(drift) })
    }

    /// Predicts encoded rows that stand in some places of the table.
    pub(crate) fn predict(&self, x: &DMatrix<f64>, rows: &[usize]) -> Vec<Guess> {
        self.model.predict(x, self.drift.as_ref().map(|drift| drift.at(rows)).as_ref())
    }

    /// Intervals as wide as these rows ask for, which it was not learned from.
    pub(crate) fn calibrated(self, x: &DMatrix<f64>, rows: &[usize], latency_ms: &[f64]) -> Self {
        let guesses = self.predict(x, rows);
        Self { model: self.model.calibrated(&guesses, latency_ms, COVERAGE), drift: self.drift }
    }

    /// Takes the width of another one's intervals.
    pub(crate) fn with_width_of(mut self, other: &Self) -> Self {
        self.model.quantile = other.model.quantile;
        self
    }
}

impl Drift {
    /// Fraction by which the device is slower at a row.
    pub(crate) fn of(&self, row: usize) -> f64 {
        self.rows.iter().zip(self.alpha.iter()).map(|(&learned, alpha)| alpha * self.kernel(learned, row)).sum()
    }

    /// The same after the last learned row.
    pub(crate) fn now(&self) -> f64 {
        self.rows.iter().max().map_or(0.0, |&last| self.of(last + 1))
    }

    pub(crate) fn rows(&self) -> &[usize] {
        &self.rows
    }

    fn at(&self, rows: &[usize]) -> NewPlaces {
        NewPlaces {
            fraction: rows.iter().map(|&row| self.of(row)).collect(),
            cross: DMatrix::from_fn(self.rows.len(), rows.len(), |i, j| self.kernel(self.rows[i], rows[j])),
            variance: self.amplitudes.iter().sum(),
        }
    }

    fn kernel(&self, a: usize, b: usize) -> f64 {
        self.amplitudes
            .iter()
            .zip(DRIFT_ROWS)
            .map(|(amplitude, length)| amplitude * correlation(a, b, length))
            .sum()
    }
}

fn effect(rows: &[usize], start: f64) -> PlaceEffect {
    let n = rows.len();
    let of_length = |length: f64| DMatrix::from_fn(n, n, |i, j| correlation(rows[i], rows[j], length));
    PlaceEffect { correlations: DRIFT_ROWS.map(of_length).to_vec(), expected: STEADY, start }
}

/// Ornstein-Uhlenbeck (Rasmussen & Williams 2006, eq. B.27): speed leaps and comes back.
fn correlation(a: usize, b: usize, length: f64) -> f64 {
    (-(a.abs_diff(b) as f64) / length).exp()
}

/// What is predicted comes after what is learned from: errors are those of rows that only earlier ones predict, the latest
/// counting most (Barber et al. 2023, conformal prediction beyond exchangeability). None where there are few rows.
fn quantile(model: &Model) -> Option<f64> {
    const LEAST: usize = 100;
    let n = model.scale.len();
    if n < LEAST {
        return None;
    }
    let (first, ahead) = (n / 4, n / DRIFT_BLOCKS);
    let origins = (0..DRIFT_ORIGINS).map(|origin| first + (n - first) * origin / DRIFT_ORIGINS);
    let weight = |row: usize| 0.5_f64.powf((n - row) as f64 / ahead as f64);
    let errors = origins.flat_map(|origin| model.process.rows_ahead(origin, ahead));
    conformal(errors.map(|row| (row.error.abs() / row.usual, weight(row.row))).collect(), COVERAGE)
}
