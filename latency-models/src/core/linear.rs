use nalgebra::{DMatrix, DVector};

use super::layout::{Column, Group};

/// Linear in the numbers of a row: what is learned of a device with many measurements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    pub(crate) mean_ms: f64,
    /// Milliseconds per number.
    pub(crate) weights: DVector<f64>,
}

/// Ridges of the numbers that stand alone, and of pairs and structure, that are tried.
const RIDGES: [f64; 3] = [0.1, 1.0, 10.0];
const PAIR_RIDGES: [f64; 4] = [3.0, 30.0, 300.0, 3000.0];

/// Ridge regression of several devices that measured the same rows: one pair of ridges each, by every fifth row held out.
pub(crate) fn fit(x: &DMatrix<f64>, columns: &[Column], devices: &[Vec<f64>]) -> Option<Vec<Linear>> {
    const FOLD: usize = 5;
    let (kept, held): (Vec<usize>, Vec<usize>) = (0..x.nrows()).partition(|row| row % FOLD > 0);
    let has_pairs = columns.iter().any(|column| is_pair(column.group));
    let pair_ridges = if has_pairs { &PAIR_RIDGES[..] } else { &PAIR_RIDGES[..1] };
    let ridge = |alone: f64, pair: f64| Ridges { alone, work: alone, pair };
    let ridges: Vec<Ridges> =
        RIDGES.iter().flat_map(|&alone| pair_ridges.iter().map(move |&pair| ridge(alone, pair))).collect();
    let (kept_x, held_x) = (x.select_rows(&kept), x.select_rows(&held));
    let trial = Normal::new(&kept_x, devices.iter().map(|ms| pick(ms, &kept)).collect());
    let mut best = vec![(f64::INFINITY, ridges[0]); devices.len()];
    for &ridge in &ridges {
        let fits = trial.solve(columns, ridge)?;
        for ((best, ms), fit) in best.iter_mut().zip(devices).zip(&fits) {
            let predicted = fit.predict(&held_x);
            let error: f64 = held.iter().zip(predicted.iter()).map(|(&row, p)| (ms[row] - p).abs()).sum();
            if error < best.0 {
                *best = (error, ridge);
            }
        }
    }
    let whole = Normal::new(x, devices.to_vec());
    let mut fits: Vec<Option<Linear>> = vec![None; devices.len()];
    for &ridge in &ridges {
        let users: Vec<usize> = (0..devices.len()).filter(|&device| best[device].1 == ridge).collect();
        if !users.is_empty() {
            let mut found = whole.solve(columns, ridge)?;
            users.iter().rev().for_each(|&device| fits[device] = Some(found.swap_remove(device)));
        }
    }
    fits.into_iter().collect()
}

impl Linear {
    /// Milliseconds of encoded rows.
    pub(crate) fn predict(&self, x: &DMatrix<f64>) -> DVector<f64> {
        (x * &self.weights).add_scalar(self.mean_ms)
    }
}

/// One-hot and amounts alone, as a look-up table has them: the baseline.
pub(crate) fn baseline(x: &DMatrix<f64>, columns: &[Column], latency_ms: &[f64]) -> Option<Linear> {
    // Where pairs and structure cost so much, they are not there.
    const NEVER: f64 = 1e12;
    const RIDGE: f64 = 1e-3;
    Normal::new(x, vec![latency_ms.to_vec()])
        .solve(columns, Ridges { alone: RIDGE, work: NEVER, pair: NEVER })?
        .pop()
}

pub(crate) fn pick(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|&row| values[row]).collect()
}

fn is_pair(group: Group) -> bool {
    matches!(group, Group::Live | Group::Pair)
}

/// Ridges of each kind of number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ridges {
    alone: f64,
    work: f64,
    pair: f64,
}

impl Ridges {
    fn of(self, group: Group) -> f64 {
        match group {
            Group::Table | Group::Amount => self.alone,
            Group::Work => self.work,
            Group::Live | Group::Pair => self.pair,
        }
    }
}

/// Normal equations, for any ridge.
struct Normal {
    gram: DMatrix<f64>,
    /// One column per device.
    moments: DMatrix<f64>,
    x_mean: DVector<f64>,
    y_mean: Vec<f64>,
}

impl Normal {
    fn new(x: &DMatrix<f64>, devices: Vec<Vec<f64>>) -> Self {
        let n = x.nrows() as f64;
        let x_mean = x.row_sum().transpose() / n;
        let y_mean: Vec<f64> = devices.iter().map(|ms| ms.iter().sum::<f64>() / n).collect();
        let gram = x.tr_mul(x) - &x_mean * x_mean.transpose() * n;
        let y = DMatrix::from_fn(x.nrows(), devices.len(), |i, j| devices[j][i] - y_mean[j]);
        Self { gram, moments: x.tr_mul(&y), x_mean, y_mean }
    }

    fn solve(&self, columns: &[Column], ridges: Ridges) -> Option<Vec<Linear>> {
        let mut gram = self.gram.clone();
        for (j, column) in columns.iter().enumerate() {
            gram[(j, j)] += ridges.of(column.group);
        }
        let weights = gram.cholesky()?.solve(&self.moments);
        let linear = |device: usize| {
            let weights = weights.column(device).clone_owned();
            Linear { mean_ms: self.y_mean[device] - self.x_mean.dot(&weights), weights }
        };
        Some((0..self.y_mean.len()).map(linear).collect())
    }
}
