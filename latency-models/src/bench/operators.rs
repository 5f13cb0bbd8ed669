//! Single operations on graphics cards (NeuSight, Lee et al. 2025): what a card takes, relative to its roofline, is learned from
//! other cards and smaller operations.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::{
    Asked, BenchError, Report, Rows,
    figures::{Both, DeviceFigures, Figures, trimmed},
    model::Guess,
    run::means,
    source::pick,
    trees::{Growth, Trees},
};

/// Files of operations to learn from and to predict, and what the cards are.
pub struct Operators {
    folder: PathBuf,
    train: Vec<Operation>,
    test: Vec<Operation>,
    cards: BTreeMap<String, GraphicsCard>,
    /// Mean absolute relative error that others report, in hundredths, by learner, then `in` or `out`, then class.
    pub published: BTreeMap<String, BTreeMap<String, f64>>,
}

/// A row.
#[derive(Clone, Debug, Deserialize)]
struct Operation {
    op: String,
    device: String,
    latency_ms: f64,
    #[serde(rename = "B")]
    b: f64,
    #[serde(rename = "M")]
    m: Option<f64>,
    #[serde(rename = "N")]
    n: Option<f64>,
    #[serde(rename = "K_or_H")]
    k: f64,
}

/// What a maker says of a card.
#[derive(Clone, Debug, Deserialize)]
struct GraphicsCard {
    #[serde(rename = "Mem_Bw")]
    gigabytes_per_second: f64,
    #[serde(rename = "Num_Sm")]
    processors: f64,
    #[serde(rename = "Core_Per_SM")]
    cores: f64,
    #[serde(rename = "Freq")]
    megahertz: f64,
    #[serde(rename = "L2Cache")]
    cache_megabytes: f64,
}

/// Kinds of operation that are learned together, as NeuSight reports them.
const CLASSES: [&str; 5] = ["BMM", "FC", "EW", "Softmax", "LN"];

const GROWTH: Growth = Growth { trees: 250, depth: 6, rate: 0.12 };
/// Share of the rows, the largest one in so many, whose errors give the intervals.
const CALIBRATION: usize = 10;
/// Measurements of a card from which what they say of it counts as much as nothing.
const OFFSET_SHRINKAGE: f64 = 4.0;

impl Operators {
    /// Whether a folder holds these files.
    pub fn are_in(folder: &Path) -> bool {
        folder.join("ops_train.csv").exists() && folder.join("ops_test.csv").exists()
    }

