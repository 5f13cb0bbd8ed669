use serde_json::{Value, json};
use tnas_clips::ClipSet;
use tnas_graph::Graph;
use tnas_network::{Parameters, stream};
use tnas_training::{Judge, Loading, TrainSet, train_judge};

use super::{loop_settings, staged};
use crate::{
    model_folder::{read_parameters, save_parameters},
    progress::Watch,
    workbench::Workbench,
};
use tnas_study::hash_path;

/// Trains the classifier that judges clips, and shows that it tells real clips from spoilt ones.
pub fn judge(bench: &Workbench) -> anyhow::Result<Value> {
    let settings = &bench.study.judge;
    let inputs = json!([settings, bench.data_key, bench.study.seed]);
    let path = bench.run.path("judge/judge.safetensors");
    staged(&bench.run, "judge", &inputs, std::slice::from_ref(&path), &["judge"], || {
        let (network, labels) = Judge::network(&bench.train, settings)?;
        let graph = network.graph(1)?;
        let mut parameters = Parameters::new(&bench.device);
        parameters.init(graph.weights(), bench.study.seed);
        let mut set = TrainSet::new(parameters, |_| true, &settings.optimizer, 0.98);
        let run = loop_settings(&bench.run, "judge", settings.steps);
        let mut watch = Watch::open(&bench.run, "loss")?;
        let latents = bench.latents()?;
        let seen = match bench.codec {
            None => bench.train.clone(),
            Some(_) => {
                let count = settings.decoded_clips.min(bench.train.len());
                ClipSet::of(bench.seen_by_judge(&latents.train, &latents.statistics, &bench.train, count)?)?
            }
        };
        let (seed, loading) = (bench.study.seed, Loading::from(&bench.study.loading));
        train_judge(&mut set, &network, &labels, &seen, loading, settings, seed, &run, &mut watch)?;
        save_parameters(&path, &set.averaged())?;
        let count = bench.validation.len();
        let held_out = bench.seen_by_judge(&latents.validation, &latents.statistics, &bench.validation, count)?;
        let mut figures = controls(bench, &read_judge(bench)?, &held_out)?;
        figures["loading"] = watch.loading();
        Ok(figures)
    })
}

/// The trained judge.
pub fn read_judge(bench: &Workbench) -> anyhow::Result<Judge> {
    let (network, labels) = Judge::network(&bench.train, &bench.study.judge)?;
    let parameters = read_parameters(&bench.run.path("judge"), "judge", &bench.device)?;
    let graph: Graph = network.graph(1)?;
    parameters.extract(&graph)?;
    Ok(Judge::new(network, labels, parameters))
}

/// Distances of spoilt real clips from real ones: each must be worse than real against real.
fn controls(bench: &Workbench, judge: &Judge, clips: &[tnas_clips::Clip]) -> anyhow::Result<Value> {
    let (a, b) = clips.split_at(clips.len() / 2);
    let real = judge.judge(a)?;
    let mut rng = stream(bench.study.seed, "controls", 0);
    let mut arms = Vec::new();
    let mut add = |name: &str, clips: &[tnas_clips::Clip]| -> anyhow::Result<f64> {
        let judged = judge.judge(clips)?;
        let distance = tnas_clips::frechet_distance(&judged.features, &real.features)?;
        arms.push(json!({"clips": name, "frechet": distance, "accuracy": judged.accuracy}));
        Ok(distance)
    };
    let floor = add("real", b)?;
    let shuffled: Vec<_> = b.iter().map(|clip| tnas_clips::shuffled_frames(clip, &mut rng)).collect();
    let frozen: Vec<_> = b.iter().map(tnas_clips::frozen).collect();
    let noisy: Vec<_> = b.iter().map(|clip| tnas_clips::noisy(clip, &mut rng, 0.3)).collect();
    let worst = [add("shuffled", &shuffled)?, add("frozen", &frozen)?, add("noisy", &noisy)?];
    let valid = worst.iter().all(|&distance| distance > floor);
    Ok(json!({
        "judge_hash": hash_path(bench.run.path("judge"))?,
        "floor": floor,
        "controls": arms,
        "controls_worse_than_floor": valid,
    }))
}
