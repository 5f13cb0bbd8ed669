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
    /// Variance of each row's noise over the usual: above 1 for outliers, below for rows that agree with the others.
    pub(crate) inflation: Vec<f64>,
    /// Variance of each row's noise, an outlier's with its inflation.
    noise_variance: Vec<f64>,
    /// What deviations of predictions are multiplied with, 1 at least: as the errors of rows left out ask for.
    pub(crate) widening: f64,
}

/// Error of a row that some others predict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HeldOutError {
    pub(crate) row: usize,
    pub(crate) error: f64,
    /// What the others expect of a new row in its place: its noise is no outlier's, whatever the row's own is.
    pub(crate) deviation: f64,
    /// The same, widened.
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
pub(crate) const FREEDOM: f64 = 4.0;
/// Rows that the deviations as the kernel has them are worth, beside the errors of those left out.
const EXPECTED_ROWS: f64 = 8.0;

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
            let rows = Rows { kernels: &part, y: &part_y, deviations: &deviations, expected };
            settings = rows.average_noise(rows.search(settings)?)?;
            let fitted = Self::condition(kernels, y, scale, &settings, &inflation)?;
            inflation = fitted.expected_inflation();
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
        let noise_variance = deviations.iter().map(|deviation| (settings.noise * deviation).powi(2)).collect();
        let (settings, inflation) = (settings.clone(), inflation.to_vec());
        let mut process = Self { settings, lower, whitening, alpha, inflation, noise_variance, widening: 1.0 };
        process.widening = process.widening();
        Some(process)
    }

    /// From the mean squared error of rows left out, in their deviations. The amplitudes were found on these very rows, so that
    /// smaller errors than expected say nothing.
    fn widening(&self) -> f64 {
        let errors = self.left_out();
        let squares: f64 = errors.iter().map(|row| (row.error / row.deviation).powi(2)).sum();
        ((EXPECTED_ROWS + squares) / (EXPECTED_ROWS + errors.len() as f64)).sqrt().max(1.0)
    }

    /// Inverse of each row's expected weight. Errors are in deviations before any inflation: in inflated ones each round would
    /// forgive what the one before found.
    fn expected_inflation(&self) -> Vec<f64> {
        const MOST: f64 = 100.0;
        let of = |z: f64| ((FREEDOM + z * z) / (FREEDOM + 1.0)).min(MOST);
        self.left_out().iter().map(|row| of(row.error / row.deviation)).collect()
    }

    /// Rows less those that the kernel's functions use up: the trace of what smoothing leaves over (Hastie & Tibshirani 1990).
    pub(crate) fn residual_freedom(&self) -> f64 {
        self.precision().zip(&self.noise_variance).map(|(precision, noise)| precision * noise).sum()
    }

    /// Diagonal of K⁻¹.
    fn precision(&self) -> impl Iterator<Item = f64> {
        self.whitening.column_iter().map(|column| column.norm_squared())
    }

    /// Each row when the others predict it (Rasmussen & Williams 2006, §5.4.2).
    pub(crate) fn left_out(&self) -> Vec<HeldOutError> {
        let rows = self.alpha.iter().zip(self.precision()).enumerate();
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

    fn held_out(&self, row: usize, error: f64, deviation_as_seen: f64) -> HeldOutError {
        let of_outlier = self.noise_variance[row] * (1.0 - self.inflation[row].recip());
        let deviation = (deviation_as_seen.powi(2) - of_outlier).sqrt();
        HeldOutError { row, error, deviation, usual: deviation * self.widening }
    }

    /// Variance of new rows, given their kernel with the learned rows `[learned, new]` and with themselves.
    pub(crate) fn variance(&self, cross: &DMatrix<f64>, own: &[f64]) -> Vec<f64> {
        let whitened = &self.whitening * cross;
        own.iter().zip(whitened.column_iter()).map(|(own, w)| (own - w.norm_squared()).max(0.0)).collect()
    }
}

/// Fits with the errors of the one before: expectation and maximisation of t distributed errors (Lange et al. 1989), with the
/// error of a row left out in place of its residual.
const ROBUST_ROUNDS: usize = 3;

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

