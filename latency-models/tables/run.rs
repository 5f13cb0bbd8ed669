use std::{collections::BTreeMap, time::Instant};

use cpu_time::ProcessTime;
use nalgebra::DMatrix;
use serde::Serialize;

use super::{
    Protocol, Table, TableError, TablePredictor,
    drift::{COVERAGE, DriftModel, TableRows},
    encoder::encoding,
    figures::{Both, DeviceFigures, Figures, trimmed},
    table::Device,
};
use crate::{
    Prediction,
    core::{Encoding, Guess, Linear, Priors, baseline, choose, fit_linear, pick, similar_from},
    correlation::spearman,
};

/// What a protocol gave.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Over devices.
    pub mean: Both,
    /// By name.
    pub devices: BTreeMap<String, DeviceFigures>,
    /// Of the linear fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_linear_fit: Option<Both>,
    /// From all training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_all_rows: Option<Both>,
    /// With the devices' speed known all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_drift_known: Option<Both>,
    /// Candidates predicted in a second of processor time, on average; measured, not stored in predictors.
    pub predictions_per_second: f64,
    /// Seconds that learning one target took, on average.
    pub fit_seconds: f64,
}

/// Rows from which a process learns in reasonable time.
const MOST_LEARNED: usize = 1400;

/// Runs a protocol.
pub fn run(table: &Table, protocol: &Protocol) -> Result<Report, TableError> {
    let mut bench = Bench::new(table, protocol)?;
    let mut devices = BTreeMap::new();
    for target in &protocol.targets {
        devices.insert(target.clone(), bench.device(target)?);
    }
    let speed = bench.predicted as f64 / bench.predict_seconds.max(1e-9);
    Ok(means(devices, speed, bench.fit_seconds / bench.fits.max(1) as f64))
}

/// Averages over devices.
pub(crate) fn means(
    devices: BTreeMap<String, DeviceFigures>,
    predictions_per_second: f64,
    fit_seconds: f64,
) -> Report {
    let mean = |of: fn(&DeviceFigures) -> Option<Both>| {
        let all: Option<Vec<Both>> = devices.values().map(of).collect();
        all.map(|all| Both::mean(&all))
    };
    Report {
        mean: mean(|device| Some(device.ours)).unwrap_or_default(),
        mean_linear_fit: mean(|device| device.linear_fit),
        mean_all_rows: mean(|device| device.all_rows),
        mean_drift_known: mean(|device| device.drift_known),
        predictions_per_second,
        fit_seconds,
        devices,
    }
}

/// The predictor of a target that one seed gives, by a protocol.
pub fn learn(table: &Table, protocol: &Protocol, target: &str, seed: u64) -> Result<TablePredictor, TableError> {
    let bench = Bench::new(table, protocol)?;
    let (name, device) = table.device(target)?;
    let train = protocol.train.of(device)?;
    let rows = bench.choose(&train, protocol.measurements.unwrap_or(train.len()), seed)?;
    Ok(TablePredictor::of(name, &bench.encoding, &bench.learn(name, device, &rows)?.0))
}

struct Bench<'a> {
    table: &'a Table,
    protocol: &'a Protocol,
    encoding: Encoding,
    sources: Vec<Linear>,
    fit_seconds: f64,
    fits: usize,
    predict_seconds: f64,
    predicted: usize,
}

/// What one seed gave.
struct Trial {
    ours: Both,
    linear: Both,
    agreement: Vec<f64>,
    measured: usize,
}

impl<'a> Bench<'a> {
    fn new(table: &'a Table, protocol: &'a Protocol) -> Result<Self, TableError> {
        let names = if protocol.sources.is_empty() { &protocol.targets } else { &protocol.sources };
        let mut rows = Vec::new();
        for name in names {
            rows.extend(protocol.train.of(table.device(name)?.1)?);
        }
        rows.sort_unstable();
        rows.dedup();
        let encoding = encoding(table, &values(table, &rows))?;
        let sources = learn_sources(table, protocol, &encoding)?;
        let (fit_seconds, predict_seconds) = (0.0, 0.0);
        Ok(Self { table, protocol, encoding, sources, fit_seconds, fits: 0, predict_seconds, predicted: 0 })
    }

