//! Single operations on graphics cards (NeuSight, Lee et al. 2025): what a card takes, relative to its roofline, is learned from
//! other cards and smaller operations.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Asked, Report, Rows, TableError,
    figures::{Both, DeviceFigures, Figures, trimmed},
    operation::{CLASSES, GraphicsCard, LEAST_ROWS, Operation, read_operations, read_published},
    run::means,
    trees::{Growth, Trees},
};
use crate::{Prediction, core::pick};

/// Files of operations to learn from and to predict, and what the cards are.
pub struct Operators {
    folder: PathBuf,
    train: Vec<Operation>,
    test: Vec<Operation>,
    cards: BTreeMap<String, GraphicsCard>,
    /// Mean absolute relative error that others report, in hundredths, by learner, then `in` or `out`, then class.
    pub published: BTreeMap<String, BTreeMap<String, f64>>,
}

/// What is learned of a class.
struct Learned {
    trees: Trees,
    /// Half the width of intervals, in logarithms.
    width: f64,
    /// Constant and slope of a line through the roofline: the baseline.
    line: (f64, f64),
}

type Classes = BTreeMap<&'static str, Learned>;

const GROWTH: Growth = Growth { trees: 250, depth: 6, rate: 0.12 };
/// Fraction of the rows, the largest one in so many, whose errors give the intervals.
const CALIBRATION: usize = 10;
/// Rows of a class that errors of left-out cards are estimated from; they need no more.
const MOST_WITHOUT_CARD: usize = 6000;
/// Measurements of a card from which what they say of it counts as much as nothing.
const OFFSET_SHRINKAGE: f64 = 4.0;

impl Operators {
    /// Whether a folder holds these files.
    pub fn are_in(folder: &Path) -> bool {
        folder.join("ops_train.csv").exists() && folder.join("ops_test.csv").exists()
    }

    /// Reads them.
    pub fn read(folder: &Path) -> Result<Self, TableError> {
        let path = folder.join("device_configs.json");
        let fail = |message: String| TableError::Card { path: path.clone(), message };
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
    pub fn run(&self, asked: &Asked) -> Result<Report, TableError> {
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
            return Err(TableError::Protocol(message));
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
                return Err(TableError::Protocol(format!("no test row of {target}")));
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
                trials.push(self.figures(&test, &guesses, &self.lines(model, &test)?, asked.trim));
            }
            let card = device_figures(&trials, count, test.len());
            devices.insert(target.clone(), card);
        }
        fit_seconds /= targets.len() as f64;
        Ok(means(devices, predicted as f64 / f64::max(seconds, 1e-9), fit_seconds))
    }

    fn card(&self, name: &str) -> Result<&GraphicsCard, TableError> {
        self.cards.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.cards.keys().map(String::as_str).collect();
            let folder = self.folder.display();
            TableError::Protocol(format!(
                "device {name} is not in {folder}/device_configs.json: {}",
                names.join(", ")
            ))
        })
    }

    /// A learner per class, and the size of its errors on rows held out.
    fn learn(&self, rows: &[&Operation]) -> Result<Classes, TableError> {
        let mut learned = BTreeMap::new();
        for class in CLASSES {
            let of: Vec<&Operation> = rows.iter().copied().filter(|op| op.class() == class).collect();
            if of.len() < LEAST_ROWS {
                continue;
            }
            let encoded = of.iter().map(|op| self.encode(op)).collect::<Result<Vec<_>, _>>()?;
            // What is predicted tends to be larger than what is learned from, so the largest give the size of errors.
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
            // Of cards that were learned from too: what another day, clock or driver changes is seen between cards alone.
            let width = conformal(largest.iter().map(error).collect());
            let width = width.max(without_card(&of, &order, fit, &encoded).map_or(0.0, conformal));
            learned.insert(class, Learned { trees: fit(&order), width, line: line(&of, &encoded) });
        }
        Ok(learned)
    }

    /// What the baseline says.
    fn lines(&self, model: &Classes, test: &[&Operation]) -> Result<Vec<f64>, TableError> {
        let ms = |op: &&Operation| {
            let (constant, slope) = self.class(model, op)?.line;
            Ok(constant + slope * self.encode(op)?.1)
        };
        test.iter().map(ms).collect()
    }

    fn class<'a>(&self, model: &'a Classes, op: &Operation) -> Result<&'a Learned, TableError> {
        model.get(op.class()).ok_or_else(|| TableError::Learn {
            device: op.device.clone(),
            message: format!("too few training rows of {}", op.class()),
        })
    }

    fn predict(
        &self,
        model: &Classes,
        measured: &[&Operation],
        test: &[&Operation],
    ) -> Result<Vec<Prediction>, TableError> {
        let mut offsets: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        let relative = |op: &Operation| -> Result<(f64, f64, f64), TableError> {
            let learned = self.class(model, op)?;
            let (columns, roofline_ms) = self.encode(op)?;
            Ok((learned.trees.predict(&columns), roofline_ms, learned.width))
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
            let (low_ms, high_ms) = (mean_ms * (-width).exp(), mean_ms * width.exp());
            guesses.push(Prediction { mean_ms, sigma_ms: 0.5 * (high_ms - low_ms), low_ms, high_ms });
        }
        Ok(guesses)
    }

    /// Numbers for the trees, and the roofline's milliseconds.
    fn encode(&self, op: &Operation) -> Result<(Vec<f64>, f64), TableError> {
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

    fn figures(&self, test: &[&Operation], guesses: &[Prediction], lines: &[f64], trim: f64) -> Trial {
        let measured: Vec<f64> = test.iter().map(|op| op.latency_ms).collect();
        let of = |rows: &[usize]| {
            let some: Vec<Prediction> = rows.iter().map(|&row| guesses[row]).collect();
            Figures::of_predictions(&pick(&measured, rows), &some)
        };
        let all: Vec<usize> = (0..test.len()).collect();
        let kept = trimmed(&measured, trim);
        let ours = Both { all: of(&all), trimmed: of(&kept) };
        let linear = Both {
            all: Figures::of_means(&measured, lines),
            trimmed: Figures::of_means(&pick(&measured, &kept), &pick(lines, &kept)),
        };
        let class = |class: &'static str| {
            let rows: Vec<usize> = all.iter().copied().filter(|&row| test[row].class() == class).collect();
            (!rows.is_empty()).then(|| (class.to_string(), of(&rows)))
        };
        Trial { ours, linear, classes: CLASSES.into_iter().filter_map(class).collect() }
    }
}

