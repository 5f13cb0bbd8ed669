//! How well latencies are predicted.

use std::{path::PathBuf, time::Instant};

use rand::seq::SliceRandom;
use serde_json::{Value, json};
use tnas_latency::{Accuracy, CandidatePredictor, Profile, Spread, TransferPredictor};
use tnas_network::stream;
use tnas_study::hash_path;

use super::{
    latency::{Data, Sources, Tried},
    profile::{target_path, target_profile},
    staged,
};
use crate::{options::LatencyEvalOptions, workbench::Workbench};

/// How well the target device's latency is predicted: the table that the benchmarks print, for one's own profile, with a
/// learning curve. The report draws it.
pub fn evaluate(bench: &Workbench, args: &LatencyEvalOptions) -> anyhow::Result<Value> {
    let (path, profile) = match &args.profile {
        Some(path) => (path.clone(), Profile::read(path)?),
        None => (target_path(bench)?, target_profile(bench)?),
    };
    let settings = &bench.study.latency;
    let paths: Vec<PathBuf> = settings.sources.iter().chain(&args.sources).cloned().collect();
    let hashes = paths.iter().map(hash_path).collect::<Result<Vec<_>, _>>()?;
    let measurements = args.measurements.or(settings.measurements);
    let (held_out, seed) = (bench.study.profile.held_out, bench.study.seed);
    let inputs = json!([hash_path(&path)?, hashes, measurements, held_out, seed, args.splits]);
    let figures = staged(&bench.run, "latency-eval", &inputs, &[], &[], || {
        let data = Data::read(bench, &profile)?;
        let sources = data.sources(&paths)?;
        let (train, test) = data.split(bench, measurements);
        anyhow::ensure!(
            !test.is_empty(),
            "failed to evaluate: none of {} architectures is held out; set profile.held_out",
            data.samples()
        );
        let tried = Tried::new(&data, &sources, &train, &test)?;
        let fitted = data.fit(&sources, &train)?;
        Ok(json!({
            "device": profile.fingerprint.describe(),
            "clock": profile.quantity,
            "measurements": train.len(),
            "tested_on": test.len(),
            "noise_floor": profile.noise_floor(),
            "repeats": repeats(&profile),
            "predictor": tried.accuracy,
            "macs_fit": tried.macs_fit,
            "one_hot_fit": tried.one_hot_fit,
            "sources": similar(&sources, &fitted),
            "learning_curve": curve(&data, &sources, &train, &test)?,
            "splits": splits(bench, &data, &sources, (train.len(), test.len()), args.splits)?,
            "points": tried.points,
        }))
    })?;
    let fitting = time_fit(bench, &profile, measurements)?;
    let mut figures = figures;
    figures["speed"] = fitting;
    Ok(figures)
}

/// Second measurements told by the first: what a perfect predictor would get.
fn repeats(profile: &Profile) -> Option<Accuracy> {
    let (first, second): (Vec<f64>, Vec<f64>) = profile.repeats().into_iter().unzip();
    (!first.is_empty()).then(|| Accuracy::new(&second, &first))
}

fn similar(sources: &Sources, fitted: &TransferPredictor) -> Value {
    if !sources.is_empty() && fitted.sources.is_empty() {
        return json!("no similar source");
    }
    let kept = fitted.sources.iter();
    json!(kept.map(|source| json!({"device": source.device, "agreement": source.agreement})).collect::<Vec<_>>())
}

/// Accuracy by the number of measurements, always the most telling ones.
fn curve(data: &Data, sources: &Sources, train: &[usize], test: &[usize]) -> anyhow::Result<Vec<Value>> {
    const COUNTS: [usize; 8] = [10, 20, 30, 50, 100, 200, 500, 1000];
    let counts = COUNTS.into_iter().filter(|&count| count < train.len()).chain([train.len()]);
    counts
        .map(|count| {
            let tried = Tried::new(data, sources, &train[..count], test)?;
            Ok(json!({"measurements": count, "predictor": tried.accuracy, "macs_fit": tried.macs_fit,
                "one_hot_fit": tried.one_hot_fit}))
        })
        .collect()
}

/// The average over other ways to part the architectures into so many to learn from and so many to test on: one test set leaves
/// much to luck, the coverage of intervals above all.
fn splits(
    bench: &Workbench,
    data: &Data,
    sources: &Sources,
    (train, test): (usize, usize),
    splits: u64,
) -> anyhow::Result<Value> {
    let tried = (0..splits).map(|split| {
        let mut rows: Vec<usize> = (0..data.samples()).collect();
        rows.shuffle(&mut stream(bench.study.seed, "latency/eval/split", split));
        let others = rows.split_off(test);
        Tried::new(data, sources, &data.telling(&others, train), &rows)
    });
    let tried = tried.collect::<anyhow::Result<Vec<_>>>()?;
    let mean =
        |of: fn(&Tried) -> Option<Accuracy>| Accuracy::mean(&tried.iter().filter_map(of).collect::<Vec<_>>());
    Ok(json!({"count": splits, "predictor": mean(|t| t.accuracy), "macs_fit": mean(|t| t.macs_fit),
        "one_hot_fit": mean(|t| t.one_hot_fit)}))
}

/// Seconds of a fit, and candidates a second on one core.
fn time_fit(bench: &Workbench, profile: &Profile, measurements: Option<usize>) -> anyhow::Result<Value> {
    const CANDIDATES: usize = 100_000;
    let data = Data::read(bench, profile)?;
    let rows: Vec<usize> = (0..measurements.unwrap_or(data.samples()).min(data.samples())).collect();
    let start = Instant::now();
    let fitted = data.fit(&Sources::new(), &rows)?;
    let fit_seconds = start.elapsed().as_secs_f64();
    let mut rng = stream(bench.study.seed, "latency/speed", 0);
    let genomes: Vec<_> = (0..CANDIDATES).map(|_| data.space().sample(&mut rng)).collect();
    let predictor = CandidatePredictor::new(&fitted, data.blocks());
    let (start, cpu) = (Instant::now(), cpu_time::ProcessTime::now());
    let mut times: Vec<f64> = genomes.iter().map(|genome| predictor.mean_ms(genome)).collect();
    let (wall, seconds) = (start.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
    let Spread { median_ms, .. } = Spread::of(&mut times);
    Ok(json!({"rows": rows.len(), "fit_seconds": fit_seconds, "per_second": CANDIDATES as f64 / seconds.max(1e-9),
        "per_second_of_wall_time": CANDIDATES as f64 / wall.max(1e-9), "median_candidate_ms": median_ms}))
}
