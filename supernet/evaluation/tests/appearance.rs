//! An evaluator whose labels leave appearance open sees it where it is asked to, and is what it was where it is not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tnas_clips::{Clip, ClipSet, ShapeClips, ShapeSettings, Split};
use tnas_evaluation::nearest_neighbours;
use tnas_evaluation::{AppearanceSettings, Evaluator, EvaluatorContext, EvaluatorSettings, train_evaluator};
use tnas_network::{Parameters, open_device};
use tnas_training::{Loading, LoopSettings, Silent, TrainSet};

fn clips(split: Split, count: usize) -> Vec<Clip> {
    let settings = ShapeSettings { frames: 4, size: 16, split, ..Default::default() };
    let shapes = ShapeClips::new(settings).unwrap();
    (0..count).map(|index| shapes.clip(index)).collect()
}

fn trained(train: &[Clip], appearance: Option<AppearanceSettings>, steps: u64) -> Evaluator {
    let labels = vec!["motion".to_owned()];
    let settings = EvaluatorSettings { labels, batch: 8, width: 8, appearance, ..EvaluatorSettings::default() };
    settings.check().unwrap();
    let train = ClipSet::of(train.to_vec()).unwrap();
    let (network, labels) = Evaluator::network(&train, &settings).unwrap();
    let mut parameters = Parameters::new(&open_device("cpu").unwrap());
    parameters.init(network.graph(1).unwrap().weights(), 1);
    let mut set = TrainSet::new(parameters, |_| true, &settings.optimizer, 0.98);
    let run = LoopSettings { stage: "evaluator".into(), steps, checkpoint: None, checkpoint_every: 50 };
    let (clips, loading, observer) = (&train, Loading::default(), &mut Silent);
    let context =
        EvaluatorContext { network: &network, labels: &labels, clips, loading, seed: 1, run: &run, observer };
    train_evaluator(context, &mut set, &settings).unwrap();
    Evaluator::new(network, labels[..1].to_vec(), set.averaged())
}

/// Fraction of clips whose nearest other clip by the evaluator's features shows the same colour.
fn colour_found(evaluator: &Evaluator, clips: &[Clip]) -> f64 {
    let features = evaluator.evaluate(clips).unwrap().features;
    let same = |i: usize| {
        let others: Vec<usize> = (0..clips.len()).filter(|&j| j != i).collect();
        let references: Vec<Vec<f64>> = others.iter().map(|&j| features[j].clone()).collect();
        let nearest = nearest_neighbours(&features[i..=i], &references).unwrap()[0].index;
        clips[others[nearest]].labels["colour"] == clips[i].labels["colour"]
    };
    (0..clips.len()).filter(|&i| same(i)).count() as f64 / clips.len() as f64
}

#[test]
fn features_see_what_they_are_asked_to_and_tell_the_labels_alone() {
    let (train, held_out) = (clips(Split::Train, 400), clips(Split::Validation, 200));
    let plain = trained(&train, None, 250);
    let colours = trained(&train, Some(AppearanceSettings::default()), 250);
    let labels =
        AppearanceSettings { labels: vec!["colour".into()], colours: 0.0, ..AppearanceSettings::default() };
    let labels = trained(&train, Some(labels), 250);
    let found = [&plain, &colours, &labels].map(|evaluator| colour_found(evaluator, &held_out));
    println!(
        "colour of the nearest clip is right: plain {:.2}, colours {:.2}, labels {:.2}",
        found[0], found[1], found[2]
    );
    assert!(found[1] > found[0] + 0.1 && found[2] > found[0] + 0.1, "{found:?}");
    for evaluator in [&colours, &labels] {
        let reported: Vec<String> = evaluator.evaluate(&held_out).unwrap().accuracy.into_keys().collect();
        assert_eq!(reported, ["motion"]);
    }
}

#[test]
fn without_appearance_no_weight_is_added() {
    let train = clips(Split::Train, 40);
    let names = |evaluator: &Evaluator| evaluator.parameters().names().map(String::from).collect::<Vec<_>>();
    let (plain, colours) = (trained(&train, None, 1), trained(&train, Some(AppearanceSettings::default()), 1));
    let added: Vec<String> = names(&colours).into_iter().filter(|name| !names(&plain).contains(name)).collect();
    assert_eq!(added, ["colours.bias", "colours.weight"]);
}
