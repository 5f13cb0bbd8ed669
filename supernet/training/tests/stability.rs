//! Bad steps are skipped, several in a row roll the weights back, and what does not recover stops with its figures.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tnas_training::{
    Checkpoint, LatentSet, LatentSource, LoopRecord, LoopSettings, Observer, Silent, StabilitySettings, TrainError,
    TrainSet, learning_rate,
};
use tnas_weights::SafeTensors;
use world::{World, bits, finetune_settings, with};

const STEPS: u64 = 40;

/// Clips that are corrupted in some steps: they are read in order, `batch` a step.
struct Corrupted<'a> {
    clips: &'a LatentSet,
    steps: Range<u64>,
    corrupt: fn(f32) -> f32,
    read: AtomicU64,
}

impl LatentSource for Corrupted<'_> {
    fn shape(&self) -> [usize; 4] {
        self.clips.shape
    }

    fn captions(&self) -> &[usize] {
        &self.clips.captions
    }

    fn read(&self, index: usize, into: &mut Vec<f32>) -> Result<(), TrainError> {
        let step = self.read.fetch_add(1, Ordering::SeqCst) / finetune_settings().training.batch as u64;
        let start = into.len();
        self.clips.read(index, into)?;
        if self.steps.contains(&step) {
            into[start..].iter_mut().for_each(|x| *x = (self.corrupt)(*x));
        }
        Ok(())
    }
}

/// Keeps figures, and the checkpoint of every step, which is written after the observer hears of the step.
#[derive(Default)]
struct Watch {
    checkpoint: PathBuf,
    copies: Vec<PathBuf>,
    figures: Vec<BTreeMap<&'static str, f64>>,
    roll_backs: Vec<(u64, f64)>,
}

impl Watch {
    fn new(checkpoint: &Path) -> Self {
        Self { checkpoint: checkpoint.into(), ..Self::default() }
    }

    /// The tensors of the checkpoint after so many steps.
    fn tensors(&self, steps: usize) -> BTreeMap<String, Vec<u32>> {
        let file = SafeTensors::open(&self.copies[steps - 1]).unwrap();
        let names: Vec<String> = file.names().map(String::from).collect();
        let values = |name: &str| file.f32(name).unwrap().iter().map(|x| x.to_bits()).collect();
        names.iter().map(|name| (name.clone(), values(name))).collect()
    }
}

impl Observer for Watch {
    fn step(&mut self, _: &str, step: u64, _: u64, figures: &[(&'static str, f64)]) {
        self.figures.push(figures.iter().copied().collect());
        if step > 1 {
            let copy = self.checkpoint.with_extension((step - 1).to_string());
            std::fs::copy(&self.checkpoint, &copy).unwrap();
            self.copies.push(copy);
        }
    }

    fn rolled_back(&mut self, _: &str, step: u64, rate: f64) {
        self.roll_backs.push((step, rate));
    }
}

struct Ended {
    result: Result<BTreeMap<String, Vec<u32>>, TrainError>,
    watch: Watch,
    record: LoopRecord,
    _folder: tempfile::TempDir,
}

/// Fine-tunes with clips corrupted in some steps.
fn train(world: &World, steps: Range<u64>, corrupt: fn(f32) -> f32, every: u64) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let (stage, checkpoint) = ("finetune-winner".into(), Some(path.clone()));
    let run = LoopSettings { stage, steps: STEPS, checkpoint, checkpoint_every: every };
    let mut watch = Watch::new(&path);
    let data = Corrupted { clips: &world.data, steps, corrupt, read: AtomicU64::new(0) };
    let settings = finetune_settings();
    // Checkpoints are compared where there is one after every step.
    let result = if every == 1 {
        world.finetune(&data, &settings, None, &run, &mut watch)
    } else {
        world.finetune(&data, &settings, None, &run, &mut Figures(&mut watch))
    };
    let result = result.map(|parameters| bits(&parameters));
    let record = record(world, &path);
    Ended { result, watch, record, _folder: folder }
}

/// Figures and roll-backs alone.
struct Figures<'a>(&'a mut Watch);