    fn device(&mut self, name: &str) -> Result<DeviceFigures, TableError> {
        let (_, device) = self.table.device(name)?;
        let (train, test) = (self.protocol.train.of(device)?, self.protocol.test.of(device)?);
        let test_x = self.encoding.encode(&values(self.table, &test));
        let count = self.protocol.measurements.unwrap_or(train.len());
        let mut trials: Vec<(Vec<usize>, Trial)> = Vec::new();
        let mut by_seed = Vec::new();
        for seed in 0..self.protocol.seeds {
            let rows = self.choose(&train, count, seed as u64)?;
            // The same rows teach the same.
            if let Some(index) = trials.iter().position(|(known, _)| *known == rows) {
                by_seed.push(index);
                continue;
            }
            let trial = self.trial(name, device, &rows, (&test, &test_x))?;
            by_seed.push(trials.len());
            trials.push((rows, trial));
        }
        let all: Vec<&Trial> = by_seed.iter().map(|&index| &trials[index].1).collect();
        let both = |of: fn(&Trial) -> Both| Both::mean(&all.iter().map(|trial| of(trial)).collect::<Vec<_>>());
        let agreement = self.protocol.sources.iter().enumerate().map(|(index, source)| {
            let mean = all.iter().map(|trial| trial.agreement[index]).sum::<f64>() / all.len() as f64;
            (source.clone(), mean)
        });
        let ours = both(|trial| trial.ours);
        let similar =
            all.iter().filter(|trial| trial.agreement.iter().any(|&a| a >= similar_from(trial.measured))).count();
        let variance = all.iter().map(|t| (t.ours.trimmed.spearman - ours.trimmed.spearman).powi(2)).sum::<f64>()
            / all.len() as f64;
        Ok(DeviceFigures {
            measurements: all[0].measured,
            test_rows: test.len(),
            linear_fit: Some(both(|trial| trial.linear)),
            all_rows: self.ceiling(name, device, &train, (&test, &test_x), count)?,
            drift_known: self.drift_known(name, device, &train, &test)?,
            similar_source: (!self.sources.is_empty()).then(|| similar as f64 / all.len() as f64),
            agreement: agreement.collect(),
            spread: variance.sqrt(),
            operators: BTreeMap::new(),
            ours,
        })
    }

    /// The rows of a target that are measured.
    fn choose(&self, train: &[usize], count: usize, seed: u64) -> Result<Vec<usize>, TableError> {
        let encode = |rows: &[usize]| self.encoding.encode(&values(self.table, rows));
        let priors = if self.sources.is_empty() {
            let every: Vec<usize> = train.iter().step_by(train.len().div_ceil(500)).copied().collect();
            Priors::alone(&self.encoding, &encode(&every))
        } else {
            let equal = vec![1.0; self.sources.len()];
            Priors::from_sources(&self.encoding, &self.sources, &equal).ok_or_else(|| singular("the sources"))?
        };
        Ok(choose(train, count, seed, |rows| priors.features(&encode(rows))))
    }

    fn trial(
        &mut self,
        name: &str,
        device: &Device,
        rows: &[usize],
        test: (&[usize], &DMatrix<f64>),
    ) -> Result<Trial, TableError> {
        let started = Instant::now();
        let (model, agreement) = self.learn(name, device, rows)?;
        self.fit_seconds += started.elapsed().as_secs_f64();
        self.fits += 1;
        let guesses = predictions(model.predict(test.1, test.0));
        let predictor = TablePredictor::of(name, &self.encoding, &model);
        let candidates = values(self.table, test.0);
        // Processor time: how busy the machine is says nothing of the predictor.
        let started = ProcessTime::now();
        self.predicted += predictor.predict_ms(&candidates).len();
        self.predict_seconds += started.elapsed().as_secs_f64();
        let x = self.encoding.encode(&values(self.table, rows));
        let linear = baseline(&x, self.encoding.columns(), &latency(device, rows));
        let linear = linear.ok_or_else(|| singular(name))?.predict(test.1);
        Ok(Trial {
            ours: self.both(device, test.0, &guesses),
            linear: self.both_of_means(device, test.0, linear.as_slice()),
            agreement,
            measured: rows.len(),
        })
    }

