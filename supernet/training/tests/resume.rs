//! A training loop that is stopped after any step and started again ends in the same bits as one that never stopped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use tnas_graph::Weights;
use tnas_network::{Parameters, merged_weights, normal_vec, open_device, stream};
use tnas_schedulers::Sampler;
use tnas_space::{Backbone, DenoiserShape, Genotype, SearchSpace, SpaceFile, SpaceRule, UNetConfig};
use tnas_training::{
    AdversarialSettings, FinetuneSettings, GenerateSettings, HeldOut, LatentSet, LatentSource, LoopSettings,
    Observer, Student, SupernetSettings, TEMPORAL_PREFIX, TextFeatures, TrainError, TrainSet, finetune, generate,
    train_student, train_supernet,
};

const STEPS: u64 = 4;

/// Stops after each step, as Ctrl-C would.
struct Impatient;

impl Observer for Impatient {
    fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}

    fn interrupted(&self) -> bool {
        true
    }
}

struct World {
    backbone: Backbone,
    space: SearchSpace,
    parameters: Parameters,
    data: LatentSet,
    text: TextFeatures,
}

impl World {
    fn new() -> Self {
        let config = r#"{"in_channels": 3, "out_channels": 3, "block_out_channels": [8, 16], "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "attention_head_dim": 2,
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 8, "norm_num_groups": 4}"#;
        let backbone = Backbone::new(UNetConfig::from_json(config).unwrap());
        let choices = ["none", "conv1d(k=3)", "conv1d(k=5)", "attn1d(heads=1)", "attn3d(heads=2)"];
        let rules = vec![SpaceRule {
            slots: vec!["down.1.*".into(), "mid.0.r".into()],
            choices: choices.map(String::from).to_vec(),
        }];
        let space = SearchSpace::new(&backbone, &SpaceFile { rules }).unwrap();
        let shape = DenoiserShape { batch: 1, frames: 3, height: 8, width: 8, tokens: 4 };
        let graphs: Vec<_> =
            space.covering().iter().map(|g| backbone.denoiser(&space.genotype(g), shape).unwrap()).collect();
        let mut parameters = Parameters::new(&open_device("cpu").unwrap());
        parameters.init(merged_weights(&graphs).values(), 1);
        let mut rng = stream(1, "test/data", 0);
        let clips = (0..6).map(|_| normal_vec(3 * 3 * 64, &mut rng)).collect();
        let data = LatentSet { shape: [3, 3, 8, 8], clips, captions: vec![0, 1, 0, 1, 0, 1] };
        let context = (0..2).map(|_| normal_vec(4 * 8, &mut rng)).collect();
        let pooled = (0..2).map(|_| normal_vec(8, &mut rng)).collect();
        Self { backbone, space, parameters, data, text: TextFeatures { tokens: 4, width: 8, context, pooled } }
    }

    fn genotype(&self) -> Genotype {
        self.space.genotype(&self.space.covering()[3])
    }
}