    /// Reads them.
    pub fn read(folder: &Path) -> Result<Self, BenchError> {
        let path = folder.join("device_configs.json");
        let fail = |message: String| BenchError::Card { path: path.clone(), message };
        let text = std::fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
        let cards = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            train: read_operations(&folder.join("ops_train.csv"))?,
            test: read_operations(&folder.join("ops_test.csv"))?,
            cards,
            published: read_published(&folder.join("published_perop.csv")),
        })
    }

    /// Cards from which something can be learned.
    pub fn sources(&self) -> Vec<String> {
        let mut names: Vec<String> = self.train.iter().map(|operation| operation.device.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Learns and predicts. With nothing asked for, every card of the test file from all of the training file.
    pub fn run(&self, asked: &Asked) -> Result<Report, BenchError> {
        let own = asked.targets.is_some() || asked.measurements.is_some();
        let sources = match &asked.sources {
            Some(names) => names.clone(),
            None if own => Vec::new(),
            None => self.sources(),
        };
        let mut targets: Vec<String> = asked.targets.clone().unwrap_or_default();
        if targets.is_empty() {
            targets = self.test.iter().map(|operation| operation.device.clone()).collect();
            targets.sort();
            targets.dedup();
        }
        for name in sources.iter().chain(&targets) {
            self.card(name)?;
        }
        if asked.seeds == 0 || !(0.0..0.5).contains(&asked.trim) {
            let message =
                format!("seeds = {}, trim = {}: at least 1, from 0 to below 0.5", asked.seeds, asked.trim);
            return Err(BenchError::Protocol(message));
        }
        let train = rows_of(&asked.train_rows, &self.train)?;
        let test = rows_of(&asked.test_rows, &self.test)?;
        let known: Vec<&Operation> = train.iter().copied().filter(|op| sources.contains(&op.device)).collect();
        let started = Instant::now();
        let learned = if known.is_empty() { None } else { Some(self.learn(&known)?) };
        let mut fit_seconds = started.elapsed().as_secs_f64();
        let (mut devices, mut predicted, mut seconds) = (BTreeMap::new(), 0, 0.0);
        for target in &targets {
            let own: Vec<&Operation> = train.iter().copied().filter(|op| op.device == *target).collect();
            let own = if sources.contains(target) { Vec::new() } else { own };
            let test: Vec<&Operation> = test.iter().copied().filter(|op| op.device == *target).collect();
            if test.is_empty() {
                return Err(BenchError::Protocol(format!("no test row of {target}")));
            }
            let mut trials = Vec::new();
            let count = asked.measurements.unwrap_or(if learned.is_none() { own.len() } else { 0 }).min(own.len());
            let seeds = if count == own.len() || count == 0 { 1 } else { asked.seeds };
            for seed in 0..seeds as u64 {
                let mut measured = own.clone();
                measured.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
                measured.truncate(count);
                let alone = match &learned {
                    Some(_) => None,
                    None => Some(self.learn(&measured)?),
                };
                let model = learned.as_ref().or(alone.as_ref());
                let Some(model) = model else { continue };
                let started = Instant::now();
                let guesses = self.predict(model, &measured, &test)?;
                (seconds, predicted) = (seconds + started.elapsed().as_secs_f64(), predicted + guesses.len());
                trials.push(self.figures(&test, &guesses, asked.trim));
            }
            let card = device_figures(&trials, count, test.len());
            devices.insert(target.clone(), card);
        }
        fit_seconds /= targets.len() as f64;
        Ok(means(devices, predicted as f64 / f64::max(seconds, 1e-9), fit_seconds))
    }

    fn card(&self, name: &str) -> Result<&GraphicsCard, BenchError> {
        self.cards.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.cards.keys().map(String::as_str).collect();
            let folder = self.folder.display();
            BenchError::Protocol(format!(
                "device {name} is not in {folder}/device_configs.json: {}",
                names.join(", ")
            ))
        })
    }

    /// A learner per class, and the size of its errors on rows held out.
    fn learn(&self, rows: &[&Operation]) -> Result<BTreeMap<&'static str, (Trees, f64)>, BenchError> {
        let mut learned = BTreeMap::new();
        for class in CLASSES {
            let of: Vec<&Operation> = rows.iter().copied().filter(|op| op.class() == class).collect();
            if of.len() < 2 * CALIBRATION {
                continue;
            }
            let encoded = of.iter().map(|op| self.encode(op)).collect::<Result<Vec<_>, _>>()?;
            // What is predicted tends to be larger than what is learned from, so the largest tell the size of errors.
            let mut order: Vec<usize> = (0..of.len()).collect();
            order.sort_by(|&a, &b| encoded[a].1.total_cmp(&encoded[b].1));
            let (smaller, largest) = order.split_at(of.len() - of.len() / CALIBRATION);
            let fit = |rows: &[usize]| {
                let column = |j: usize| rows.iter().map(|&row| encoded[row].0[j]).collect();
                let columns: Vec<Vec<f64>> = (0..encoded[0].0.len()).map(column).collect();
                let y: Vec<f64> = rows.iter().map(|&row| (of[row].latency_ms / encoded[row].1).ln()).collect();
                Trees::fit(&columns, &y, GROWTH)
            };
            let trial = fit(smaller);
            let error = |&row: &usize| {
                let (columns, roofline_ms) = &encoded[row];
                (trial.predict(columns) - (of[row].latency_ms / roofline_ms).ln()).abs()
            };
            let mut errors: Vec<f64> = largest.iter().map(error).collect();
            errors.sort_by(f64::total_cmp);
            let rank = ((errors.len() + 1) * 9).div_ceil(10);
            learned.insert(class, (fit(&order), errors[rank.clamp(1, errors.len()) - 1]));
        }
        Ok(learned)
    }

    fn predict(
        &self,
        model: &BTreeMap<&'static str, (Trees, f64)>,
        measured: &[&Operation],
        test: &[&Operation],
    ) -> Result<Vec<Guess>, BenchError> {
        let mut offsets: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        let relative = |op: &Operation| -> Result<(f64, f64, f64), BenchError> {
            let (trees, width) = model.get(op.class()).ok_or_else(|| BenchError::Learn {
                device: op.device.clone(),
                message: format!("too few training rows of {}", op.class()),
            })?;
            let (columns, roofline_ms) = self.encode(op)?;
            Ok((trees.predict(&columns), roofline_ms, *width))
        };
        for op in measured {
            let (log, roofline_ms, _) = relative(op)?;
            let sum = offsets.entry(op.class()).or_default();
            *sum = (sum.0 + (op.latency_ms / roofline_ms).ln() - log, sum.1 + 1.0);
        }
        let mut guesses = Vec::with_capacity(test.len());
        for op in test {
            let (log, roofline_ms, width) = relative(op)?;
            let offset = offsets.get(op.class()).map_or(0.0, |(sum, count)| sum / (count + OFFSET_SHRINKAGE));
            let mean_ms = roofline_ms * (log + offset).exp();
            guesses.push(Guess { mean_ms, low_ms: mean_ms * (-width).exp(), high_ms: mean_ms * width.exp() });
        }
        Ok(guesses)
    }

    /// Numbers for the trees, and the roofline's milliseconds.
    fn encode(&self, op: &Operation) -> Result<(Vec<f64>, f64), BenchError> {
        let card = self.card(&op.device)?;
        let (flops, bytes, tiles) = op.work();
        // Two operations a cycle and core, as makers count them.
        let peak = 2.0 * card.processors * card.cores * card.megahertz * 1e6;
        let (compute_ms, memory_ms) = (1e3 * flops / peak, 1e-6 * bytes / card.gigabytes_per_second);
        let roofline_ms = compute_ms.max(memory_ms).max(1e-3);
        let waves = tiles / card.processors;
        let kind = op.op.bytes().fold(0.0, |sum, byte| 7.0 * sum + f64::from(byte)) % 1009.0;
        let columns = vec![
            roofline_ms.ln(),
            (compute_ms / memory_ms).ln(),
            waves.ln(),
            waves.ceil() / waves,
            (1e-6 * bytes / card.cache_megabytes).ln(),
            op.b.ln(),
            op.m.unwrap_or(1.0).ln(),
            op.n.unwrap_or(1.0).ln(),
            op.k.ln(),
            (peak / card.gigabytes_per_second).ln(),
            f64::from(op.op.ends_with('u')),
            kind,
        ];
        Ok((columns, roofline_ms))
    }

    fn figures(&self, test: &[&Operation], guesses: &[Guess], trim: f64) -> (Both, BTreeMap<String, Figures>) {
        let measured: Vec<f64> = test.iter().map(|op| op.latency_ms).collect();
        let of = |rows: &[usize]| {
            let some: Vec<Guess> = rows.iter().map(|&row| guesses[row]).collect();
            Figures::of_guesses(&pick(&measured, rows), &some)
        };
        let all: Vec<usize> = (0..test.len()).collect();
        let both = Both { all: of(&all), trimmed: of(&trimmed(&measured, trim)) };
        let class = |class: &'static str| {
            let rows: Vec<usize> = all.iter().copied().filter(|&row| test[row].class() == class).collect();
            (!rows.is_empty()).then(|| (class.to_string(), of(&rows)))
        };
        (both, CLASSES.into_iter().filter_map(class).collect())
    }
}

