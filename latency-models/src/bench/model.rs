use nalgebra::{DMatrix, DVector};

use super::{
    encoding::{Column, Encoding, Group},
    predictor::{NearRows, Sum, TablePredictor},
    priors::Priors,
    process::{Amplitudes, Missed, Process},
    source::Linear,
};

/// A device's latency, learned from some of its rows and priors.
pub(crate) struct Model {
    /// Typical milliseconds: the median of what was measured.
    unit_ms: f64,
    /// Relative latency per number of a row.
    weights: DVector<f64>,
    constant: f64,
    near: Near,
    drift: Option<Drift>,
    process: Process,
    priors: Priors,
    learned: DMatrix<f64>,
    /// Relative latency that measurements are expected to have, for the size of their errors.
    level: Level,
    /// What the deviation of a prediction is multiplied with to hold the wanted share.
    quantile: f64,
    /// No device was ever faster, by far.
    floor_ms: f64,
}

/// Interactions of any order: rows near each other are alike.
struct Near {
    /// Rows' numbers that count for the distance, and how much.
    columns: Vec<usize>,
    shrink: f64,
    /// One per length.
    amplitudes: Vec<f64>,
    weights: DVector<f64>,
}

/// Speed changes while rows are measured one after the other.
struct Drift {
    rows: Vec<usize>,
    amplitudes: Vec<f64>,
    alpha: DVector<f64>,
}

/// Where errors of measurement grow with latency.
enum Level {
    /// As the first belief says.
    Prior,
    /// By weights of a first fit.
    Fitted { constant: f64, weights: DVector<f64> },
}

/// What is known of relative latency before the process learns; 0 where nothing is.
struct Base {
    constant: f64,
    weights: DVector<f64>,
}

impl Base {
    fn new(base: Option<&Linear>, width: usize, unit_ms: f64) -> Self {
        base.map_or_else(
            || Self { constant: 0.0, weights: DVector::zeros(width) },
            |base| Self { constant: base.mean_ms / unit_ms - 1.0, weights: &base.weights / unit_ms },
        )
    }
}

/// What is said of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// Expected milliseconds.
    pub mean_ms: f64,
    /// Lower end of the 90 % interval.
    pub low_ms: f64,
    /// Upper end.
    pub high_ms: f64,
}

/// Squared lengths of [`Near`], in mean squared distances of rows.
const LENGTHS: [f64; 2] = [0.5, 2.0];
/// Rows over which a device's speed changes.
const DRIFT_ROWS: [f64; 3] = [20.0, 300.0, 5000.0];
/// Variance of the speed of a device that leaps.
const LEAPS: f64 = 0.01;
/// Share that intervals should hold.
const COVERAGE: f64 = 0.9;
/// 90 % of a t distribution with 8 degrees of freedom.
const FEW_QUANTILE: f64 = 1.86;
/// Errors do not become smaller than those of a network that takes this fraction of a typical latency.
pub(crate) const LEAST_LEVEL: f64 = 0.3;
/// Fewest rows from which interactions of any order are learned.
const NEAR_FROM: usize = 40;

/// Rows of a device.
pub(crate) struct Measured<'a> {
    /// Encoded, `[rows, width]`.
    pub(crate) x: DMatrix<f64>,
    /// Where they stand in the table.
    pub(crate) rows: &'a [usize],
    /// Milliseconds.
    pub(crate) latency_ms: &'a [f64],
    /// Whether rows stand in the order of measurement.
    pub(crate) in_order: bool,
    /// What more rows than these gave already.
    pub(crate) base: Option<Linear>,
}

