//! The evaluator: trained, read, tried on corrupted clips.

use std::path::PathBuf;

use anyhow::Context;
use tnas_clips::{Clip, ClipSet};
use tnas_evaluation::Whitening;
use tnas_evaluation::{Evaluator, EvaluatorContext, EvaluatorSettings, train_evaluator};
use tnas_graph::Graph;
use tnas_network::{Parameters, stream};
use tnas_record::{ControlRow, EvaluatorSummary, FormatVersion, LoadingTimes, PublishedEvaluator};
use tnas_training::{Loading, TrainSet};

use super::{Inputs, Stage, loop_settings, up_to_date};
use crate::{recorded, watch::Watch, workbench::Workbench};
use tnas_pipeline::model_folder::{read_parameters, save_parameters};
use tnas_study::hash_path;

/// Which evaluator lies in a run, and what it was trained on.
pub const FILE: &str = "evaluator/evaluator.json";

/// How its features are whitened before distances are taken.
const WHITENING: &str = "evaluator/whitening.json";

/// Training clips, as the evaluator saw them, that features are whitened by.
const WHITENING_CLIPS: usize = 1000;

/// Its weights.
const WEIGHTS: &str = "evaluator/evaluator.safetensors";

/// Trains the classifier that evaluates clips, and shows that it distinguishes real clips from corrupted ones.
pub struct TrainEvaluator;

impl Stage for TrainEvaluator {
    type Output = EvaluatorSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let inputs = Inputs::new().contents("clips", &bench.clips()?.key).setting("seed", &bench.study.seed)?;
        inputs.setting("evaluator", &bench.study.evaluator)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok([WEIGHTS, FILE, WHITENING].map(|name| bench.run.path(name)).into())
    }

    fn checkpoints(&self) -> Vec<String> {
        vec![Self::NAME.into()]
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<EvaluatorSummary> {
        let (settings, path) = (&bench.study.evaluator, bench.run.path(WEIGHTS));
        let (network, labels) = Evaluator::network(&bench.clips()?.train, settings)?;
        let graph = network.graph(1)?;
        let mut parameters = Parameters::new(&bench.device);
        parameters.init(graph.weights(), bench.study.seed);
        let mut set = TrainSet::new(parameters, |_| true, &settings.optimizer, 0.98);
        let run = loop_settings(&bench.run, "evaluator", settings.steps)?;
        let mut watch = Watch::open(&bench.run, "loss", settings.batch)?;
        let latents = bench.latents()?;
        let seen = match bench.codec {
            None => bench.clips()?.train.clone(),
            Some(_) => {
                let count = settings.decoded_clips.min(bench.clips()?.train.len());
                ClipSet::of(bench.seen_by_evaluator(
                    &latents.train,
                    &latents.statistics,
                    &bench.clips()?.train,
                    0..count,
                )?)?
            }
        };
        let context = EvaluatorContext {
            network: &network,
            labels: &labels,
            clips: &seen,
            loading: Loading::from(&bench.study.loading),
            seed: bench.study.seed,
            run: &run,
            observer: &mut watch,
        };
        train_evaluator(context, &mut set, settings)?;
        save_parameters(&path, &set.averaged())?;
        let published = Published {
            format_version: FormatVersion,
            evaluator_sha256: hash_path(&path)?,
            training_split_sha256: bench.clips()?.train.content_hash()?,
            training_clips: bench.clips()?.train.len(),
            labels: settings.reported(&labels).to_vec(),
            network: recorded::network(&network),
            settings: settings.clone(),
        };
        bench.run.write_record(&published)?;
        let evaluator = Evaluator::new(network, published.labels, set.averaged());
        bench.run.write_json(WHITENING, &whitening(&evaluator, &seen)?)?;
        let count = bench.clips()?.validation.len();
        let held_out = bench.seen_by_evaluator(
            &latents.validation,
            &latents.statistics,
            &bench.clips()?.validation,
            0..count,
        )?;
        controls(bench, &read_evaluator(bench)?, &held_out, watch.loading())
    }
}

/// Trains the evaluator, where that is not done.
pub fn evaluator(bench: &Workbench) -> anyhow::Result<EvaluatorSummary> {
    up_to_date(bench, &TrainEvaluator)
}

type Published = PublishedEvaluator<EvaluatorSettings>;

/// What makes distances those in deviations of real clips.
fn whitening(evaluator: &Evaluator, seen: &ClipSet) -> anyhow::Result<Whitening> {
    let mut features = Vec::new();
    let indices: Vec<usize> = (0..seen.len().min(WHITENING_CLIPS)).collect();
    for some in indices.chunks(64) {
        features.extend(evaluator.evaluate(&seen.clips(some.iter().copied())?)?.features);
    }
    Ok(Whitening::new(&features)?)
}