/// Runs a stage to its end, restarting it whenever it is interrupted; returns how often.
fn to_the_end(mut run: impl FnMut() -> Result<(), TrainError>) -> u64 {
    let mut restarts = 0;
    loop {
        match run() {
            Ok(()) => return restarts,
            Err(TrainError::Interrupted { .. }) => restarts += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

fn settings(path: &Path) -> LoopSettings {
    LoopSettings { stage: "test".into(), steps: STEPS, checkpoint: Some(path.into()), checkpoint_every: 100 }
}

fn bits(parameters: &Parameters) -> BTreeMap<String, Vec<u32>> {
    let bits = |name: &str| parameters.values(name).unwrap().iter().map(|x| x.to_bits()).collect();
    parameters.names().map(|name| (name.to_string(), bits(name))).collect()
}

/// Compares a run without a stop to one that stops after every step, and the checkpoints' bytes.
fn check(stage: impl Fn(&LoopSettings, &mut dyn Observer) -> Result<Parameters, TrainError>) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole.safetensors"), folder.path().join("broken.safetensors"));
    let expected = stage(&settings(&whole), &mut tnas_training::Silent).unwrap();
    let mut found = None;
    let restarts = to_the_end(|| {
        found = Some(stage(&settings(&broken), &mut Impatient)?);
        Ok(())
    });
    assert_eq!(restarts, STEPS - 1);
    let (found, expected) = (bits(&found.unwrap()), bits(&expected));
    let differ: Vec<&String> = expected.keys().filter(|name| found.get(*name) != expected.get(*name)).collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(std::fs::read(whole).unwrap() == std::fs::read(broken).unwrap(), "the checkpoints' bytes differ");
}

#[test]
fn finetuning() {
    let world = World::new();
    let genotype = world.genotype();
    let settings = FinetuneSettings { batch: 2, ..FinetuneSettings::default() };
    check(|run, observer| {
        let mut set = TrainSet::new(world.parameters.clone(), |_| true, &settings.optimizer, 0.9);
        finetune(&world.backbone, &genotype, &mut set, &world.data, &world.text, &settings, 5, run, observer)?;
        Ok(set.averaged())
    });
}

#[test]
fn the_supernet() {
    let world = World::new();
    let teacher = world.genotype();
    let settings = SupernetSettings { batch: 2, warmup_steps: 1, teacher_every: 3, ..SupernetSettings::default() };
    let probe =
        HeldOut::new(&world.data, &world.backbone.parameterisation, &world.text, 4, 2, &settings.flow, 5).unwrap();
    let trains = |name: &str| name.starts_with(TEMPORAL_PREFIX);
    check(|run, observer| {
        let mut set = TrainSet::new(world.parameters.clone(), trains, &settings.optimizer, 0.9);
        train_supernet(
            &world.backbone,
            &world.space,
            &teacher,
            &mut set,
            &world.data,
            &world.text,
            &probe,
            &settings,
            5,
            run,
            observer,
        )?;
        Ok(set.averaged())
    });
}

#[test]
fn the_adversarial_stage() {
    let world = World::new();
    let genotype = world.genotype();
    let settings = AdversarialSettings { batch: 2, head_warmup_steps: 2, ..AdversarialSettings::default() };
    let shape = DenoiserShape { batch: 2, frames: 3, height: 8, width: 8, tokens: 4 };
    let one = DenoiserShape { batch: 1, ..shape };
    let teacher = world.parameters.extract(&world.backbone.denoiser(&genotype, one).unwrap()).unwrap();
    check(|run, observer| {
        let mut student = Student::new(&teacher, &world.backbone, &genotype, shape, &settings, 5)?;
        train_student(
            &world.backbone,
            &genotype,
            &mut student,
            &world.data,
            &world.text,
            &settings,
            5,
            run,
            observer,
        )?;
        Ok(student.generator.averaged())
    });
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
fn a_dying_loader_ends_the_stage_with_its_checkpoint_kept() {
    let world = World::new();
    let genotype = world.genotype();
    let settings = FinetuneSettings { batch: 2, ..FinetuneSettings::default() };
    let train = |data: &dyn LatentSource, path: &Path| {
        let run = LoopSettings {
            stage: "finetune-winner".into(),
            steps: STEPS,
            checkpoint: Some(path.into()),
            checkpoint_every: 100,
        };
        let mut set = TrainSet::new(world.parameters.clone(), |_| true, &settings.optimizer, 0.9);
        let (text, silent) = (&world.text, &mut tnas_training::Silent);
        finetune(&world.backbone, &genotype, &mut set, data, text, &settings, 5, &run, silent)?;
        Ok(bits(&set.averaged()))
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
    let settings = FinetuneSettings { batch: 2, ..FinetuneSettings::default() };
    let mut set = TrainSet::new(world.parameters.clone(), |_| true, &settings.optimizer, 0.9);
    let run = LoopSettings { stage: "test".into(), steps: 2, checkpoint: None, checkpoint_every: 100 };
    finetune(
        &world.backbone,
        &genotype,
        &mut set,
        &world.data,
        &world.text,
        &settings,
        5,
        &run,
        &mut tnas_training::Silent,
    )
    .unwrap();
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
        let how = GenerateSettings { steps: 2, sampler, shift: 1.0, scheduler, guidance, seed: 3, batch };
        let (shape, text) = (world.data.shape, &world.text);
        generate(&world.backbone, &world.genotype(), &world.parameters, text, captions, shape, &how, |_| {})
            .unwrap()
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