impl Model {
    /// Learns; `None` where numbers cannot be inverted.
    pub(crate) fn fit(encoding: &Encoding, priors: Priors, measured: &Measured<'_>) -> Option<Self> {
        let n = measured.rows.len();
        let unit_ms = median(measured.latency_ms);
        let base = Base::new(measured.base.as_ref(), encoding.width(), unit_ms);
        let relative = DVector::from_iterator(n, measured.latency_ms.iter().map(|ms| ms / unit_ms - 1.0));
        let y = relative - (&measured.x * &base.weights).add_scalar(base.constant);
        let level = match measured.base {
            Some(_) => Level::Fitted { constant: base.constant, weights: base.weights.clone() },
            None => Level::new(&priors, encoding, &measured.x, &y)?,
        };
        let scale = level.of(&priors, &measured.x);
        let mut kernels = vec![DMatrix::from_element(n, n, 1.0)];
        let mut expected = Amplitudes { kernels: vec![1.0], noise: 0.02 };
        for part in &priors.parts {
            let h = &measured.x * &part.root;
            kernels.push(&h * h.transpose());
            expected.kernels.push(part.expected);
        }
        let mut near = Near::new(encoding, &measured.x);
        if n >= NEAR_FROM {
            let squared = near.squared_distances(&measured.x, &measured.x);
            kernels.extend(LENGTHS.iter().map(|length| squared.map(|d| Near::kernel(d, *length))));
            expected.kernels.extend(LENGTHS.map(|_| 1e-3));
        }
        if measured.in_order {
            for length in DRIFT_ROWS {
                kernels.push(DMatrix::from_fn(n, n, |i, j| {
                    scale[i] * scale[j] * drift(measured.rows[i], measured.rows[j], length)
                }));
                expected.kernels.push(1e-4);
            }
        }
        let mut process = Process::fit(&kernels, &y, &scale, &expected, &expected)?;
        if measured.in_order {
            // A leap of the speed looks like noise until it is followed; whether to follow, the last rows say.
            let mut leaps = expected.clone();
            let first = leaps.kernels.len() - DRIFT_ROWS.len();
            leaps.kernels[first..].fill(LEAPS);
            let following = Process::fit(&kernels, &y, &scale, &expected, &leaps)?;
            let last = n / DRIFT_BLOCKS;
            let error = |process: &Process| -> f64 {
                process.rows_ahead(n - last, last).iter().map(|missed| missed.error.abs()).sum()
            };
            if error(&following) < error(&process) {
                process = following;
            }
        }
        let amplitudes = &process.settings.kernels;
        let mut weights = base.weights;
        let pulled = measured.x.tr_mul(&process.alpha);
        for (part, amplitude) in priors.parts.iter().zip(&amplitudes[1..]) {
            weights += &part.root * part.root.tr_mul(&pulled) * *amplitude;
        }
        let mut rest = amplitudes[1 + priors.parts.len()..].to_vec();
        if n >= NEAR_FROM {
            let others = rest.split_off(LENGTHS.len());
            near.amplitudes = std::mem::replace(&mut rest, others);
            near.weights.clone_from(&process.alpha);
        }
        let drift = measured.in_order.then(|| Drift {
            rows: measured.rows.to_vec(),
            amplitudes: rest,
            // A slower device is slower by a fraction of each row's latency.
            alpha: process.alpha.component_mul(&DVector::from_column_slice(&scale)),
        });
        let quantile = quantile(&process, measured.in_order);
        let least = measured.latency_ms.iter().copied().fold(f64::INFINITY, f64::min);
        Some(Self {
            unit_ms,
            weights,
            constant: base.constant + amplitudes[0] * process.alpha.sum(),
            near,
            drift,
            process,
            priors,
            learned: measured.x.clone(),
            level,
            quantile,
            floor_ms: 0.5 * least,
        })
    }

    /// Milliseconds of encoded rows that stand in some places of the table.
    pub(crate) fn mean_ms(&self, x: &DMatrix<f64>, rows: &[usize]) -> Vec<f64> {
        let mut relative = (x * &self.weights).add_scalar(1.0 + self.constant);
        if !self.near.amplitudes.is_empty() {
            relative += self.near.of(x, &self.learned);
        }
        if let Some(drift) = &self.drift {
            let scale = self.level.of(&self.priors, x);
            let drifts = rows.iter().zip(scale).map(|(&row, scale)| scale * drift.of(row));
            relative.iter_mut().zip(drifts).for_each(|(sum, drift)| *sum += drift);
        }
        relative.iter().map(|relative| (relative * self.unit_ms).max(self.floor_ms)).collect()
    }

