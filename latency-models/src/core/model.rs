use nalgebra::{DMatrix, DVector};

use super::{
    encoding::Encoding,
    level::Level,
    linear::Linear,
    near::{NEAR_FROM, Near},
    priors::Priors,
    process::{Amplitudes, FREEDOM, HeldOutError, Process},
    quantile::{conformal, median, student},
};

/// A device's latency, learned from some rows and priors: one Gaussian process of relative latency, whose kernel is a sum of
/// a constant, random linear functions ([`Priors`]), interactions ([`Near`]) and what the rows' places add ([`PlaceEffect`]).
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Typical milliseconds: the median of what was measured.
    pub(crate) unit_ms: f64,
    /// Relative latency per number of a row.
    pub(crate) weights: DVector<f64>,
    pub(crate) constant: f64,
    pub(crate) near: Near,
    pub(crate) process: Process,
    pub(crate) priors: Priors,
    pub(crate) learned: DMatrix<f64>,
    /// Relative latency that measurements are expected to have, for the size of their errors.
    pub(crate) level: Level,
    /// Relative latency of the learned rows.
    pub(crate) scale: Vec<f64>,
    /// What the deviation of a prediction is multiplied with to hold the wanted fraction.
    pub(crate) quantile: f64,
    /// No device was ever faster, by far.
    pub(crate) floor_ms: f64,
}

/// Rows of a device.
pub(crate) struct Measured<'a> {
    /// Encoded, `[rows, width]`.
    pub(crate) x: DMatrix<f64>,
    /// Milliseconds.
    pub(crate) latency_ms: &'a [f64],
    /// What more rows than these gave already.
    pub(crate) base: Option<Linear>,
    /// What the place of a row does to its latency.
    pub(crate) effect: Option<PlaceEffect>,
    /// Fraction of new rows whose measurement an interval should hold.
    pub(crate) coverage: f64,
}

/// Random effects of where a row stands among the measured ones: fractions of its latency.
pub(crate) struct PlaceEffect {
    /// Correlation among the rows, `[rows, rows]` each.
    pub(crate) correlations: Vec<DMatrix<f64>>,
    /// Variance expected of each, and from which the search for it starts.
    pub(crate) expected: f64,
    pub(crate) start: f64,
}

/// The same of new rows.
#[derive(Default)]
pub(crate) struct NewPlaces {
    /// Expected fraction of latency by row.
    pub(crate) fraction: Vec<f64>,
    /// Covariance with the learned rows, `[learned, new]`, and variance.
    pub(crate) cross: DMatrix<f64>,
    pub(crate) variance: f64,
}

/// What is said of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Guess {
    /// Expected milliseconds.
    pub(crate) mean_ms: f64,
    /// Deviation of a measurement from it.
    pub(crate) sigma_ms: f64,
    /// Lower end of the interval.
    pub(crate) low_ms: f64,
    /// Upper end.
    pub(crate) high_ms: f64,
}

/// From as many rows on, intervals are wholly conformal.
const CONFORMAL_FROM: usize = 100;

/// What the process is conditioned on.
struct Prepared {
    kernels: Vec<DMatrix<f64>>,
    expected: Amplitudes,
    start: Amplitudes,
    y: DVector<f64>,
    scale: Vec<f64>,
    unit_ms: f64,
    level: Level,
    near: Near,
    constant: f64,
    weights: DVector<f64>,
}

impl Prepared {
    fn new(encoding: &Encoding, priors: &Priors, measured: &Measured<'_>) -> Option<Self> {
        let n = measured.latency_ms.len();
        let unit_ms = median(measured.latency_ms);
        let (constant, weights) = match &measured.base {
            Some(base) => (base.mean_ms / unit_ms - 1.0, &base.weights / unit_ms),
            None => (0.0, DVector::zeros(encoding.width())),
        };
        let relative = DVector::from_iterator(n, measured.latency_ms.iter().map(|ms| ms / unit_ms - 1.0));
        let y = relative - (&measured.x * &weights).add_scalar(constant);
        let level = match measured.base {
            Some(_) => Level::Fitted { constant, weights: weights.clone() },
            None => Level::new(priors, encoding, &measured.x, &y)?,
        };
        let scale = level.of(priors, &measured.x);
        let mut kernels = vec![DMatrix::from_element(n, n, 1.0)];
        let mut expected = Amplitudes { kernels: vec![1.0], noise: 0.02 };
        for part in &priors.parts {
            let h = &measured.x * &part.root;
            kernels.push(&h * h.transpose());
            expected.kernels.push(part.expected);
        }
        let near = Near::new(encoding, &measured.x);
        if n >= NEAR_FROM {
            let squared = near.squared_distances(&measured.x, &measured.x);
            kernels.extend(near.curves.iter().map(|curve| squared.map(|d| curve.of(d))));
            expected.kernels.extend(near.curves.iter().map(|_| 1e-3));
        }
        let mut start = expected.clone();
        if let Some(effect) = &measured.effect {
            for correlation in &effect.correlations {
                kernels.push(DMatrix::from_fn(n, n, |i, j| scale[i] * scale[j] * correlation[(i, j)]));
                expected.kernels.push(effect.expected);
                start.kernels.push(effect.start);
            }
        }
        Some(Self { kernels, expected, start, y, scale, unit_ms, level, near, constant, weights })
    }
}