    /// A model of a target, and how each source agrees with what was measured.
    fn learn(&self, name: &str, device: &Device, rows: &[usize]) -> Result<(DriftModel, Vec<f64>), TableError> {
        let x = self.encoding.encode(&values(self.table, rows));
        let latency_ms = latency(device, rows);
        let agreement: Vec<f64> =
            self.sources.iter().map(|source| spearman(source.predict(&x).as_slice(), &latency_ms)).collect();
        let priors = if agreement.iter().any(|&a| a >= similar_from(rows.len())) {
            // One that disagrees says nothing of this device.
            let weights: Vec<f64> = agreement.iter().map(|a| a.max(0.05)).collect();
            Priors::from_sources(&self.encoding, &self.sources, &weights).ok_or_else(|| singular("the sources"))?
        } else {
            Priors::alone(&self.encoding, &x)
        };
        let model = if rows.len() > MOST_LEARNED {
            self.of_many(&priors, &x, rows, &latency_ms)
        } else {
            let in_order = self.table.card.in_order;
            let rows = TableRows { x, rows, latency_ms: &latency_ms, in_order, base: None };
            DriftModel::fit(&self.encoding, &priors, &rows)
        };
        let model = model.ok_or_else(|| singular(name))?;
        Ok((model, agreement))
    }

    /// Of many rows. What they leave of themselves is less than what they leave of others: a model without every fifth of them
    /// (without the last fifth, where the device drifts) determines how wide intervals are.
    fn of_many(&self, priors: &Priors, x: &DMatrix<f64>, rows: &[usize], latency_ms: &[f64]) -> Option<DriftModel> {
        const FOLD: usize = 5;
        let n = rows.len();
        let in_order = self.table.card.in_order;
        let held = |i: usize| if in_order { i >= n - n / FOLD } else { i.is_multiple_of(FOLD) };
        let (held, kept): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| held(i));
        let of = |some: &[usize]| {
            let places: Vec<usize> = some.iter().map(|&i| rows[i]).collect();
            (x.select_rows(some), places, pick(latency_ms, some))
        };
        let (kept_x, kept_rows, kept_ms) = of(&kept);
        let (held_x, held_rows, held_ms) = of(&held);
        let trial = self.thinned(priors, &kept_x, &kept_rows, &kept_ms)?;
        let trial = trial.calibrated(&held_x, &held_rows, &held_ms);
        Some(self.thinned(priors, x, rows, latency_ms)?.with_width_of(&trial))
    }

    /// A linear fit to all rows, and a process on what it leaves at every so many.
    fn thinned(&self, priors: &Priors, x: &DMatrix<f64>, rows: &[usize], latency_ms: &[f64]) -> Option<DriftModel> {
        let base = fit_linear(x, self.encoding.columns(), &[latency_ms.to_vec()])?.pop();
        let some: Vec<usize> = (0..rows.len()).step_by(rows.len().div_ceil(MOST_LEARNED)).collect();
        let (places, latency_ms) = (some.iter().map(|&i| rows[i]).collect::<Vec<_>>(), pick(latency_ms, &some));
        let in_order = self.table.card.in_order;
        let x = x.select_rows(&some);
        DriftModel::fit(
            &self.encoding,
            priors,
            &TableRows { x, rows: &places, latency_ms: &latency_ms, in_order, base },
        )
    }

    /// From all training rows, without sources: what the noise of the table leaves to reach.
    fn ceiling(
        &self,
        name: &str,
        device: &Device,
        train: &[usize],
        test: (&[usize], &DMatrix<f64>),
        count: usize,
    ) -> Result<Option<Both>, TableError> {
        if count >= train.len() {
            return Ok(None);
        }
        let x = self.encoding.encode(&values(self.table, train));
        let fits = fit_linear(&x, self.encoding.columns(), &[latency(device, train)]);
        let fit = fits.and_then(|mut fits| fits.pop()).ok_or_else(|| singular(name))?;
        Ok(Some(self.both_of_means(device, test.0, fit.predict(test.1).as_slice())))
    }

    /// Test rows from all others of the device, before and after.
    fn drift_known(
        &self,
        name: &str,
        device: &Device,
        train: &[usize],
        test: &[usize],
    ) -> Result<Option<Both>, TableError> {
        // The nearest rows tell the speed; so many are soon learned from.
        const MOST: usize = 1600;
        if !self.table.card.in_order || test.len() >= MOST {
            return Ok(None);
        }
        let mut rows = train[train.len().saturating_sub(MOST - test.len())..].to_vec();
        rows.extend(test);
        rows.sort_unstable();
        let x = self.encoding.encode(&values(self.table, &rows));
        let latency_ms = latency(device, &rows);
        let priors = Priors::alone(&self.encoding, &x);
        let measured = TableRows { x, rows: &rows, latency_ms: &latency_ms, in_order: true, base: None };
        let fitted = DriftModel::fit(&self.encoding, &priors, &measured).ok_or_else(|| singular(name))?;
        let guesses = predictions(fitted.model.left_out(&latency_ms, COVERAGE));
        let of_test: Vec<Prediction> =
            test.iter().filter_map(|row| Some(guesses[rows.binary_search(row).ok()?])).collect();
        Ok(Some(self.both(device, test, &of_test)))
    }

    fn both(&self, device: &Device, test: &[usize], guesses: &[Prediction]) -> Both {
        let measured = latency(device, test);
        let kept = trimmed(&measured, self.protocol.trim);
        let some: Vec<Prediction> = kept.iter().map(|&index| guesses[index]).collect();
        Both {
            all: Figures::of_predictions(&measured, guesses),
            trimmed: Figures::of_predictions(&pick(&measured, &kept), &some),
        }
    }

    fn both_of_means(&self, device: &Device, test: &[usize], means: &[f64]) -> Both {
        let measured = latency(device, test);
        let kept = trimmed(&measured, self.protocol.trim);
        Both {
            all: Figures::of_means(&measured, means),
            trimmed: Figures::of_means(&pick(&measured, &kept), &pick(means, &kept)),
        }
    }
}