/// Rows whose likelihood is asked for.
struct Rows<'a> {
    /// `[rows, rows]` each.
    kernels: &'a [DMatrix<f64>],
    y: &'a DVector<f64>,
    /// Deviation of each row's noise, in that of the settings.
    deviations: &'a [f64],
    expected: &'a Amplitudes,
}

impl Rows<'_> {
    /// One amplitude after the other, by steps that halve: few numbers, no gradients, no luck.
    fn search(&self, start: Amplitudes) -> Option<Amplitudes> {
        let mut best = (self.posterior(&start), start);
        let mut step = 2.0_f64;
        const LEAST_STEP: f64 = 0.1;
        while step > LEAST_STEP {
            let mut moved = false;
            for index in 0..=self.kernels.len() {
                for factor in [step.exp(), (-step).exp()] {
                    let mut settings = best.1.clone();
                    let value = settings.kernels.get_mut(index).map_or(&mut settings.noise, |kernel| kernel);
                    *value *= factor;
                    let found = self.posterior(&settings);
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

    /// The same kernels with the posterior mean of the noise's variance: from few rows it is far above the most likely one, and
    /// intervals that trust the most likely are too narrow.
    fn average_noise(&self, mode: Amplitudes) -> Option<Amplitudes> {
        const STEP: f64 = 0.5;
        const STEPS: i32 = 8;
        let most = self.posterior(&mode)?;
        let (mut total, mut sum) = (0.0, 0.0);
        for step in -STEPS..=STEPS {
            let noise = mode.noise * (STEP * f64::from(step)).exp();
            if let Some(found) = self.posterior(&Amplitudes { noise, kernels: mode.kernels.clone() }) {
                let weight = (found - most).exp();
                total += weight;
                sum += weight * noise.powi(2);
            }
        }
        Some(Amplitudes { noise: (sum / total).sqrt(), ..mode })
    }

    /// Log marginal likelihood and log prior of the amplitudes.
    fn posterior(&self, settings: &Amplitudes) -> Option<f64> {
        let cholesky = covariance(self.kernels, settings, self.deviations).cholesky()?;
        let explained = self.y.dot(&cholesky.solve(self.y));
        let logs: f64 = cholesky.l_dirty().diagonal().iter().map(|pivot| pivot.ln()).sum();
        let off = |value: f64, expected: f64, spread: f64| (((value / expected).ln()) / spread).powi(2);
        let pairs = settings.kernels.iter().zip(&self.expected.kernels);
        let surprise: f64 = pairs.map(|(&value, &expected)| off(value, expected, KERNEL_SPREAD)).sum::<f64>()
            + off(settings.noise, self.expected.noise, NOISE_SPREAD);
        Some(-0.5 * explained - logs - 0.5 * surprise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(kernel: &DMatrix<f64>, y: &DVector<f64>) -> Process {
        let expected = Amplitudes { kernels: vec![0.1], noise: 0.1 };
        Process::fit(std::slice::from_ref(kernel), y, &vec![1.0; y.len()], &expected, &expected).unwrap()
    }

    /// A process of 30 rows, its covariance, and what it learned.
    fn process() -> (Process, DMatrix<f64>, DVector<f64>) {
        let n = 30;
        let kernel = DMatrix::from_fn(n, n, |i, j| (-(i.abs_diff(j) as f64) / 4.0).exp());
        let y = DVector::from_fn(n, |i, _| ((i * 7 % 11) as f64 - 5.0) / 10.0);
        let process = fit(&kernel, &y);
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

    /// Deviation of a new row where one of this variance was seen.
    fn usual(process: &Process, row: usize, variance: f64) -> f64 {
        let noise = process.settings.noise.powi(2);
        (variance - noise * process.inflation[row] + noise).sqrt()
    }

    #[test]
    fn a_row_left_out_is_predicted_by_all_others() {
        let (process, whole, y) = process();
        for held_out in process.left_out() {
            let row = held_out.row;
            let others: Vec<usize> = (0..y.len()).filter(|&other| other != row).collect();
            let (mean, variance) = given(&whole, &y, row, &others);
            assert!((y[row] - mean - held_out.error).abs() < 1e-9, "{row}");
            assert!((usual(&process, row, variance) - held_out.deviation).abs() < 1e-9, "{row}");
        }
    }

    /// 30 measurements of one number, of deviation .1, the first of them so far off.
    fn with_an_outlier(off: f64) -> (DMatrix<f64>, DVector<f64>) {
        let n = 30;
        let y = DVector::from_fn(n, |i, _| if i == 0 { off } else { ((i * 7 % 29) as f64 - 14.0) / 84.0 });
        (DMatrix::from_element(n, n, 1.0), y)
    }

    #[test]
    fn an_outlier_stays_one_from_round_to_round() {
        let (kernel, y) = with_an_outlier(1.0);
        let settings = Amplitudes { kernels: vec![0.1], noise: 0.1 };
        let mut inflation = vec![1.0; y.len()];
        let mut found = Vec::new();
        for _ in 0..6 {
            let process =
                Process::condition(std::slice::from_ref(&kernel), &y, &vec![1.0; y.len()], &settings, &inflation)
                    .unwrap();
            inflation = process.expected_inflation();
            found.push(inflation[0]);
        }
        let law = (FREEDOM + 10.0_f64.powi(2)) / (FREEDOM + 1.0);
        // What the others weigh moves the error a little.
        assert!(found.windows(2).all(|pair| pair[1] > 0.97 * pair[0]), "{found:?}");
        assert!(found.iter().all(|found| (found / law - 1.0).abs() < 0.1), "{found:?} {law}");
    }

    #[test]
    fn an_outlier_hardly_moves_what_the_others_say() {
        let mean = |off: f64| {
            let (kernel, y) = with_an_outlier(off);
            let process = fit(&kernel, &y);
            (process.settings.kernels[0] * process.alpha.sum(), process.inflation[0])
        };
        let ((without, usual), (with, inflated)) = (mean(0.0), mean(1.0));
        // A mean of all 30 would move by 1/30.
        assert!((with - without).abs() < 0.2 / 30.0, "{without} {with}");
        assert!(usual < 1.0 && inflated > 5.0, "{usual} {inflated}");
    }

    #[test]
    fn what_smoothing_leaves_over_is_a_trace() {
        let (process, whole, y) = process();
        let noise = DMatrix::from_diagonal(&DVector::from_column_slice(&process.noise_variance));
        let smoother = (&whole - &noise) * whole.try_inverse().unwrap();
        let (left, n) = (process.residual_freedom(), y.len() as f64);
        assert!((left - (n - smoother.trace())).abs() < 1e-6 && left > 0.0 && left < n, "{left}");
    }

    #[test]
    fn deviations_are_widened_where_rows_left_out_ask_for_it() {
        let n = 30;
        let kernel = DMatrix::from_element(n, n, 1.0);
        let settings = Amplitudes { kernels: vec![0.01], noise: 0.1 };
        let widening = |size: f64| {
            let y = DVector::from_fn(n, |i, _| if i % 2 == 0 { size } else { -size });
            Process::condition(std::slice::from_ref(&kernel), &y, &[1.0; 30], &settings, &[1.0; 30])
                .unwrap()
                .widening
        };
        assert_eq!((widening(0.01), widening(0.1) < 1.05), (1.0, true));
        assert!(
            (widening(0.3) / (9.0 * 30.0 / 38.0 + 8.0 / 38.0_f64).sqrt() - 1.0).abs() < 0.05,
            "{}",
            widening(0.3)
        );
    }

    #[test]
    fn few_rows_leave_room_for_more_noise_than_the_likeliest() {
        let (kernels, expected) =
            ([DMatrix::from_element(40, 40, 1.0)], Amplitudes { kernels: vec![0.1], noise: 0.1 });
        let averaged = |n: usize| {
            let part = [kernels[0].view((0, 0), (n, n)).clone_owned()];
            let y = DVector::from_fn(n, |i, _| if i % 2 == 0 { 0.1 } else { -0.1 });
            let rows = Rows { kernels: &part, y: &y, deviations: &vec![1.0; n], expected: &expected };
            let mode = rows.search(expected.clone()).unwrap();
            rows.average_noise(mode.clone()).unwrap().noise / mode.noise
        };
        assert!(averaged(4) > 1.3 && averaged(40) < 1.15, "{} {}", averaged(4), averaged(40));
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
                assert!((y[row] - mean - error).abs() < 1e-9, "{row}");
                assert!((usual(&process, row, variance) - deviation).abs() < 1e-9, "{row}");
            }
        }
    }
}
