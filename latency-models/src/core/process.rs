use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::factor::factor;

/// A Gaussian process whose kernel is a sum of given ones, each with an amplitude of its own.
///
/// Row i is seen with deviation `noise · scale[i]`: errors of measurement grow with what is measured.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) settings: Amplitudes,
    /// Cholesky factor of K.
    lower: DMatrix<f64>,
    /// Inverse of the Cholesky factor of K.
    pub(crate) whitening: DMatrix<f64>,
    /// K⁻¹·y.
    pub(crate) alpha: DVector<f64>,
    /// Rows that the likelihood takes for outliers have a noise larger by this.
    pub(crate) inflation: Vec<f64>,
}

/// Error of a row that some others predict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HeldOutError {
    pub(crate) row: usize,
    pub(crate) error: f64,
    /// What the process expects of it.
    pub(crate) deviation: f64,
    /// What it would if the row were not taken for an outlier.
    pub(crate) usual: f64,
}

/// What the likelihood picks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amplitudes {
    /// Variance of each kernel.
    pub(crate) kernels: Vec<f64>,
    /// Relative deviation of a measurement.
    pub(crate) noise: f64,
}

/// Rows that the search for amplitudes looks at.
const SEARCHED: usize = 160;
/// Deviations, in logarithms, of what is expected of an amplitude and of the noise.
const KERNEL_SPREAD: f64 = 2.0;
const NOISE_SPREAD: f64 = 1.5;
/// Degrees of freedom of the errors' t distribution.
const FREEDOM: f64 = 4.0;

impl Process {
    /// Learns `y` from kernels among its rows, with amplitudes near `expected` that make it most likely, looked for from a start.
    pub(crate) fn fit(
        kernels: &[DMatrix<f64>],
        y: &DVector<f64>,
        scale: &[f64],
        expected: &Amplitudes,
        start: &Amplitudes,
    ) -> Option<Self> {
        let n = y.len();
        let stride = n.div_ceil(SEARCHED).max(1);
        let some: Vec<usize> = (0..n).step_by(stride).collect();
        let part: Vec<DMatrix<f64>> = kernels.iter().map(|k| k.select_rows(&some).select_columns(&some)).collect();
        let part_y = DVector::from_fn(some.len(), |i, _| y[some[i]]);
        let mut inflation: Vec<f64> = vec![1.0; n];
        let mut settings = start.clone();
        let mut process = None;
        for _ in 0..ROBUST_ROUNDS {
            let deviations: Vec<f64> = some.iter().map(|&i| scale[i] * inflation[i].sqrt()).collect();
            settings = search(&part, &part_y, &deviations, expected, settings)?;
            let fitted = Self::condition(kernels, y, scale, &settings, &inflation)?;
            for (inflation, row) in inflation.iter_mut().zip(fitted.left_out()) {
                let z = row.error / row.deviation;
                *inflation = ((FREEDOM + z * z) / (FREEDOM + 1.0)).clamp(1.0, 100.0);
            }
            process = Some(fitted);
        }
        process
    }

    /// Learns `y` with amplitudes and outliers that are known.
    pub(crate) fn condition(
        kernels: &[DMatrix<f64>],
        y: &DVector<f64>,
        scale: &[f64],
        settings: &Amplitudes,
        inflation: &[f64],
    ) -> Option<Self> {
        let deviations: Vec<f64> = scale.iter().zip(inflation).map(|(s, i)| s * i.sqrt()).collect();
        let (lower, whitening) = factor(&covariance(kernels, settings, &deviations))?;
        let alpha = whitening.tr_mul(&(&whitening * y));
        Some(Self { settings: settings.clone(), lower, whitening, alpha, inflation: inflation.to_vec() })
    }

    /// Each row when the others predict it (Rasmussen & Williams 2006, §5.4.2).
    pub(crate) fn left_out(&self) -> Vec<HeldOutError> {
        let precision = self.whitening.column_iter().map(|column| column.norm_squared());
        let rows = self.alpha.iter().zip(precision).enumerate();
        rows.map(|(row, (alpha, precision))| self.held_out(row, alpha / precision, precision.sqrt().recip()))
            .collect()
    }

    /// Each row from a start on, as far as `ahead` rows ahead, when only those before the start predict it.
    pub(crate) fn rows_ahead(&self, start: usize, ahead: usize) -> Vec<HeldOutError> {
        // K = L·Lᵀ: rows from some place on, given those before it, have errors L_bb·(L⁻¹y)_b and covariance L_bb·L_bbᵀ.
        let end = (start + ahead).min(self.alpha.len());
        let below = self.lower.view((start, start), (end - start, self.alpha.len() - start));
        let whitened = self.lower.columns(start, self.alpha.len() - start).tr_mul(&self.alpha);
        let errors = below * whitened;
        (start..end).map(|row| self.held_out(row, errors[row - start], below.row(row - start).norm())).collect()
    }

    fn held_out(&self, row: usize, error: f64, deviation: f64) -> HeldOutError {
        HeldOutError { row, error, deviation, usual: deviation / self.inflation[row].sqrt() }
    }

    /// Variance of new rows, given their kernel with the learned rows `[learned, new]` and with themselves.
    pub(crate) fn variance(&self, cross: &DMatrix<f64>, own: &[f64]) -> Vec<f64> {
        let whitened = &self.whitening * cross;
        own.iter().zip(whitened.column_iter()).map(|(own, w)| (own - w.norm_squared()).max(0.0)).collect()
    }
}

