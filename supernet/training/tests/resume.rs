//! A training loop that is stopped after any step and started again ends in the same bits as one that never stopped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::{
    error::Error,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use tnas_network::Parameters;
use tnas_schedulers::Sampler;
use tnas_space::Genotype;
use tnas_training::{
    Checkpointing, GenerateSettings, LatentSet, LatentSource, LoopSettings, Observer, Silent, TEMPORAL_PREFIX,
    TrainError, TrainSet, finetune, generate,
};
use world::{
    World, adversarial_settings, backbone_recipe, bits, finetune_settings, score_settings, supernet_settings, with,
};

const STEPS: u64 = 50;

/// Keeps a copy of the checkpoint of every step.
struct Copies<'a> {
    checkpoint: &'a Path,
    folder: &'a Path,
}

impl Observer for Copies<'_> {
    fn step(&mut self, _: &str, step: u64, _: u64, _: &[(&'static str, f64)]) {
        if step > 1 {
            std::fs::copy(self.checkpoint, self.folder.join(format!("{}", step - 1))).unwrap();
        }
    }
}

/// Stops after each step, as Ctrl-C would.
struct Impatient;

impl Observer for Impatient {
    fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}

    fn interrupted(&self) -> bool {
        true
    }
}

fn settings(path: &Path, steps: u64, checkpoint_every: u64) -> LoopSettings {
    LoopSettings { stage: "test".into(), steps, checkpoint: Some(path.into()), checkpoint_every }
}

/// A run that goes on from the checkpoint of any of its steps ends in the bytes of one that never stopped: one process a
/// step writes the same checkpoint after each, and runs from some of them to the end do too.
fn check_steps(steps: u64, stage: impl Fn(&LoopSettings, &mut dyn Observer) -> Result<Parameters, TrainError>) {
    let folder = tempfile::tempdir().unwrap();
    let [whole, again] = ["whole", "again"].map(|name| folder.path().join(format!("{name}.safetensors")));
    let copy = |step: u64| folder.path().join(step.to_string());
    let mut copies = Copies { checkpoint: &whole, folder: folder.path() };
    let expected = bits(&stage(&settings(&whole, steps, 1), &mut copies).unwrap());
    std::fs::copy(&whole, copy(steps)).unwrap();
    let same = |step: u64| std::fs::read(&again).unwrap() == std::fs::read(copy(step)).unwrap();
    for step in 1..=steps {
        match stage(&settings(&again, steps, 100), &mut Impatient) {
            Err(TrainError::Interrupted { .. }) if step < steps => {}
            Ok(found) if step == steps => assert!(bits(&found) == expected),
            other => panic!("step {step}: {:?}", other.map(|_| ())),
        }
        assert!(same(step), "the checkpoints' bytes differ after step {step}");
    }
    for step in (1..steps).step_by(12) {
        std::fs::copy(copy(step), &again).unwrap();
        let found = bits(&stage(&settings(&again, steps, 100), &mut Silent).unwrap());
        assert!(found == expected && same(steps), "from step {step}");
    }
}

fn check(stage: impl Fn(&LoopSettings, &mut dyn Observer) -> Result<Parameters, TrainError>) {
    check_steps(STEPS, stage);
}

#[test]
fn finetuning() {
    let (world, settings) = (World::new(), finetune_settings());
    check(|run, observer| world.finetune(&world.data, &settings, None, run, observer));
}

#[test]
fn finetuning_in_segments() {
    let world = World::new();
    let settings = with(&finetune_settings(), |settings| settings.training.checkpointing = Checkpointing::Blocks);
    check(|run, observer| world.finetune(&world.data, &settings, None, run, observer));
}

#[test]
fn the_image_backbone() {
    let (world, recipe) = (World::new(), backbone_recipe());
    check_steps(14, |run, observer| world.image_backbone(&recipe, run, observer));
}

#[test]
fn the_supernet() {
    let (world, settings) = (World::new(), supernet_settings());
    check(|run, observer| world.supernet(&settings, run, observer));
}

#[test]
fn adversarial_distillation() {
    let (world, settings) = (World::new(), adversarial_settings());
    check(|run, observer| world.student(&settings, run, observer));
}