impl Observer for Figures<'_> {
    fn step(&mut self, _: &str, _: u64, _: u64, figures: &[(&'static str, f64)]) {
        self.0.figures.push(figures.iter().copied().collect());
    }

    fn rolled_back(&mut self, stage: &str, step: u64, rate: f64) {
        self.0.rolled_back(stage, step, rate);
    }
}

/// The loop's record in a checkpoint.
fn record(world: &World, path: &Path) -> LoopRecord {
    let settings = finetune_settings();
    TrainSet::new(world.parameters.clone(), |_| true, &settings.training.optimizer, 0.9).load(path).unwrap()
}

/// Three bad steps in the middle change no bit, are counted, and the run goes on to its end.
fn three_bad_steps_are_skipped(corrupt: fn(f32) -> f32, bad: impl Fn(f64) -> bool) {
    let world = World::new();
    let ended = train(&world, 20..23, corrupt, 1);
    let weights = ended.result.unwrap();
    assert!(weights.values().flatten().all(|&x| f32::from_bits(x).is_finite()));
    for (step, figures) in ended.watch.figures.iter().enumerate() {
        let corrupted = (20..23).contains(&step);
        assert_eq!(bad(figures["loss"]), corrupted, "step {step}: {figures:?}");
        if step > 0 && step < STEPS as usize - 1 {
            let kept = ended.watch.tensors(step) == ended.watch.tensors(step + 1);
            assert_eq!(kept, corrupted, "step {step} moved, or did not");
        }
    }
    assert_eq!((ended.record.skipped, ended.record.roll_backs, ended.record.bad), (3, 0, 0));
    assert!(ended.watch.roll_backs.is_empty());
}

#[test]
fn nan_is_skipped() {
    three_bad_steps_are_skipped(|_| f32::NAN, f64::is_nan);
}

#[test]
fn infinity_is_skipped() {
    three_bad_steps_are_skipped(|x| 1e30 * x.signum(), |loss| !loss.is_finite());
}

#[test]
fn an_exploding_loss_is_skipped() {
    three_bad_steps_are_skipped(|x| 1e3 * x, |loss| loss.is_finite() && loss > 1e3);
}

#[test]
fn bad_steps_in_a_row_roll_back_and_lower_the_rate() {
    let world = World::new();
    let stability = StabilitySettings::default();
    // A snapshot stands at step 20; one more good step, then five bad ones.
    let ended = train(&world, 21..26, |_| f32::NAN, 1);
    ended.result.unwrap();
    assert_eq!(ended.watch.roll_backs, [(26, stability.rate_factor)]);
    assert_eq!((ended.record.skipped, ended.record.roll_backs), (5, 1));
    assert!(ended.watch.tensors(26) == ended.watch.tensors(21), "back to the last good checkpoint");
    let optimizer = finetune_settings().training.optimizer;
    for (step, figures) in ended.watch.figures.iter().enumerate() {
        let rate = learning_rate(optimizer.learning_rate, step as u64, STEPS, optimizer.warmup_steps);
        let factor = if step < 26 { 1.0 } else { stability.rate_factor };
        assert_eq!(figures["learning_rate"], rate * factor, "step {step}");
    }
}

#[test]
fn a_roll_back_finds_the_last_regular_checkpoint() {
    let world = World::new();
    // Checkpoints at 10 and 20; the steps 20 to 22 are good, then five are bad.
    let far = train(&world, 23..28, |_| f32::NAN, 10);
    assert_eq!(far.watch.roll_backs, [(28, 0.5)]);
    // The first steps after it see what a run from step 20 would at those steps: not the weights of step 23.
    let near = train(&world, 23..28, |_| f32::NAN, 1);
    assert_eq!(far.watch.figures[..23], near.watch.figures[..23]);
    assert_ne!(far.watch.figures[28]["loss"], near.watch.figures[28]["loss"]);
}

#[test]
fn training_that_does_not_recover_stops_with_stage_step_figures_and_a_way_out() {
    let ended = train(&World::new(), 20..STEPS, |_| f32::NAN, 1);
    let error = ended.result.unwrap_err();
    assert!(matches!(error, TrainError::Diverged { step: 40, bad: 5, roll_backs: 3, .. }), "{error:?}");
    let message = error.to_string();
    for part in ["finetune-winner", "3 roll-backs", "step 40", "loss = NaN", "0.125", "optimizer.learning_rate"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// Stops after each step.
struct Impatient;

impl Observer for Impatient {
    fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}

    fn interrupted(&self) -> bool {
        true
    }
}

#[test]
fn interruptions_change_no_roll_back() {
    let mut world = World::new();
    world.data.clips[3].fill(f32::NAN);
    let stability = StabilitySettings { bad_steps: 2, roll_backs: 100, ..StabilitySettings::default() };
    let settings = with(&finetune_settings(), |settings| settings.training.stability = stability);
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| {
        let checkpoint = Some(folder.path().join(name).with_extension("safetensors"));
        LoopSettings { stage: "test".into(), steps: STEPS, checkpoint, checkpoint_every: 7 }
    };
    let whole = world.finetune(&world.data, &settings, None, &run("whole"), &mut Silent).unwrap();
    let broken = (0..STEPS).find_map(|_| {
        match world.finetune(&world.data, &settings, None, &run("broken"), &mut Impatient) {
            Err(TrainError::Interrupted { .. }) => None,
            ended => Some(ended.unwrap()),
        }
    });
    assert!(bits(&whole) == bits(&broken.unwrap()));
    let [whole, broken] = ["whole", "broken"].map(|name| run(name).checkpoint.unwrap());
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&broken).unwrap());
    let record = record(&world, &whole);
    assert!(record.roll_backs > 0 && record.skipped > 2 * record.roll_backs, "{record:?}");
}

#[test]
fn a_held_out_loss_that_no_longer_improves_ends_a_stage() {
    let (world, held_out) = (World::new(), World::new().held_out());
    let stability =
        StabilitySettings { patience: 2, held_out_every: 3, least_gain: 0.9, ..StabilitySettings::default() };
    let settings = with(&finetune_settings(), |settings| settings.training.stability = stability);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let checkpoint = Some(path.clone());
    let run = LoopSettings { stage: "test".into(), steps: STEPS, checkpoint, checkpoint_every: 100 };
    let mut watch = Watch::default();
    let ended = world.finetune(&world.data, &settings, Some(&held_out), &run, &mut Figures(&mut watch)).unwrap();
    // The first evaluation is the best; two more find nothing a tenth as large.
    assert_eq!(watch.figures.len(), 9);
    assert!(watch.figures.iter().enumerate().all(|(i, f)| f.contains_key("held_out") == (i % 3 == 2)));
    assert!(record(&world, &path).stopped);
    // A finished stage stays finished.
    let again = world.finetune(&world.data, &settings, Some(&held_out), &run, &mut Figures(&mut watch)).unwrap();
    assert!(watch.figures.len() == 9 && bits(&again) == bits(&ended));
}