    /// Intervals as wide as these rows ask for, which it was not learned from.
    pub(crate) fn calibrated(mut self, x: &DMatrix<f64>, rows: &[usize], latency_ms: &[f64]) -> Self {
        let guesses = self.predict(x, rows);
        let deviation = |guess: &Guess| (guess.high_ms - guess.mean_ms) / self.quantile;
        let errors =
            guesses.iter().zip(latency_ms).map(|(guess, ms)| (ms - guess.mean_ms).abs() / deviation(guess));
        self.quantile = conformal(errors.map(|error| (error, 1.0)).collect());
        self
    }

    /// Takes the width of another one's intervals.
    pub(crate) fn with_width_of(mut self, other: &Self) -> Self {
        self.quantile = other.quantile;
        self
    }

    /// Each learned row as all others predict it, those after it too; intervals from the same errors.
    pub(crate) fn left_out(&self, latency_ms: &[f64]) -> Vec<Guess> {
        let missed = self.process.left_out();
        let quantile = conformal(missed.iter().map(|missed| (missed.error.abs() / missed.usual, 1.0)).collect());
        let guess = |(missed, &ms): (&Missed, &f64)| {
            let mean_ms = (ms - missed.error * self.unit_ms).max(self.floor_ms);
            let deviation = missed.usual * quantile * self.unit_ms;
            Guess { mean_ms, low_ms: (mean_ms - deviation).max(0.0), high_ms: mean_ms + deviation }
        };
        missed.iter().zip(latency_ms).map(guess).collect()
    }

    /// The same with intervals.
    pub(crate) fn predict(&self, x: &DMatrix<f64>, rows: &[usize]) -> Vec<Guess> {
        let (cross, own) = self.kernels(x, rows);
        let known = self.process.variance(&cross, &own);
        let scale = self.level.of(&self.priors, x);
        let noise = self.process.settings.noise;
        let means = self.mean_ms(x, rows);
        let guess = |((mean_ms, variance), scale): ((f64, f64), f64)| {
            let deviation = (variance + (noise * scale).powi(2)).sqrt() * self.unit_ms * self.quantile;
            Guess { mean_ms, low_ms: (mean_ms - deviation).max(0.0), high_ms: mean_ms + deviation }
        };
        means.into_iter().zip(known).zip(scale).map(guess).collect()
    }

    /// What predicts without intervals of its own.
    pub(crate) fn into_predictor(self, device: &str, encoding: &Encoding) -> TablePredictor {
        let sum = |constant: f64, weights: &DVector<f64>| {
            let (centre, weights) = encoding.folded(weights.as_slice());
            Sum { constant: constant + centre, weights }
        };
        let drift = self.drift.as_ref().map(|drift| {
            let now = drift.rows.iter().max().map_or(0.0, |&last| drift.of(last + 1));
            let level = match &self.level {
                Level::Prior => sum(0.0, &self.priors.parts[0].root.column(0).clone_owned()),
                Level::Fitted { constant, weights } => sum(*constant, weights),
            };
            (now, level)
        });
        let near = (!self.near.amplitudes.is_empty()).then(|| {
            let rows = self.learned.select_columns(&self.near.columns);
            let rows = rows.row_iter().map(|row| row.iter().copied().collect::<Vec<f64>>());
            NearRows {
                columns: self.near.columns.clone(),
                shrink: self.near.shrink,
                curves: self.near.amplitudes.iter().copied().zip(LENGTHS).collect(),
                rows: rows.zip(self.near.weights.iter().copied()).collect(),
            }
        });
        let places = self.drift.as_ref().map_or_else(|| vec![0; self.learned.nrows()], |drift| drift.rows.clone());
        let widths = self.predict(&self.learned, &places);
        let relative: Vec<f64> = widths.iter().map(|guess| guess.high_ms / guess.mean_ms - 1.0).collect();
        TablePredictor {
            format_version: TablePredictor::FORMAT_VERSION,
            device: device.into(),
            relative_interval: median(&relative),
            unit_ms: self.unit_ms,
            floor_ms: self.floor_ms,
            encoding: encoding.clone(),
            relative: sum(self.constant, &self.weights),
            drift,
            near,
        }
    }