/// Fits with the errors of the one before.
const ROBUST_ROUNDS: usize = 2;

fn covariance(kernels: &[DMatrix<f64>], settings: &Amplitudes, deviations: &[f64]) -> DMatrix<f64> {
    let n = deviations.len();
    let mut sum = DMatrix::zeros(n, n);
    for (kernel, &amplitude) in kernels.iter().zip(&settings.kernels) {
        sum.zip_apply(kernel, |s, k| *s += amplitude * k);
    }
    for (i, deviation) in deviations.iter().enumerate() {
        sum[(i, i)] += (settings.noise * deviation).powi(2) + 1e-10;
    }
    sum
}

/// One amplitude after the other, by steps that halve: few numbers, no gradients, no luck.
fn search(
    kernels: &[DMatrix<f64>],
    y: &DVector<f64>,
    deviations: &[f64],
    expected: &Amplitudes,
    start: Amplitudes,
) -> Option<Amplitudes> {
    let mut best = (posterior(kernels, y, deviations, expected, &start), start);
    let mut step = 2.0_f64;
    const LEAST_STEP: f64 = 0.3;
    while step > LEAST_STEP {
        let mut moved = false;
        for index in 0..=kernels.len() {
            for factor in [step.exp(), (-step).exp()] {
                let mut settings = best.1.clone();
                let value = settings.kernels.get_mut(index).map_or(&mut settings.noise, |kernel| kernel);
                *value *= factor;
                let found = posterior(kernels, y, deviations, expected, &settings);
                if found > best.0 {
                    best = (found, settings);
                    moved = true;
                    break;
                }
            }
        }
        if !moved {
            step *= 0.5;
        }
    }
    best.0.is_some().then_some(best.1)
}

/// Log marginal likelihood and log prior of the amplitudes.
fn posterior(
    kernels: &[DMatrix<f64>],
    y: &DVector<f64>,
    deviations: &[f64],
    expected: &Amplitudes,
    settings: &Amplitudes,
) -> Option<f64> {
    let cholesky = covariance(kernels, settings, deviations).cholesky()?;
    let explained = y.dot(&cholesky.solve(y));
    let logs: f64 = cholesky.l_dirty().diagonal().iter().map(|pivot| pivot.ln()).sum();
    let off = |value: f64, expected: f64, spread: f64| (((value / expected).ln()) / spread).powi(2);
    let pairs = settings.kernels.iter().zip(&expected.kernels);
    let surprise: f64 = pairs.map(|(&value, &expected)| off(value, expected, KERNEL_SPREAD)).sum::<f64>()
        + off(settings.noise, expected.noise, NOISE_SPREAD);
    Some(-0.5 * explained - logs - 0.5 * surprise)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process of 30 rows, its covariance, and what it learned.
    fn process() -> (Process, DMatrix<f64>, DVector<f64>) {
        let n = 30;
        let kernel = DMatrix::from_fn(n, n, |i, j| (-(i.abs_diff(j) as f64) / 4.0).exp());
        let y = DVector::from_fn(n, |i, _| ((i * 7 % 11) as f64 - 5.0) / 10.0);
        let expected = Amplitudes { kernels: vec![0.1], noise: 0.1 };
        let scale = vec![1.0; n];
        let process = Process::fit(std::slice::from_ref(&kernel), &y, &scale, &expected, &expected).unwrap();
        let whole = &process.lower * process.lower.transpose();
        (process, whole, y)
    }

    /// Mean and variance of a row, given others, by the textbook.
    fn given(whole: &DMatrix<f64>, y: &DVector<f64>, row: usize, others: &[usize]) -> (f64, f64) {
        let known = whole.select_rows(others).select_columns(others);
        let cross = DVector::from_fn(others.len(), |i, _| whole[(others[i], row)]);
        let weights = known.cholesky().unwrap().solve(&cross);
        let seen = DVector::from_fn(others.len(), |i, _| y[others[i]]);
        (weights.dot(&seen), whole[(row, row)] - weights.dot(&cross))
    }

    #[test]
    fn a_row_left_out_is_predicted_by_all_others() {
        let (process, whole, y) = process();
        for held_out in process.left_out() {
            let row = held_out.row;
            let others: Vec<usize> = (0..y.len()).filter(|&other| other != row).collect();
            let (mean, variance) = given(&whole, &y, row, &others);
            assert!((y[row] - mean - held_out.error).abs() < 1e-9, "{row}");
            assert!((variance.sqrt() - held_out.deviation).abs() < 1e-9, "{row}");
        }
    }

    #[test]
    fn rows_ahead_are_predicted_by_earlier_ones_alone() {
        let (process, whole, y) = process();
        for (start, rows) in [(10, 10..14), (28, 28..30)] {
            let earlier: Vec<usize> = (0..start).collect();
            let ahead = process.rows_ahead(start, 4);
            assert_eq!(ahead.iter().map(|row| row.row).collect::<Vec<_>>(), rows.collect::<Vec<_>>());
            for HeldOutError { row, error, deviation, .. } in ahead {
                let (mean, variance) = given(&whole, &y, row, &earlier);
                assert!(
                    (y[row] - mean - error).abs() < 1e-9 && (variance.sqrt() - deviation).abs() < 1e-9,
                    "{row}"
                );
            }
        }
    }
}
