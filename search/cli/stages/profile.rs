use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;
use rand::{RngExt, seq::SliceRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tnas_graph::{HostData, HostTensor, Runtime, WeightMap};
use tnas_latency::{
    Fingerprint, MeasurePolicy, Measurement, MeasurementKind, Outcome, Profile, Quantity, measure,
    peak_memory_bytes,
};
use tnas_network::{BurnRuntime, open_device, stream};
use tnas_space::{DenoiserShape, Genome, Genotype, SearchSpace};

use super::staged;
use crate::{
    model_folder::read_configs,
    progress::{Bar, interrupted},
    workbench::Workbench,
};

/// Measures architectures of the space, each in a process of its own, by every runtime that the study names.
pub fn profile(bench: &Workbench) -> anyhow::Result<Value> {
    let settings = &bench.study.profile;
    let model = crate::model_folder::Pipeline::read(&bench.run.backbone())?;
    let space = bench.space(&model.backbone)?;
    let mut summaries = serde_json::Map::new();
    for runtime in &settings.runtimes {
        let Some(version) = runtime_version(runtime)? else {
            anyhow::ensure!(
                *runtime != settings.target,
                "failed to measure by {runtime}: its library was not found; install it with `pip install onnxruntime`"
            );
            eprintln!(
                "{:>16} {runtime} is left out: its library was not found (pip install onnxruntime)",
                "profile"
            );
            continue;
        };
        let fingerprint = Fingerprint::here(runtime, &version, settings.threads);
        let inputs = json!([
            settings,
            bench.study.seed,
            fingerprint,
            bench.study.data.frames,
            bench.clip_shape(),
            tnas_study::hash_path(&bench.study.space)?,
            model.backbone.config,
        ]);
        let path = bench.run.profile(&fingerprint.id());
        let stage = format!("profile-{runtime}");
        let summary = staged(&bench.run, &stage, &inputs, std::slice::from_ref(&path), &[], || {
            if let Some(from) = settings.from.as_ref().filter(|_| *runtime == settings.target) {
                return replay(bench, from, &path);
            }
            record(bench, &space, &model, runtime, &fingerprint, &path)
        })?;
        summaries.insert(runtime.clone(), summary);
    }
    Ok(Value::Object(summaries))
}

/// The profile that the search reads.
pub fn target_profile(bench: &Workbench) -> anyhow::Result<Profile> {
    let settings = &bench.study.profile;
    let version = runtime_version(&settings.target)?.unwrap_or_default();
    let fingerprint = Fingerprint::here(&settings.target, &version, settings.threads);
    Ok(Profile::read(&bench.run.profile(&fingerprint.id()))?)
}

/// A recorded profile is an input: taken over as it is, with the device that it was measured on.
fn replay(bench: &Workbench, from: &Path, to: &Path) -> anyhow::Result<Value> {
    let profile = Profile::read(from)?;
    let text = std::fs::read(from)?;
    let name = to.strip_prefix(bench.run.root()).unwrap_or(to).to_string_lossy().into_owned();
    bench.run.write(&name, &text)?;
    summary(&profile)
}

fn record(
    bench: &Workbench,
    space: &SearchSpace,
    model: &crate::model_folder::Pipeline,
    runtime: &str,
    fingerprint: &Fingerprint,
    path: &Path,
) -> anyhow::Result<Value> {
    let mut profile = Profile::open(path, fingerprint, Quantity::Cpu)?;
    let plan = plan(bench, space)?;
    let mut bar = Bar::new(&format!("profile {runtime}"), plan.len() as u64);
    for (index, run) in plan.iter().enumerate() {
        let genotype = space.genotype(&run.genome);
        let arch_id = genotype.arch_id().to_string();
        let known = profile.measurements.iter().any(|m| m.order == index as u32 && m.arch_id == arch_id);
        if !known {
            let outcome = measure_apart(bench, model, runtime, &genotype)?;
            profile.append(Measurement {
                arch_id,
                genotype: genotype.to_string(),
                kind: MeasurementKind::Whole,
                order: index as u32,
                anchor: run.anchor,
                repeat: run.repeat,
                outcome,
            })?;
        }
        let last = profile.measurements.last().and_then(Measurement::timing).map_or(0.0, |t| t.cpu.median_ms);
        bar.set(index as u64 + 1, format!("{last:.2} ms"));
        if interrupted() {
            anyhow::bail!(crate::Interrupted { stage: "profile".into() });
        }
    }
    summary(&profile)
}

fn summary(profile: &Profile) -> anyhow::Result<Value> {
    let ran = profile.measurements.iter().filter(|m| m.timing().is_some() && !m.repeat).count();
    Ok(json!({
        "device": profile.fingerprint.describe(),
        "architectures": ran,
        "failed": profile.measurements.iter().filter(|m| m.timing().is_none()).count(),
        "noise_floor": profile.noise_floor(),
        "drift_percent": profile.drift().drift_pct(),
    }))
}

/// One measurement to make.
struct PlannedRun {
    genome: Genome,
    /// The same architecture again and again, to see the machine's drift.
    anchor: bool,
    /// A second measurement, to see noise.
    repeat: bool,
}

/// Measurements between two of the anchor.
pub const ANCHOR_EVERY: usize = 8;

/// Which architectures are measured, in which order: every (slot, choice) occurs, the lightest and the heaviest are
/// there, the rest is drawn; a twentieth is measured again at the end, and one of them all the time between.
fn plan(bench: &Workbench, space: &SearchSpace) -> anyhow::Result<Vec<PlannedRun>> {
    let settings = &bench.study.profile;
    let total = settings.architectures + settings.held_out;
    let mut rng = stream(bench.study.seed, "profile/plan", 0);
    let mut genomes: Vec<Genome> = space.covering();
    const ATTEMPTS: usize = 100;
    let mut misses = 0;
    while genomes.len() < total && misses < ATTEMPTS {
        let mut genome = space.sample(&mut rng);
        // Half of them sparse: the front is made of light architectures.
        if genomes.len().is_multiple_of(2) {
            let keep = rng.random_range(0.1..0.9);
            genome.iter_mut().for_each(|choice| *choice = if rng.random_bool(keep) { *choice } else { 0 });
        }
        if genomes.contains(&genome) { misses += 1 } else { genomes.push(genome) }
    }
    genomes.truncate(total);
    genomes.shuffle(&mut rng);
    let again = (genomes.len() / 20).max(3).min(genomes.len());
    let Some(anchor) = genomes.first().cloned() else { return Ok(Vec::new()) };
    let repeats = genomes[..again].to_vec();
    let runs =
        genomes.into_iter().map(|genome| (genome, false)).chain(repeats.into_iter().map(|genome| (genome, true)));
    let mut plan = Vec::new();
    for (index, (genome, repeat)) in runs.enumerate() {
        if index.is_multiple_of(ANCHOR_EVERY) {
            plan.push(PlannedRun { genome: anchor.clone(), anchor: true, repeat: true });
        }
        plan.push(PlannedRun { genome, anchor: false, repeat });
    }
    plan.push(PlannedRun { genome: anchor, anchor: true, repeat: true });
    Ok(plan)
}

/// What a measuring process is asked.
#[derive(Serialize, Deserialize)]
struct Request {
    backbone: PathBuf,
    genotype: String,
    runtime: String,
    threads: usize,
    frames: usize,
    height: usize,
    width: usize,
    tokens: usize,
    policy: MeasurePolicy,
}

/// Measures one architecture in a process of its own; one that dies is a result.
pub fn measure_apart(
    bench: &Workbench,
    model: &crate::model_folder::Pipeline,
    runtime: &str,
    genotype: &Genotype,
) -> anyhow::Result<Outcome> {
    let settings = &bench.study.profile;
    let [_, frames, height, width] = bench.clip_shape();
    let request = Request {
        backbone: bench.run.backbone(),
        genotype: genotype.to_string(),
        runtime: runtime.into(),
        threads: settings.threads,
        frames,
        height,
        width,
        tokens: model.tokenizer.max_length().min(model.encoder.config.max_position_embeddings),
        policy: MeasurePolicy { max_seconds: settings.seconds_each, ..MeasurePolicy::default() },
    };
    let mut child = Command::new(std::env::current_exe()?)
        .arg("measure-one")
        .env("RAYON_NUM_THREADS", settings.threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start a measuring process")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(serde_json::to_string(&request)?.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(serde_json::from_str(text.trim()).unwrap_or_else(|_| {
        let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_string();
        Outcome::Crashed { reason: format!("{}: {last}", output.status) }
    }))
}