/// What one seed gave.
struct Trial {
    ours: Both,
    linear: Both,
    classes: BTreeMap<String, Figures>,
}

/// Errors, in logarithms, of each card's larger operations when the other cards are learned from; none where there is one card.
fn without_card(
    of: &[&Operation],
    by_size: &[usize],
    fit: impl Fn(&[usize]) -> Trees,
    encoded: &[(Vec<f64>, f64)],
) -> Option<Vec<f64>> {
    let mut cards: Vec<&str> = of.iter().map(|op| op.device.as_str()).collect();
    cards.sort_unstable();
    cards.dedup();
    if cards.len() < 2 {
        return None;
    }
    let some: Vec<usize> = by_size.iter().copied().step_by(of.len().div_ceil(MOST_WITHOUT_CARD)).collect();
    let mut errors = Vec::new();
    for card in cards {
        let (out, kept): (Vec<usize>, Vec<usize>) = some.iter().partition(|&&row| of[row].device == card);
        if kept.len() < LEAST_ROWS {
            continue;
        }
        let trees = fit(&kept);
        // As for known cards, the larger ones.
        errors.extend(out[out.len() / 2..].iter().map(|&row| {
            let (columns, roofline_ms) = &encoded[row];
            (trees.predict(columns) - (of[row].latency_ms / roofline_ms).ln()).abs()
        }));
    }
    Some(errors)
}