impl Operation {
    fn class(&self) -> &'static str {
        match self.op.as_str() {
            "bmm" => "BMM",
            "linear" => "FC",
            "softmax" => "Softmax",
            "ln" => "LN",
            _ => "EW",
        }
    }

    /// Floating-point operations, bytes of f32 read and written, tiles of 128 × 128.
    fn work(&self) -> (f64, f64, f64) {
        let (b, k) = (self.b, self.k);
        if let (Some(m), Some(n)) = (self.m, self.n) {
            let tiles = b * (m / 128.0).ceil() * (n / 128.0).ceil();
            // A linear layer's weights are read once for all of the batch.
            let weights = if self.class() == "FC" { n * k } else { b * n * k };
            return (2.0 * b * m * n * k, 4.0 * (b * m * k + weights + b * m * n), tiles);
        }
        let touched = match self.op.as_str() {
            "add" | "mul" | "div" | "pow" => 3.0,
            _ => 2.0,
        };
        (5.0 * b * k, 4.0 * touched * b * k, (b * k / 16384.0).ceil())
    }
}

fn rows_of<'a>(asked: &Option<String>, all: &'a [Operation]) -> Result<Vec<&'a Operation>, BenchError> {
    let Some(text) = asked else { return Ok(all.iter().collect()) };
    Ok(Rows::parse(text)?.within(0..all.len())?.into_iter().map(|row| &all[row]).collect())
}