/// How the features of the run's evaluator are whitened.
pub fn read_whitening(bench: &Workbench) -> anyhow::Result<Whitening> {
    let file = bench.run.path(WHITENING);
    let again =
        || format!("failed to read {}; train the evaluator anew with `tnas evaluator train`", file.display());
    serde_json::from_slice(&std::fs::read(&file).with_context(again)?).with_context(again)
}

/// The trained evaluator; an error where there is none, or it is one of other clips.
pub fn read_evaluator(bench: &Workbench) -> anyhow::Result<Evaluator> {
    let (weights, file) = (bench.run.path(WEIGHTS), bench.run.path(FILE));
    let again = "train it anew with `tnas evaluator train`";
    for path in [&weights, &file] {
        anyhow::ensure!(
            path.is_file(),
            "failed to evaluate: the run has no evaluator, {} is missing; train it first with `tnas evaluator train`",
            path.display()
        );
    }
    let published: Option<Published> =
        bench.run.read().with_context(|| format!("failed to read {}; {again}", file.display()))?;
    let published = published.with_context(|| format!("failed to read {}; {again}", file.display()))?;
    let found = hash_path(&weights)?;
    anyhow::ensure!(
        published.evaluator_sha256 == found,
        "failed to use {}: its hash is {found}, and {} names another evaluator's, {}; {again}",
        weights.display(),
        file.display(),
        published.evaluator_sha256
    );
    let (network, labels) = Evaluator::network(&bench.clips()?.train, &bench.study.evaluator)?;
    let mine = &bench.study.evaluator;
    anyhow::ensure!(
        published.network == recorded::network(&network) && published.labels == mine.reported(&labels),
        "failed to use the evaluator {}: it is of {} frames of {}×{}, width {}, and labels {}; the study asks for {} frames of \
         {}×{}, width {}, and labels {}; {again}",
        weights.display(),
        published.network.frames,
        published.network.size,
        published.network.size,
        published.network.width,
        in_words(&published.labels),
        network.frames,
        network.size,
        network.size,
        network.width,
        in_words(mine.reported(&labels))
    );
    let split = bench.clips()?.train.content_hash()?;
    anyhow::ensure!(
        published.training_split_sha256 == split,
        "failed to use the evaluator {}: it was trained on other clips (split {}, the study's is {split}); {again}",
        weights.display(),
        published.training_split_sha256
    );
    let parameters = read_parameters(&bench.run.path("evaluator"), "evaluator", &bench.device)?;
    let graph: Graph = network.graph(1)?;
    parameters.extract(&graph)?;
    Ok(Evaluator::new(network, published.labels, parameters))
}

fn in_words(labels: &[(String, Vec<String>)]) -> String {
    let one = |(label, values): &(String, Vec<String>)| format!("{label} ({} values)", values.len());
    if labels.is_empty() { "none".into() } else { labels.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// Distances of corrupted real clips from real ones: each must be worse than real against real.
fn controls(
    bench: &Workbench,
    evaluator: &Evaluator,
    clips: &[Clip],
    loading: LoadingTimes,
) -> anyhow::Result<EvaluatorSummary> {
    let (a, b) = clips.split_at(clips.len() / 2);
    let real = evaluator.evaluate(a)?;
    let mut rng = stream(bench.study.seed, "controls", 0);
    let mut arms = Vec::new();
    let mut add = |name: &str, clips: &[Clip]| -> anyhow::Result<f64> {
        let evaluated = evaluator.evaluate(clips)?;
        let distance = tnas_evaluation::frechet_distance(&evaluated.features, &real.features)?;
        arms.push(ControlRow { clips: name.into(), frechet: distance, accuracy: evaluated.accuracy });
        Ok(distance)
    };
    let floor = add("real", b)?;
    let shuffled: Vec<_> = b.iter().map(|clip| tnas_evaluation::shuffled_frames(clip, &mut rng)).collect();
    let frozen: Vec<_> = b.iter().map(tnas_evaluation::frozen).collect();
    let noisy: Vec<_> = b.iter().map(|clip| tnas_evaluation::noisy(clip, &mut rng, 0.3)).collect();
    let worst = [add("shuffled", &shuffled)?, add("frozen", &frozen)?, add("noisy", &noisy)?];
    let valid = worst.iter().all(|&distance| distance > floor);
    Ok(EvaluatorSummary {
        evaluator_hash: hash_path(bench.run.files().evaluator())?,
        floor,
        controls: arms,
        controls_worse_than_floor: valid,
        loading,
    })
}