impl Model {
    /// Learns; `None` where numbers cannot be inverted.
    pub(crate) fn fit(encoding: &Encoding, priors: Priors, measured: &Measured<'_>) -> Option<Self> {
        let prepared = Prepared::new(encoding, &priors, measured)?;
        let Prepared { kernels, expected, start, y, scale, .. } = &prepared;
        let process = Process::fit(kernels, y, scale, expected, start)?;
        Some(Self::of(prepared, process, priors, measured))
    }

    /// The same of amplitudes and outliers that a fit found.
    pub(crate) fn condition(
        encoding: &Encoding,
        priors: Priors,
        measured: &Measured<'_>,
        settings: &Amplitudes,
        inflation: &[f64],
    ) -> Option<Self> {
        let prepared = Prepared::new(encoding, &priors, measured)?;
        if settings.kernels.len() != prepared.kernels.len() || inflation.len() != prepared.y.len() {
            return None;
        }
        let process = Process::condition(&prepared.kernels, &prepared.y, &prepared.scale, settings, inflation)?;
        Some(Self::of(prepared, process, priors, measured))
    }

    fn of(prepared: Prepared, process: Process, priors: Priors, measured: &Measured<'_>) -> Self {
        let Prepared { unit_ms, level, mut near, constant, mut weights, scale, .. } = prepared;
        let amplitudes = &process.settings.kernels;
        let pulled = measured.x.tr_mul(&process.alpha);
        for (part, amplitude) in priors.parts.iter().zip(&amplitudes[1..]) {
            weights += &part.root * part.root.tr_mul(&pulled) * *amplitude;
        }
        if scale.len() >= NEAR_FROM {
            let first = 1 + priors.parts.len();
            near.amplitudes = amplitudes[first..first + near.curves.len()].to_vec();
            near.weights.clone_from(&process.alpha);
        }
        let least = measured.latency_ms.iter().copied().fold(f64::INFINITY, f64::min);
        Self {
            unit_ms,
            weights,
            constant: constant + amplitudes[0] * process.alpha.sum(),
            near,
            quantile: quantile(&process, measured.coverage),
            process,
            priors,
            learned: measured.x.clone(),
            level,
            scale,
            floor_ms: 0.5 * least,
        }
    }

    /// Amplitudes of the place's effects.
    pub(crate) fn effect_amplitudes(&self) -> &[f64] {
        let near = self.near.amplitudes.len();
        &self.process.settings.kernels[1 + self.priors.parts.len() + near..]
    }

    /// Milliseconds of encoded rows that stand in some places.
    pub(crate) fn mean_ms(&self, x: &DMatrix<f64>, places: Option<&NewPlaces>) -> Vec<f64> {
        let mut relative = (x * &self.weights).add_scalar(1.0 + self.constant);
        if !self.near.amplitudes.is_empty() {
            relative += self.near.of(x, &self.learned);
        }
        if let Some(places) = places {
            let scale = self.level.of(&self.priors, x);
            let effects = places.fraction.iter().zip(scale).map(|(fraction, scale)| scale * fraction);
            relative.iter_mut().zip(effects).for_each(|(sum, effect)| *sum += effect);
        }
        relative.iter().map(|relative| (relative * self.unit_ms).max(self.floor_ms)).collect()
    }