fn learn_sources(table: &Table, protocol: &Protocol, encoding: &Encoding) -> Result<Vec<Linear>, TableError> {
    // Devices of one file measured the same rows, and share the work.
    let mut by_rows: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (index, name) in protocol.sources.iter().enumerate() {
        by_rows.entry(protocol.train.of(table.device(name)?.1)?).or_default().push(index);
    }
    let mut sources: Vec<Option<Linear>> = vec![None; protocol.sources.len()];
    for (rows, indices) in &by_rows {
        let x = encoding.encode(&values(table, rows));
        let device = |&index: &usize| Ok(latency(table.device(&protocol.sources[index])?.1, rows));
        let devices = indices.iter().map(device).collect::<Result<Vec<_>, TableError>>()?;
        let fits = fit_linear(&x, encoding.columns(), &devices).ok_or_else(|| singular("the sources"))?;
        indices.iter().zip(fits).for_each(|(&index, fit)| sources[index] = Some(fit));
    }
    Ok(sources.into_iter().flatten().collect())
}

/// Feature values of some rows.
pub(crate) fn values(table: &Table, rows: &[usize]) -> Vec<Vec<f64>> {
    rows.iter().map(|&row| table.features.iter().map(|feature| feature.values[row]).collect()).collect()
}

fn predictions(guesses: Vec<Guess>) -> Vec<Prediction> {
    guesses.into_iter().map(Prediction::from).collect()
}

fn latency(device: &Device, rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|&row| device.latency_ms[row - device.rows.start]).collect()
}

fn singular(device: &str) -> TableError {
    let message = "its covariance cannot be inverted; are all of its latencies or rows the same?".into();
    TableError::Learn { device: device.into(), message }
}