    /// Kernel of new rows with the learned ones `[learned, new]`, and with themselves.
    fn kernels(&self, x: &DMatrix<f64>, rows: &[usize]) -> (DMatrix<f64>, Vec<f64>) {
        let amplitudes = &self.process.settings.kernels;
        let mut cross = DMatrix::from_element(self.learned.nrows(), x.nrows(), amplitudes[0]);
        let mut own = vec![amplitudes[0]; x.nrows()];
        for (part, amplitude) in self.priors.parts.iter().zip(&amplitudes[1..]) {
            let (learned, new) = (&self.learned * &part.root, x * &part.root);
            cross += learned * new.transpose() * *amplitude;
            own.iter_mut().zip(new.row_iter()).for_each(|(own, row)| *own += amplitude * row.norm_squared());
        }
        if !self.near.amplitudes.is_empty() {
            let squared = self.near.squared_distances(&self.learned, x);
            cross.zip_apply(&squared, |sum, d| *sum += self.near.sum(d));
            own.iter_mut().for_each(|own| *own += self.near.amplitudes.iter().sum::<f64>());
        }
        if let Some(path) = &self.drift {
            let (learned, new) = (self.level.of(&self.priors, &self.learned), self.level.of(&self.priors, x));
            for (j, &row) in rows.iter().enumerate() {
                for (i, &other) in path.rows.iter().enumerate() {
                    cross[(i, j)] += learned[i] * new[j] * path.kernel(other, row);
                }
                own[j] += new[j].powi(2) * path.amplitudes.iter().sum::<f64>();
            }
        }
        (cross, own)
    }
}

impl Near {
    fn new(encoding: &Encoding, x: &DMatrix<f64>) -> Self {
        let counts = |column: &Column| matches!(column.group, Group::Table | Group::Amount);
        let columns: Vec<usize> = (0..encoding.width()).filter(|&j| counts(&encoding.columns()[j])).collect();
        let part = x.select_columns(&columns);
        let mean = part.row_mean();
        let spread: f64 = part.row_iter().map(|row| (row - &mean).norm_squared()).sum::<f64>() / x.nrows() as f64;
        let (amplitudes, weights) = (Vec::new(), DVector::zeros(x.nrows()));
        Self { columns, shrink: 1.0 / (2.0 * spread).max(1e-12), amplitudes, weights }
    }

    fn squared_distances(&self, a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let (a, b) = (a.select_columns(&self.columns), b.select_columns(&self.columns));
        let mut squared = &a * b.transpose() * (-2.0 * self.shrink);
        let norms =
            |m: &DMatrix<f64>| m.row_iter().map(|row| row.norm_squared() * self.shrink).collect::<Vec<f64>>();
        let (a, b) = (norms(&a), norms(&b));
        for (j, mut column) in squared.column_iter_mut().enumerate() {
            column.iter_mut().zip(&a).for_each(|(d, a)| *d = (*d + a + b[j]).max(0.0));
        }
        squared
    }

    /// Rational quadratic (Rasmussen & Williams 2006, eq. 4.19, α = 1).
    fn kernel(squared: f64, length: f64) -> f64 {
        1.0 / (1.0 + squared / length)
    }

    fn sum(&self, squared: f64) -> f64 {
        self.amplitudes
            .iter()
            .zip(LENGTHS)
            .map(|(amplitude, length)| amplitude * Self::kernel(squared, length))
            .sum()
    }

    fn of(&self, x: &DMatrix<f64>, learned: &DMatrix<f64>) -> DVector<f64> {
        self.squared_distances(learned, x).map(|d| self.sum(d)).tr_mul(&self.weights)
    }
}

impl Drift {
    fn kernel(&self, a: usize, b: usize) -> f64 {
        self.amplitudes.iter().zip(DRIFT_ROWS).map(|(amplitude, length)| amplitude * drift(a, b, length)).sum()
    }