fn device_figures(
    trials: &[(Both, BTreeMap<String, Figures>)],
    measurements: usize,
    test_rows: usize,
) -> DeviceFigures {
    let ours = Both::mean(&trials.iter().map(|trial| trial.0).collect::<Vec<_>>());
    let class = |class: &String| {
        let all: Vec<Figures> = trials.iter().filter_map(|trial| trial.1.get(class).copied()).collect();
        (class.clone(), Figures::mean(&all))
    };
    let operators = trials.first().map(|trial| trial.1.keys().map(class).collect()).unwrap_or_default();
    DeviceFigures { ours, measurements, test_rows, operators, ..DeviceFigures::default() }
}

fn read_operations(path: &Path) -> Result<Vec<Operation>, BenchError> {
    let fail = |line: usize, message: String| BenchError::Table { path: path.to_path_buf(), line, message };
    let mut reader = csv::Reader::from_path(path).map_err(|error| fail(0, error.to_string()))?;
    let mut operations = Vec::new();
    for (index, row) in reader.deserialize().enumerate() {
        let row: Operation = row.map_err(|error| fail(index + 2, error.to_string()))?;
        let sizes = [Some(row.latency_ms), Some(row.b), row.m, row.n, Some(row.k)];
        if let Some(bad) = sizes.into_iter().flatten().find(|size| !(size.is_finite() && *size > 0.0)) {
            return Err(fail(index + 2, format!("{bad} is no size and no latency; both are above 0")));
        }
        operations.push(row);
    }
    if operations.len() < 2 * CALIBRATION {
        return Err(fail(0, format!("{} rows; at least {} are needed", operations.len(), 2 * CALIBRATION)));
    }
    Ok(operations)
}

/// Figures of others, where they are there: two lines of headings, then learners.
fn read_published(path: &Path) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut published = BTreeMap::new();
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(path);
    let Ok(mut reader) = reader else { return published };
    for record in reader.records().filter_map(Result::ok).skip(2) {
        let mut figures = BTreeMap::new();
        for (index, value) in record.iter().skip(1).enumerate() {
            let place = if index < CLASSES.len() { "in" } else { "out" };
            if let (Some(class), Ok(value)) = (CLASSES.get(index % CLASSES.len()), value.parse::<f64>()) {
                figures.insert(format!("{place}/{class}"), value / 100.0);
            }
        }
        published.insert(record.get(0).unwrap_or_default().to_string(), figures);
    }
    published
}
