//! How well latencies are predicted.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use rand::seq::SliceRandom;
use tnas_latency::{Accuracy, CandidatePredictor, Profile, Spread};
use tnas_network::stream;
use tnas_record::{LatencyEvaluation, LearningPoint, PredictorSpeed, SplitMeans, TimedLatencyEvaluation};

use super::{
    Inputs, Stage,
    latency::{Data, Sources, Tried},
    profile::{target_path, target_profile},
    up_to_date,
};
use crate::{options::LatencyEvalOptions, recorded, workbench::Workbench};

/// How well the target device's latency is predicted: the table that the benchmarks print, for one's own profile, with a
/// learning curve. The report draws it.
pub fn evaluate(bench: &Workbench, args: &LatencyEvalOptions) -> anyhow::Result<TimedLatencyEvaluation> {
    let (path, profile) = match &args.profile {
        Some(path) => (path.clone(), Profile::read(path)?),
        None => (target_path(bench)?, target_profile(bench)?),
    };
    let stage = LatencyEval { options: args, path: &path, profile: &profile };
    let evaluation = up_to_date(bench, &stage)?;
    let speed = time_fit(bench, &profile, stage.measurements(bench))?;
    Ok(TimedLatencyEvaluation { evaluation, speed })
}

/// Accuracy on held-out measurements of one profile.
struct LatencyEval<'a> {
    options: &'a LatencyEvalOptions,
    path: &'a Path,
    profile: &'a Profile,
}

impl LatencyEval<'_> {
    fn measurements(&self, bench: &Workbench) -> Option<usize> {
        self.options.measurements.or(bench.study.latency.measurements)
    }

    fn sources(&self, bench: &Workbench) -> Vec<PathBuf> {
        bench.study.latency.sources.iter().chain(&self.options.sources).cloned().collect()
    }
}

impl Stage for LatencyEval<'_> {
    type Output = LatencyEvaluation;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let inputs = self.sources(bench).into_iter().fold(Inputs::new().file(self.path), Inputs::file);
        inputs
            .setting("latency.measurements", &self.measurements(bench))?
            .setting("profile.held_out", &bench.study.profile.held_out)?
            .setting("seed", &bench.study.seed)?
            .setting("splits", &self.options.splits)
    }

    fn outputs(&self, _bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<LatencyEvaluation> {
        let (profile, splits_wanted) = (self.profile, self.options.splits);
        let data = Data::read(bench, profile)?;
        let sources = data.sources(&self.sources(bench))?;
        let (train, test) = data.split(bench, self.measurements(bench));
        anyhow::ensure!(
            !test.is_empty(),
            "failed to evaluate: none of {} architectures is held out; set profile.held_out",
            data.samples()
        );
        let tried = Tried::new(&data, &sources, &train, &test)?;
        let fitted = data.fit(&sources, &train)?;
        Ok(LatencyEvaluation {
            device: profile.fingerprint.describe(),
            clock: recorded::clock(profile.quantity),
            measurements: train.len(),
            tested_on: test.len(),
            noise_floor: profile.noise_floor(),
            repeats: repeats(profile).as_ref().map(recorded::accuracy),
            predictor: tried.accuracy.as_ref().map(recorded::accuracy),
            macs_fit: tried.macs_fit.as_ref().map(recorded::accuracy),
            one_hot_fit: tried.one_hot_fit.as_ref().map(recorded::accuracy),
            sources_offered: sources.len(),
            sources: fitted.sources.iter().map(recorded::similar_device).collect(),
            learning_curve: curve(&data, &sources, &train, &test)?,
            splits: splits(bench, &data, &sources, (train.len(), test.len()), splits_wanted)?,
            points: tried.points,
        })
    }
}
/// Second measurements predicted by the first: what a perfect predictor would get.
fn repeats(profile: &Profile) -> Option<Accuracy> {
    let (first, second): (Vec<f64>, Vec<f64>) = profile.repeats().into_iter().unzip();
    (!first.is_empty()).then(|| Accuracy::new(&second, &first))
}

/// Accuracy by the number of measurements, always the most telling ones.
fn curve(data: &Data, sources: &Sources, train: &[usize], test: &[usize]) -> anyhow::Result<Vec<LearningPoint>> {
    const COUNTS: [usize; 8] = [10, 20, 30, 50, 100, 200, 500, 1000];
    let counts = COUNTS.into_iter().filter(|&count| count < train.len()).chain([train.len()]);
    counts
        .map(|count| {
            let tried = Tried::new(data, sources, &train[..count], test)?;
            Ok(LearningPoint {
                measurements: count,
                predictor: tried.accuracy.as_ref().map(recorded::accuracy),
                macs_fit: tried.macs_fit.as_ref().map(recorded::accuracy),
                one_hot_fit: tried.one_hot_fit.as_ref().map(recorded::accuracy),
            })
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
) -> anyhow::Result<SplitMeans> {
    let tried = (0..splits).map(|split| {
        let mut rows: Vec<usize> = (0..data.samples()).collect();
        rows.shuffle(&mut stream(bench.study.seed, "latency/eval/split", split));
        let others = rows.split_off(test);
        Tried::new(data, sources, &data.telling(&others, train), &rows)
    });
    let tried = tried.collect::<anyhow::Result<Vec<_>>>()?;
    let mean = |of: fn(&Tried) -> Option<Accuracy>| {
        Accuracy::mean(&tried.iter().filter_map(of).collect::<Vec<_>>()).as_ref().map(recorded::accuracy)
    };
    let (predictor, macs_fit, one_hot_fit) = (mean(|t| t.accuracy), mean(|t| t.macs_fit), mean(|t| t.one_hot_fit));
    Ok(SplitMeans { count: splits, predictor, macs_fit, one_hot_fit })
}

/// Seconds of a fit, and candidates a second on one core.
fn time_fit(bench: &Workbench, profile: &Profile, measurements: Option<usize>) -> anyhow::Result<PredictorSpeed> {
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
    Ok(PredictorSpeed {
        rows: rows.len(),
        fit_seconds,
        per_second: CANDIDATES as f64 / seconds.max(1e-9),
        per_second_of_wall_time: CANDIDATES as f64 / wall.max(1e-9),
        median_candidate_ms: median_ms,
    })
}