    fn of(&self, row: usize) -> f64 {
        self.rows.iter().zip(self.alpha.iter()).map(|(&learned, alpha)| alpha * self.kernel(learned, row)).sum()
    }
}

/// Ornstein-Uhlenbeck (Rasmussen & Williams 2006, eq. B.27): speed leaps and comes back.
fn drift(a: usize, b: usize, length: f64) -> f64 {
    (-(a.abs_diff(b) as f64) / length).exp()
}

impl Level {
    fn new(priors: &Priors, encoding: &Encoding, x: &DMatrix<f64>, y: &DVector<f64>) -> Option<Self> {
        if priors.parts.first().is_some_and(|part| part.root.ncols() == 1) {
            return Some(Self::Prior);
        }
        const RIDGE: f64 = 1.0;
        let h = priors.features(x);
        let mut kernel = &h * h.transpose();
        (0..x.nrows()).for_each(|i| kernel[(i, i)] += RIDGE * 0.01);
        let alpha = kernel.cholesky()?.solve(y);
        let pulled = x.tr_mul(&alpha);
        let mut weights = DVector::zeros(encoding.width());
        for part in &priors.parts {
            weights += &part.root * part.root.tr_mul(&pulled) * part.expected;
        }
        Some(Self::Fitted { constant: alpha.sum(), weights })
    }

    /// Relative latency, never near 0.
    fn of(&self, priors: &Priors, x: &DMatrix<f64>) -> Vec<f64> {
        let (relative, constant) = match self {
            Self::Prior => (x * priors.parts[0].root.column(0), 0.0),
            Self::Fitted { constant, weights } => (x * weights, *constant),
        };
        relative.iter().map(|relative| (1.0 + constant + relative).max(LEAST_LEVEL)).collect()
    }
}

/// From as many rows on, intervals are wholly conformal.
const CONFORMAL_FROM: usize = 100;
/// What is predicted lies this part of the rows beyond what is learned from, where a device drifts …
const DRIFT_BLOCKS: usize = 5;
/// … and was, from so many places on, in what was measured.
const DRIFT_ORIGINS: usize = 12;

/// What deviations are multiplied with: with few rows, which were chosen for being unlike the others, a quantile of a t
/// distribution; with many, the conformal one of their errors when left out (Barber et al. 2021).
///
/// Where a device drifts, what is predicted comes after what is learned from: there the errors are those of rows that only
/// earlier ones predict, the latest counting most (Barber et al. 2023, conformal prediction beyond exchangeability).
fn quantile(process: &Process, in_order: bool) -> f64 {
    let n = process.alpha.len();
    if n < CONFORMAL_FROM {
        return FEW_QUANTILE;
    }
    let in_usual = |missed: &Missed| missed.error.abs() / missed.usual;
    if !in_order {
        return conformal(process.left_out().iter().map(|missed| (in_usual(missed), 1.0)).collect());
    }
    let (first, ahead) = (n / 4, n / DRIFT_BLOCKS);
    let origins = (0..DRIFT_ORIGINS).map(|origin| first + (n - first) * origin / DRIFT_ORIGINS);
    let weight = |row: usize| 0.5_f64.powf((n - row) as f64 / ahead as f64);
    let missed = origins.flat_map(|origin| process.rows_ahead(origin, ahead));
    conformal(missed.map(|missed| (in_usual(&missed), weight(missed.row))).collect())
}

/// The deviation that the wanted fraction of errors, each with its weight, does not exceed; a further one counts 1.
fn conformal(mut errors: Vec<(f64, f64)>) -> f64 {
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = COVERAGE * (1.0 + errors.iter().map(|error| error.1).sum::<f64>());
    let mut held = 0.0;
    for &(deviation, weight) in &errors {
        held += weight;
        // Up to the rounding of the sum.
        if held >= wanted - 1e-9 {
            return deviation;
        }
    }
    errors.last().map_or(FEW_QUANTILE, |error| error.0)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]) }
}