    /// The same with deviations and intervals.
    pub(crate) fn predict(&self, x: &DMatrix<f64>, places: Option<&NewPlaces>) -> Vec<Guess> {
        let (cross, own) = self.kernels(x, places);
        let known = self.process.variance(&cross, &own);
        let scale = self.level.of(&self.priors, x);
        let noise = self.process.settings.noise;
        let means = self.mean_ms(x, places);
        let guess = |((mean_ms, variance), scale): ((f64, f64), f64)| {
            let sigma_ms = (variance + (noise * scale).powi(2)).sqrt() * self.process.widening * self.unit_ms;
            Guess::new(mean_ms, sigma_ms, self.quantile)
        };
        means.into_iter().zip(known).zip(scale).map(guess).collect()
    }

    /// Intervals as wide as these errors of predictions ask for.
    pub(crate) fn calibrated(mut self, guesses: &[Guess], latency_ms: &[f64], coverage: f64) -> Self {
        let errors = guesses.iter().zip(latency_ms).map(|(guess, ms)| (ms - guess.mean_ms).abs() / guess.sigma_ms);
        self.quantile = conformal(errors.map(|error| (error, 1.0)).collect(), coverage).unwrap_or(self.quantile);
        self
    }

    /// Each learned row as all others predict it; intervals from the same errors.
    pub(crate) fn left_out(&self, latency_ms: &[f64], coverage: f64) -> Vec<Guess> {
        let held_out = self.process.left_out();
        let errors = held_out.iter().map(|row| (row.error.abs() / row.usual, 1.0)).collect();
        let quantile = conformal(errors, coverage).unwrap_or(self.quantile);
        let guess = |(row, &ms): (&HeldOutError, &f64)| {
            let mean_ms = (ms - row.error * self.unit_ms).max(self.floor_ms);
            Guess::new(mean_ms, row.usual * self.unit_ms, quantile)
        };
        held_out.iter().zip(latency_ms).map(guess).collect()
    }

    /// Functions of encoded numbers, `[width, learned + roots]`: the random linear functions' kernel with each learned row, and
    /// numbers whose squares sum to their kernel with itself.
    pub(crate) fn kernel_roots(&self) -> DMatrix<f64> {
        let mut columns: Vec<DVector<f64>> = vec![DVector::zeros(self.weights.len()); self.learned.nrows()];
        let mut roots = Vec::new();
        for (part, amplitude) in self.priors.parts.iter().zip(&self.process.settings.kernels[1..]) {
            let with_learned = &part.root * (part.root.tr_mul(&self.learned.transpose())) * *amplitude;
            columns.iter_mut().zip(with_learned.column_iter()).for_each(|(sum, column)| *sum += column);
            roots.extend(part.root.column_iter().map(|column| column * amplitude.sqrt()));
        }
        columns.extend(roots);
        DMatrix::from_columns(&columns)
    }

    /// Kernel of new rows with the learned ones `[learned, new]`, and with themselves.
    fn kernels(&self, x: &DMatrix<f64>, places: Option<&NewPlaces>) -> (DMatrix<f64>, Vec<f64>) {
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
        if let Some(places) = places {
            let new = self.level.of(&self.priors, x);
            for (j, new) in new.iter().enumerate() {
                for (i, learned) in self.scale.iter().enumerate() {
                    cross[(i, j)] += learned * new * places.cross[(i, j)];
                }
                own[j] += new.powi(2) * places.variance;
            }
        }
        (cross, own)
    }
}

impl Guess {
    fn new(mean_ms: f64, sigma_ms: f64, quantile: f64) -> Self {
        let half = sigma_ms * quantile;
        Self { mean_ms, sigma_ms, low_ms: (mean_ms - half).max(0.0), high_ms: mean_ms + half }
    }
}

/// What deviations are multiplied with. From few rows: a quantile of a t distribution, whose degrees of freedom are those that the
/// fit leaves over, clamped to 4-8. From many: the conformal one of their errors when left out (Barber et al. 2021).
fn quantile(process: &Process, coverage: f64) -> f64 {
    const MOST_FREEDOM: f64 = 8.0;
    let student = || student(coverage, process.residual_freedom().clamp(FREEDOM, MOST_FREEDOM));
    if process.alpha.len() < CONFORMAL_FROM {
        return student();
    }
    let errors = process.left_out().iter().map(|row| (row.error.abs() / row.usual, 1.0)).collect();
    conformal(errors, coverage).unwrap_or_else(student)
}