/// The measuring process: a request on stdin, an outcome on stdout.
pub fn measure_one() -> anyhow::Result<()> {
    let request: Request = serde_json::from_reader(std::io::stdin())?;
    let (backbone, _) = read_configs(&request.backbone)?;
    let genotype: Genotype = request.genotype.parse()?;
    let Request { frames, height, width, tokens, .. } = request;
    let graph = backbone.denoiser(&genotype, DenoiserShape { batch: 1, frames, height, width, tokens })?;
    // Latency does not depend on the weights' values: small constants will do.
    let weights =
        graph.weights().into_iter().map(|w| (w.name.clone(), (w.shape.clone(), vec![0.01; w.elements()])));
    let weights = WeightMap(weights.collect());
    let inputs: Vec<HostTensor> = graph
        .inputs
        .iter()
        .map(|input| {
            let shape = graph.shape(input.value).to_vec();
            let count = shape.iter().product();
            HostTensor { shape, data: HostData::F32(vec![0.5; count]) }
        })
        .collect();
    let mut session = runtime(&request.runtime, request.threads)?.load(&graph, &weights)?;
    let timing = measure(session.as_mut(), &inputs, &request.policy)?;
    println!("{}", serde_json::to_string(&Outcome::Ran { timing, peak_memory_bytes: peak_memory_bytes() })?);
    Ok(())
}

/// A runtime by name.
fn runtime(name: &str, threads: usize) -> anyhow::Result<Box<dyn Runtime>> {
    match name {
        "burn" => Ok(Box::new(BurnRuntime::new(&open_device("cpu")?))),
        "onnxruntime" => super::export::onnx_runtime(threads),
        _ => anyhow::bail!("failed to find runtime {name:?}: there are burn, onnxruntime"),
    }
}

/// A runtime's version, or `None` where its library is missing.
fn runtime_version(name: &str) -> anyhow::Result<Option<String>> {
    match name {
        "burn" => Ok(Some("0.22.1".into())),
        "onnxruntime" => Ok(super::export::onnx_runtime_version()),
        _ => anyhow::bail!("failed to find runtime {name:?}: there are burn, onnxruntime"),
    }
}