#[test]
fn distribution_matching() {
    // Its updates are scheduled as those of adversarial distillation: fewer steps are enough.
    let (world, settings) = (World::new(), score_settings());
    check_steps(14, |run, observer| world.student(&settings, run, observer));
}

/// Clips of which some are read before a disk is gone.
struct Dying<'a> {
    clips: &'a LatentSet,
    left: AtomicU64,
    panics: bool,
}

impl LatentSource for Dying<'_> {
    fn shape(&self) -> [usize; 4] {
        self.clips.shape
    }

    fn captions(&self) -> &[usize] {
        &self.clips.captions
    }

    fn read(&self, index: usize, into: &mut Vec<f32>) -> Result<(), TrainError> {
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => self.clips.read(index, into),
            Err(_) if self.panics => panic!("the disk is gone"),
            Err(_) => Err(TrainError::Load { clip: index, source: "the disk is gone".into() }),
        }
    }
}

#[test]
fn a_failing_loader_ends_the_stage_with_its_checkpoint_kept() {
    let world = World::new();
    let train = |data: &dyn LatentSource, path: &Path| {
        let run = LoopSettings {
            stage: "finetune-winner".into(),
            steps: 4,
            checkpoint: Some(path.into()),
            checkpoint_every: 100,
        };
        Ok(bits(&world.finetune(data, &finetune_settings(), None, &run, &mut Silent)?))
    };
    let folder = tempfile::tempdir().unwrap();
    let expected = train(&world.data, &folder.path().join("whole.safetensors")).unwrap();
    for (reads, panics) in [(0, true), (2 * 2, true), (2 * 3, false)] {
        let checkpoint = folder.path().join(format!("{reads}.safetensors"));
        let dying = Dying { clips: &world.data, left: AtomicU64::new(reads), panics };
        let error: TrainError = train(&dying, &checkpoint).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("finetune-winner") && message.contains(&format!("step {}", reads / 2)),
            "{message}"
        );
        assert!(error.source().unwrap().to_string().contains("the disk is gone"));
        let steps = tnas_weights::SafeTensors::open(&checkpoint).unwrap().metadata()["step"].clone();
        assert_eq!(steps, (reads / 2).to_string());
        // With the disk back, the run ends where one without trouble does.
        assert!(train(&world.data, &checkpoint).unwrap() == expected, "after {reads} reads");
    }
}

#[test]
fn weights_that_no_path_used_keep_their_bits() {
    let world = World::new();
    let genotype: Genotype = "mid.0.r=conv1d(k=3)".parse().unwrap();
    let settings = finetune_settings();
    let mut set = TrainSet::new(world.parameters.clone(), |_| true, &settings.training.optimizer, 0.9);
    let run = LoopSettings { stage: "test".into(), steps: 2, checkpoint: None, checkpoint_every: 100 };
    finetune(world.context(&run, &mut Silent), &genotype, &mut set, &settings).unwrap();
    let (before, after) = (bits(&world.parameters), bits(&set.parameters));
    for (name, bits) in &before {
        let used = !name.starts_with(TEMPORAL_PREFIX) || name.contains("mid.0.r.conv1d");
        assert!(used || after[name] == *bits, "{name} moved");
    }
    assert!(before.iter().any(|(name, bits)| after[name] != *bits));
}

#[test]
fn sampling_depends_on_place_and_caption_alone() {
    let world = World::new();
    let sample = |captions: &[usize], batch: usize, guidance: f32| {
        let (sampler, scheduler) = (Sampler::Euler, None);
        let how = GenerateSettings { steps: 2, sampler, scheduler, guidance, seed: 3, batch, ..Default::default() };
        generate(&world.model(&world.genotype()), captions, world.data.shape, &how, |_| {}).unwrap()
    };
    let whole = sample(&[0, 1, 1], 3, 1.0);
    for (a, b) in whole.iter().zip(sample(&[0, 1, 1], 1, 1.0)) {
        let error = a.iter().zip(&b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error < 1e-4, "{error}");
    }
    // Guidance away from the empty caption leaves the empty caption where it is, and moves the others.
    let guided = sample(&[0, 1, 1], 3, 3.0);
    assert_eq!(guided[0], whole[0]);
    assert_ne!(guided[1], whole[1]);
}