/// The error that nine of ten do not exceed.
fn conformal(mut errors: Vec<f64>) -> f64 {
    errors.sort_by(f64::total_cmp);
    let rank = ((errors.len() + 1) * 9).div_ceil(10);
    errors.get(rank.clamp(1, errors.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// Least squares of relative errors of a constant and a multiple of the roofline.
fn line(of: &[&Operation], encoded: &[(Vec<f64>, f64)]) -> (f64, f64) {
    // Each row divided by its latency: u = 1/y, v = x/y, and 1 is to be met.
    let (mut uu, mut uv, mut vv, mut u1, mut v1) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (op, (_, roofline_ms)) in of.iter().zip(encoded) {
        let (u, v) = (1.0 / op.latency_ms, roofline_ms / op.latency_ms);
        (uu, uv, vv, u1, v1) = (uu + u * u, uv + u * v, vv + v * v, u1 + u, v1 + v);
    }
    let determinant = uu * vv - uv * uv;
    if determinant <= 1e-12 * uu * vv {
        return (0.0, v1 / vv);
    }
    ((u1 * vv - v1 * uv) / determinant, (uu * v1 - uv * u1) / determinant)
}

fn rows_of<'a>(asked: &Option<String>, all: &'a [Operation]) -> Result<Vec<&'a Operation>, TableError> {
    let Some(text) = asked else { return Ok(all.iter().collect()) };
    Ok(Rows::parse(text)?.within(0..all.len())?.into_iter().map(|row| &all[row]).collect())
}

fn device_figures(trials: &[Trial], measurements: usize, test_rows: usize) -> DeviceFigures {
    let both = |of: fn(&Trial) -> Both| Both::mean(&trials.iter().map(of).collect::<Vec<_>>());
    let linear_fit = (!trials.is_empty()).then(|| both(|trial| trial.linear));
    let class = |class: &String| {
        let all: Vec<Figures> = trials.iter().filter_map(|trial| trial.classes.get(class).copied()).collect();
        (class.clone(), Figures::mean(&all))
    };
    let operators = trials.first().map(|trial| trial.classes.keys().map(class).collect()).unwrap_or_default();
    let ours = both(|trial| trial.ours);
    DeviceFigures { ours, linear_fit, measurements, test_rows, operators, ..DeviceFigures::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(device: &str, k: f64, latency_ms: f64) -> Operation {
        Operation { op: "add".into(), device: device.into(), latency_ms, b: 1.0, m: None, n: None, k }
    }

    #[test]
    fn the_baseline_is_the_line_that_is_there() {
        let sizes: Vec<f64> = (1..9).map(f64::from).collect();
        let operations: Vec<Operation> = sizes.iter().map(|x| operation("a", *x, 0.5 + 3.0 * x)).collect();
        let of: Vec<&Operation> = operations.iter().collect();
        let encoded: Vec<(Vec<f64>, f64)> = sizes.iter().map(|x| (vec![*x], *x)).collect();
        let (constant, slope) = line(&of, &encoded);
        assert!((constant - 0.5).abs() < 1e-9 && (slope - 3.0).abs() < 1e-9);
        // One size alone determines no constant.
        assert_eq!(line(&of[..1], &encoded[..1]).0, 0.0);
    }

    #[test]
    fn cards_left_out_show_how_cards_differ() {
        let mut operations = Vec::new();
        for (device, factor) in [("a", 1.0), ("b", 1.0), ("c", 2.0)] {
            operations.extend((1..61).map(|k| operation(device, f64::from(k), factor * f64::from(k))));
        }
        let of: Vec<&Operation> = operations.iter().collect();
        let encoded: Vec<(Vec<f64>, f64)> = of.iter().map(|op| (vec![op.k], op.k)).collect();
        let mut order: Vec<usize> = (0..of.len()).collect();
        order.sort_by(|&a, &b| encoded[a].1.total_cmp(&encoded[b].1));
        let fit = |rows: &[usize]| {
            let columns = vec![rows.iter().map(|&row| encoded[row].0[0]).collect::<Vec<f64>>()];
            let y: Vec<f64> = rows.iter().map(|&row| (of[row].latency_ms / encoded[row].1).ln()).collect();
            Trees::fit(&columns, &y, Growth { trees: 20, depth: 2, rate: 0.3 })
        };
        let width = conformal(without_card(&of, &order, fit, &encoded).unwrap());
        assert!((width - 2f64.ln()).abs() < 0.1, "{width}");
        let (one, few): (Vec<&Operation>, Vec<usize>) = (of[..60].to_vec(), (0..60).collect());
        assert!(without_card(&one, &few, fit, &encoded).is_none());
    }
}
