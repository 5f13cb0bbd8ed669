//! Noise that the frames of a clip have in common.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use tnas_schedulers::{Parameterisation, Sampler, SchedulerConfig};
use tnas_training::{FlowSettings, GenerateSettings, HeldOut, HeldOutSettings, VideoModel, generate};
use world::World;

/// Temporal layers do nothing before they are trained, so frames differ by their noise alone.
#[test]
fn frames_from_one_noise_are_one_frame() {
    let world = World::new();
    let shape @ [_, frames, height, width] = world.data.shape;
    let area = height * width;
    let sample = |fraction: f64, sampler, scheduler: Option<&str>| {
        let process = Parameterisation::default().sharing_noise(fraction);
        let backbone = world.backbone.clone().parameterised(process);
        let scheduler = scheduler.map(|json| SchedulerConfig::from_json(json).unwrap());
        let how = GenerateSettings { steps: 3, seed: 3, batch: 2, sampler, scheduler, ..Default::default() };
        let genotype = world.genotype();
        let model = VideoModel { backbone: &backbone, ..world.model(&genotype) };
        generate(&model, &[0, 1, 1], shape, &how, |_| {}).unwrap()
    };
    let frozen = |clip: &[f32]| {
        clip.chunks(frames * area).all(|channel| channel.chunks(area).all(|frame| frame == &channel[..area]))
    };
    let lcm = r#"{"_class_name": "LCMScheduler"}"#;
    for (sampler, scheduler) in [(Sampler::Euler, None), (Sampler::Renoise, None), (Sampler::Euler, Some(lcm))] {
        let [none, half, all] = [0.0, 0.5, 1.0].map(|fraction| sample(fraction, sampler, scheduler));
        assert!(all.iter().all(|clip| frozen(clip)), "{sampler:?} {scheduler:?}");
        assert!(all[1] != all[2], "one caption, two clips");
        let moving = none.iter().chain(&half);
        assert!(moving.into_iter().all(|clip| !frozen(clip)), "{sampler:?} {scheduler:?}");
    }
}

#[test]
fn losses_are_taken_under_the_noise_of_the_process() {
    let world = World::new();
    let loss = |fraction: f64| {
        let process = std::sync::Arc::new(Parameterisation::default().sharing_noise(fraction));
        let settings = HeldOutSettings { clips: 6, batch: 3, flow: FlowSettings::default(), seed: 1 };
        let held_out = HeldOut::new(&world.data, &process, &world.text, &settings).unwrap();
        let graph = |shape| Ok(world.backbone.denoiser(&world.genotype(), shape)?);
        held_out.loss(&world.parameters, graph).unwrap()
    };
    let (plain, again, shared) = (loss(0.0), loss(0.0), loss(0.8));
    assert_eq!(plain, again);
    assert!(plain.per_clip.iter().zip(&shared.per_clip).all(|(a, b)| a != b && b.is_finite()));
}
