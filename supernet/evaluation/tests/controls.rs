//! The kernel distance on an evaluator's whitened features sees every way in which real clips are corrupted here.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tnas_clips::{Clip, ClipSet, ShapeClips, ShapeSettings, Split};
use tnas_evaluation::{Evaluator, EvaluatorContext, EvaluatorSettings, train_evaluator};
use tnas_evaluation::{
    Measures, Metric, ReferenceClips, ScoredClips, Whitening, fitness, frozen, noisy, shuffled_frames,
};
use tnas_network::{Parameters, open_device, stream};
use tnas_training::{Loading, LoopSettings, Silent, TrainSet};

fn clips(split: Split, count: usize) -> Vec<Clip> {
    let shapes = ShapeClips::new(ShapeSettings { frames: 8, size: 16, split, ..Default::default() }).unwrap();
    (0..count).map(|index| shapes.clip(index)).collect()
}

#[test]
fn shuffled_frozen_and_noisy_clips_are_further_than_real_ones() {
    let labels = ["motion", "direction", "colour"].map(str::to_owned).to_vec();
    let settings = EvaluatorSettings { labels, batch: 8, width: 8, steps: 250, ..EvaluatorSettings::default() };
    let train = ClipSet::of(clips(Split::Train, 400)).unwrap();
    let (network, labels) = Evaluator::network(&train, &settings).unwrap();
    let mut parameters = Parameters::new(&open_device("cpu").unwrap());
    parameters.init(network.graph(1).unwrap().weights(), 1);
    let mut set = TrainSet::new(parameters, |_| true, &settings.optimizer, 0.98);
    let run = LoopSettings { stage: "evaluator".into(), steps: 250, checkpoint: None, checkpoint_every: 250 };
    let loading = Loading::default();
    let (network, labels) = (&network, &labels[..]);
    let observer = &mut Silent;
    let context = EvaluatorContext { network, labels, clips: &train, loading, seed: 1, run: &run, observer };
    train_evaluator(context, &mut set, &settings).unwrap();
    let evaluator = Evaluator::new(network.clone(), labels.to_vec(), set.averaged());
    let features = |clips: &[Clip]| evaluator.evaluate(clips).unwrap().features;
    let whitening = Whitening::new(&features(&train.clips(0..400).unwrap())).unwrap();
    let scored = |clips: &[Clip]| {
        let nothing = vec![0.0; clips.len()];
        ScoredClips {
            features: whitening.apply(&features(clips)).unwrap(),
            frame_difference: nothing.clone(),
            warp_error: nothing.clone(),
            nearest: nothing,
            captions: clips.iter().map(|clip| clip.caption.clone()).collect(),
            ..ScoredClips::default()
        }
    };
    let test = clips(Split::Test, 512);
    let (real, reference) = test.split_at(256);
    let reference = scored(reference);
    let reference = ReferenceClips::new(&reference, 100, 1).unwrap();
    let measured = |clips: &[Clip]| reference.measure(&[scored(clips)]).unwrap();
    let mut rng = stream(1, "test", 0);
    let controls: Vec<(String, Measures)> = vec![
        ("shuffled".into(), measured(&real.iter().map(|c| shuffled_frames(c, &mut rng)).collect::<Vec<_>>())),
        ("frozen".into(), measured(&real.iter().map(frozen).collect::<Vec<_>>())),
        ("noisy".into(), measured(&real.iter().map(|c| noisy(c, &mut rng, 0.3)).collect::<Vec<_>>())),
    ];
    let floor = measured(real);
    // The one that decides. With so few clips of so young an evaluator the Fréchet distance's bias hides the noise.
    for found in fitness(&floor, &controls).iter().filter(|found| found.metric == Metric::KernelMmd) {
        let figures = controls.iter().map(|(name, of)| (name, of[&found.metric].spread()));
        println!("{}: {:?} {:?}", found.metric, floor[&found.metric].spread(), figures.collect::<Vec<_>>());
        assert!(found.is_fit(), "{} does not see {:?}", found.metric, found.blind_to);
    }
}
