//! How a step's clips are divided over micro-batches and devices, mixed with images, and distilled.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::{cell::RefCell, collections::BTreeMap};

use tnas_graph::Weights;
use tnas_models::DenoiserShape;
use tnas_network::{Parameters, Value, WeightSource, execute, normal_vec, stream};
use tnas_space::{Choice, Genotype, OPERATORS};
use tnas_training::{
    AdamWSettings, Checkpointing, Compute, DistillSettings, FinetuneSettings, FlowSettings, LoopSettings, Observer,
    Shift, Silent, SpatialWeights, SupernetSettings, TEMPORAL_PREFIX, TrainSet, TrainingRecipe, Weighting,
    finetune,
};
use world::{World, adversarial_settings, bits, finetune_settings, score_settings, supernet_settings, with};

/// Figures of every step by name.
#[derive(Default)]
struct Figures(RefCell<BTreeMap<&'static str, Vec<f64>>>);

impl Observer for Figures {
    fn step(&mut self, _: &str, _: u64, _: u64, figures: &[(&'static str, f64)]) {
        for &(name, value) in figures {
            self.0.get_mut().entry(name).or_default().push(value);
        }
    }
}

fn figures(world: &World, settings: &FinetuneSettings, steps: u64) -> BTreeMap<&'static str, Vec<f64>> {
    let mut figures = Figures::default();
    world.finetune(&world.data, settings, None, &LoopSettings::new("test", steps), &mut figures).unwrap();
    figures.0.into_inner()
}

fn supernet_figures(world: &World, settings: &SupernetSettings, steps: u64) -> BTreeMap<&'static str, Vec<f64>> {
    let mut figures = Figures::default();
    world.supernet(settings, &LoopSettings::new("test", steps), &mut figures).unwrap();
    figures.0.into_inner()
}

fn close(a: f64, b: f64, what: &str) {
    assert!((a - b).abs() <= 1e-6 * b.abs(), "{what}: {a} {b}");
}

#[test]
fn micro_batches_add_up_to_one_batch() {
    let world = World::new();
    let whole = with(&finetune_settings(), |settings| settings.training.batch = 6);
    let expected = figures(&world, &whole, 1);
    for (batch, accumulate) in [(3, 2), (2, 3), (1, 6)] {
        let parts = with(&whole, |settings| {
            settings.training = TrainingRecipe { batch, accumulate, ..settings.training.clone() };
        });
        let found = figures(&world, &parts, 1);
        for name in ["loss", "gradient_norm"] {
            close(found[name][0], expected[name][0], name);
        }
    }
    let whole = with(&supernet_settings(), |settings| settings.training.batch = 4);
    let expected = supernet_figures(&world, &whole, 1);
    let parts = with(&supernet_settings(), |settings| settings.training.accumulate = 2);
    let found = supernet_figures(&world, &parts, 1);
    close(found["loss"][0], expected["loss"][0], "supernet loss");
    close(found["gradient_norm"][0], expected["gradient_norm"][0], "supernet gradient norm");
}

#[test]
fn replicas_find_what_one_device_finds_and_repeat() {
    let world = World::new();
    let one = with(&finetune_settings(), |settings| settings.training.batch = 4);
    let two = with(&one, |settings| settings.training.devices = vec!["cpu".into(), "cpu".into()]);
    let (expected, found) = (figures(&world, &one, 1), figures(&world, &two, 1));
    for name in ["loss", "gradient_norm"] {
        close(found[name][0], expected[name][0], name);
    }
    let run = LoopSettings::new("test", 5);
    let train = |settings| bits(&world.finetune(&world.data, settings, None, &run, &mut Silent).unwrap());
    assert!(train(&two) == train(&two));
    let whole = with(&one, |settings| settings.training.batch = 3);
    let uneven = with(&whole, |settings| settings.training.devices = vec!["cpu".into(); 5]);
    close(figures(&world, &uneven, 1)["loss"][0], figures(&world, &whole, 1)["loss"][0], "more devices than clips");
}

/// One update of every network of a student: micro-batches and devices change its figures by roundings alone, which AdamW's first
/// update of the discriminator amplifies for the student.
#[test]
fn students_accumulate_and_spread_over_devices() {
    let world = World::new();
    for settings in [adversarial_settings(), score_settings()] {
        let figures = |batch, accumulate, devices: usize| {
            let mut figures = Figures::default();
            let settings = with(&settings, |settings| {
                (settings.head_warmup_steps, settings.head_updates, settings.scores.updates) = (0, 1, 1);
                let devices = vec!["cpu".into(); devices];
                settings.training = TrainingRecipe { batch, accumulate, devices, ..settings.training.clone() };
            });
            world.student(&settings, &LoopSettings::new("test", 1), &mut figures).unwrap();
            figures.0.into_inner()
        };
        let expected = figures(4, 1, 0);
        for found in [figures(2, 2, 0), figures(1, 4, 0), figures(4, 1, 2)] {
            for (name, values) in &expected {
                let (x, y) = (found[name][0], values[0]);
                assert!((x - y).abs() <= 5e-3 * y.abs(), "{:?} {name}: {x} {y}", settings.method);
            }
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let world = World::new();
    let devices = vec!["cpu".into(), "abacus".into()];
    let settings = with(&finetune_settings(), |settings| settings.training.devices = devices);
    let error =
        world.finetune(&world.data, &settings, None, &LoopSettings::new("test", 1), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("abacus"), "{error}");
}

#[test]
fn images_leave_the_other_steps_as_they_are() {
    let world = World::new();
    // A rate of nothing: losses show what the steps see.
    let frozen = AdamWSettings { learning_rate: 0.0, ..AdamWSettings::default() };
    let videos = with(&finetune_settings(), |settings| settings.training.optimizer = frozen);
    let mixed = with(&videos, |settings| settings.training.images = 0.4);
    let (a, b) = (figures(&world, &videos, 30), figures(&world, &mixed, 30));
    let same = a["loss"].iter().zip(&b["loss"]).filter(|(a, b)| a == b).count();
    assert!((10..27).contains(&same), "{same} of 30 steps see clips");
}

#[test]
fn every_stage_trains_on_images_alone() {
    let world = World::new();
    let run = LoopSettings::new("test", 6);
    let settings = with(&finetune_settings(), |settings| settings.training.images = 1.0);
    world.finetune(&world.data, &settings, None, &run, &mut Silent).unwrap();
    let settings = with(&supernet_settings(), |settings| {
        (settings.training.images, settings.feature_distillation) = (1.0, 0.5);
    });
    world.supernet(&settings, &run, &mut Silent).unwrap();
    let settings = with(&adversarial_settings(), |settings| settings.training.images = 1.0);
    world.student(&settings, &run, &mut Silent).unwrap();
}

#[test]
fn every_temporal_operator_passes_a_single_frame() {
    let world = World::new();
    for kind in OPERATORS {
        let text = kind.name;
        let choice: Choice = text.parse().unwrap();
        let genotype: Genotype = format!("down.1.0.r={choice}").parse().unwrap();
        let shape = DenoiserShape { batch: 1, frames: 1, height: 8, width: 8, tokens: 4 };
        let graph = world.backbone.denoiser(&genotype, shape).unwrap();
        let mut parameters = world.parameters.clone();
        for weight in graph.weights() {
            if weight.name.starts_with(TEMPORAL_PREFIX) {
                // Fresh insertions would pass no gradient on.
                let values = normal_vec(weight.elements(), &mut stream(3, &weight.name, 0));
                parameters.insert_host(&weight.name, &weight.shape, values.iter().map(|x| 0.1 * x).collect());
            }
        }
        let leaves = parameters.leaves(|name| name.starts_with(TEMPORAL_PREFIX));
        let device = leaves.device();
        let inputs = graph.inputs.iter().map(|input| {
            let shape = graph.shape(input.value);
            let values = normal_vec(shape.iter().product(), &mut stream(1, &input.name, 0));
            Value::from_f32(values, shape, &device.clone().inner()).constant_for(device)
        });
        let out = execute(&graph, &leaves, inputs.collect(), device).unwrap().pop().unwrap();
        assert!(out.to_vec().iter().all(|x| x.is_finite()), "{text}");
        let gradients = leaves.backward(out.flat().square().mean()).unwrap();
        assert!(!gradients.is_empty(), "{text}");
        for (name, gradient) in gradients {
            assert!(Value::F1(gradient).to_vec().iter().all(|x| x.is_finite()), "{text}: {name}");
        }
    }
}

#[test]
fn weights_of_a_loss_are_those_of_its_times() {
    let world = World::new();
    let loss = |weighting| {
        let flow = FlowSettings { weighting, ..FlowSettings::default() };
        let probe = world.held_out_by(flow, 8);
        let genotype = world.genotype();
        probe.loss(&world.parameters, |shape| Ok(world.backbone.denoiser(&genotype, shape)?)).unwrap()
    };
    let plain = loss(Weighting::None);
    assert_eq!(loss(Weighting::HighNoise(0.0)).per_clip, plain.per_clip);
    let heavy = loss(Weighting::HighNoise(1.0));
    assert!(heavy.bands.last().unwrap().mean > plain.bands.last().unwrap().mean);
    assert!(heavy.bands[0].mean < plain.bands[0].mean);
    // Training sees the same: a weight of 1 at every time changes a loss by roundings alone.
    let settings = |weighting| {
        with(&finetune_settings(), |settings| {
            settings.training.flow = FlowSettings { weighting, ..FlowSettings::default() };
            settings.training.batch = 4;
        })
    };
    let [none, even] = [Weighting::None, Weighting::HighNoise(0.0)].map(|w| figures(&world, &settings(w), 1));
    close(even["loss"][0], none["loss"][0], "loss");
    close(even["gradient_norm"][0], none["gradient_norm"][0], "gradient norm");
}

#[test]
fn defaults_of_newer_settings_are_not_written() {
    let keys = |value: serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for settings in [
        keys(serde_json::to_value(TrainingRecipe::backbone()).unwrap()),
        keys(serde_json::to_value(SupernetSettings::default()).unwrap()),
        keys(serde_json::to_value(FinetuneSettings::default()).unwrap()),
        keys(serde_json::to_value(DistillSettings::default()).unwrap()),
    ] {
        for new in ["accumulate", "compute", "devices", "images", "lora_rank", "feature_distillation"] {
            assert!(!settings.iter().any(|key| key == new), "{new} in {settings:?}");
        }
    }
    let flow = serde_json::to_string(&FlowSettings::default()).unwrap();
    assert_eq!(flow, r#"{"time":{"mean":0.0,"deviation":1.0},"shift":1.0,"caption_dropout":0.0}"#);
    let auto: FlowSettings = serde_json::from_str(r#"{"shift": "auto", "weighting": {"min_snr": 5.0}}"#).unwrap();
    assert_eq!((auto.shift, auto.weighting), (Shift::Auto, Weighting::MinSnr(5.0)));
}

#[test]
fn half_precision_finds_nearly_what_f32_finds() {
    let world = World::new();
    let settings = with(&finetune_settings(), |settings| settings.training.batch = 4);
    let exact = figures(&world, &settings, 1);
    for (compute, tolerance) in [(Compute::Bf16, 3e-2), (Compute::F16, 4e-3)] {
        for checkpointing in [Checkpointing::Off, Checkpointing::Blocks] {
            let settings = with(&settings, |settings| {
                (settings.training.compute, settings.training.checkpointing) = (compute, checkpointing);
            });
            let found = figures(&world, &settings, 8);
            for name in ["loss", "gradient_norm"] {
                let (x, y) = (found[name][0], exact[name][0]);
                println!("{compute:?} {checkpointing:?} {name}: {x} {y}");
                assert!(x != y && (x - y).abs() <= tolerance * y, "{compute:?} {checkpointing:?} {name}: {x} {y}");
            }
            assert!(found["loss"].iter().all(|x| x.is_finite()));
        }
    }
}

/// 2¹⁴ halves fourteen times; only then does an overflow count as a bad step.
#[test]
fn overflows_while_the_loss_scale_falls_are_no_bad_steps() {
    let world = World::new();
    let mut set = TrainSet::new(world.parameters.clone(), |_| true, &finetune_settings().training.optimizer, 0.9);
    let name = world.parameters.names().next().unwrap().to_string();
    let shape = world.parameters.get(&name).unwrap().shape.clone();
    let step = |set: &mut TrainSet, gradient: f32| {
        let count = shape.iter().product();
        let gradient = Value::from_f32(vec![gradient; count], &[count], world.parameters.device()).flat();
        set.apply([(name.clone(), gradient)].into(), 1e-3, 0)
    };
    let report = step(&mut set, f32::INFINITY);
    assert!(!report.good() && set.notes.is_empty(), "f32 has no scale");
    set.compute = Compute::F16;
    let before = bits(&set.parameters);
    let reports: Vec<_> = (0..15).map(|_| step(&mut set, f32::INFINITY)).collect();
    assert!(reports.iter().all(|report| !report.moved) && bits(&set.parameters) == before);
    let good: Vec<bool> = reports.iter().map(|report| report.good()).collect();
    assert_eq!(good, [vec![true; 14], vec![false]].concat());
    assert_eq!(set.notes["loss scale"], 1);
    for _ in 0..200 {
        assert!(step(&mut set, 1e-3).moved);
    }
    assert_eq!(set.notes["loss scale"], 2);
}

/// The first losses of both methods' networks are near those in f32: discriminator, score and student all compute in half precision.
#[test]
fn students_train_in_half_precision() {
    let world = World::new();
    for (method, settings) in [("adversarial", adversarial_settings()), ("dmd2", score_settings())] {
        let run = |compute| {
            let mut figures = Figures::default();
            let settings = with(&settings, |settings| {
                (settings.training.compute, settings.head_warmup_steps, settings.r1) = (compute, 0, 0.0);
            });
            world.student(&settings, &LoopSettings::new("test", 6), &mut figures).unwrap();
            figures.0.into_inner()
        };
        let exact = run(Compute::F32);
        for compute in [Compute::Bf16, Compute::F16] {
            let found = run(compute);
            for (name, values) in found.iter().filter(|(name, _)| name.starts_with("loss")) {
                let (x, y) = (values[0], exact[name][0]);
                assert!(values.iter().all(|x| x.is_finite()), "{method} {compute:?} {name}: {values:?}");
                assert!((x - y).abs() <= 3e-2 * y.abs(), "{method} {compute:?} {name}: {x} {y}");
                assert!(x != y, "{method} {compute:?} {name}: {x}");
            }
        }
    }
}

fn adapted(world: &World, rank: usize) -> TrainSet {
    let temporal = |name: &str| name.starts_with(TEMPORAL_PREFIX);
    let mut set = TrainSet::new(world.parameters.clone(), temporal, &finetune_settings().training.optimizer, 0.9);
    set.adapt(rank, |name| !temporal(name), 3);
    set
}

#[test]
fn fresh_adapters_change_nothing() {
    let world = World::new();
    let set = adapted(&world, 2);
    let names = |front: &str| set.parameters.names().filter(|name| name.ends_with(front)).count();
    assert!(names("lora_A.weight") > 10 && names("lora_A.weight") == names("lora_B.weight"));
    let probe = world.held_out();
    let genotype = world.genotype();
    let loss = |weights: &Parameters| {
        probe.loss(weights, |shape| Ok(world.backbone.denoiser(&genotype, shape)?)).unwrap().per_clip
    };
    assert_eq!(loss(&set.averaged()), loss(&world.parameters));
    assert!(set.averaged().names().eq(world.parameters.names()));
}

/// x·Wᵀ + (x·Aᵀ)·Bᵀ = x·(W + B·A)ᵀ, and the gradients of A and B are those of the branch.
#[test]
fn merged_adapters_are_the_branch_beside_the_weight() {
    use burn::tensor::Tensor;
    let world = World::new();
    let mut set = adapted(&world, 2);
    let name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k";
    let of_b = format!("{name}.lora_B.weight");
    let shape = set.parameters.get(&of_b).unwrap().shape.clone();
    set.parameters.insert_host(&of_b, &shape, normal_vec(shape.iter().product(), &mut stream(1, "test/b", 0)));
    let matrix = |parameters: &Parameters, name: &str| {
        let found = parameters.get(name).unwrap();
        let (rows, columns) = (found.shape[0], found.shape[1]);
        found.flat.clone().reshape([rows, columns])
    };
    let merged = set.adapters.merged(&set.parameters);
    let (w, a, b) = (
        matrix(&set.parameters, &format!("{name}.weight")),
        matrix(&set.parameters, &format!("{name}.lora_A.weight")),
        matrix(&set.parameters, &of_b),
    );
    let [_, columns] = w.dims();
    let x = Value::from_f32(normal_vec(5 * columns, &mut stream(1, "test/x", 0)), &[5, columns], merged.device())
        .rows();
    let branch: Tensor<2> = x.clone().matmul(w.transpose()) + x.clone().matmul(a.transpose()).matmul(b.transpose());
    let whole: Tensor<2> = x.matmul(matrix(&merged, &format!("{name}.weight")).transpose());
    let error = (branch.clone() - whole).abs().max().into_scalar::<f32>();
    assert!(error <= 1e-5 * branch.abs().max().into_scalar::<f32>(), "{error}");
}

#[test]
fn adapters_train_alone_and_are_resumed() {
    let world = World::new();
    let genotype = world.genotype();
    let settings = finetune_settings();
    let train = |set: &mut TrainSet, run: &LoopSettings| {
        finetune(world.context(run, &mut Silent), &genotype, set, &settings).unwrap();
    };
    let mut set = adapted(&world, 2);
    train(&mut set, &LoopSettings::new("test", 6));
    // What is under the adapters stays, what is read moves.
    let name = "down_blocks.1.resnets.0.conv1.weight";
    assert_eq!(set.parameters.values(name).unwrap(), world.parameters.values(name).unwrap());
    assert_ne!(set.averaged().values(name).unwrap(), world.parameters.values(name).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Some(folder.path().join("lora.safetensors"));
    let run = |steps| LoopSettings { checkpoint: checkpoint.clone(), steps, ..LoopSettings::new("test", steps) };
    // The learning rate's schedule depends on the number of steps: stopped as Ctrl-C stops.
    struct After(u64, u64);
    impl Observer for After {
        fn step(&mut self, _: &str, step: u64, _: u64, _: &[(&'static str, f64)]) {
            self.1 = step;
        }
        fn interrupted(&self) -> bool {
            self.1 >= self.0
        }
    }
    let mut again = adapted(&world, 2);
    let stopped = finetune(world.context(&run(6), &mut After(3, 0)), &genotype, &mut again, &settings);
    assert!(stopped.is_err());
    let mut again = adapted(&world, 2);
    train(&mut again, &run(6));
    assert!(bits(&again.averaged()) == bits(&set.averaged()));
}

#[test]
fn accumulation_and_mixing_resume() {
    let world = World::new();
    let settings = with(&finetune_settings(), |settings| {
        settings.training = TrainingRecipe {
            accumulate: 2,
            images: 0.3,
            devices: vec!["cpu".into(), "cpu".into()],
            flow: FlowSettings { weighting: Weighting::MinSnr(5.0), shift: Shift::Auto, ..FlowSettings::default() },
            ..settings.training.clone()
        };
    });
    struct Impatient;
    impl Observer for Impatient {
        fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}
        fn interrupted(&self) -> bool {
            true
        }
    }
    let whole = world.finetune(&world.data, &settings, None, &LoopSettings::new("test", 8), &mut Silent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run =
        LoopSettings { checkpoint: Some(folder.path().join("x.safetensors")), ..LoopSettings::new("test", 8) };
    let again = loop {
        if let Ok(found) = world.finetune(&world.data, &settings, None, &run, &mut Impatient) {
            break found;
        }
    };
    assert!(bits(&again) == bits(&whole));
}

#[test]
fn features_teach_once_the_teacher_is_better() {
    let mut world = World::new();
    // Clips that stand still: a network that sees other frames sees the same data under other noise, and is soon better.
    let [channels, frames, height, width] = world.data.shape;
    let area = height * width;
    for clip in &mut world.data.clips {
        for channel in 0..channels {
            for frame in 1..frames {
                let first = channel * frames * area;
                clip.copy_within(first..first + area, first + frame * area);
            }
        }
    }
    let settings = SupernetSettings {
        distillation: 0.0,
        feature_distillation: 1.0,
        warmup_steps: 40,
        teacher_every: 2,
        ..supernet_settings()
    };
    let settings = with(&settings, |settings| settings.training.optimizer.learning_rate = 1e-2);
    let run = LoopSettings::new("test", 48);
    let train = |settings: &SupernetSettings| {
        let mut figures = Figures::default();
        let trained = world.supernet(settings, &run, &mut figures).unwrap();
        (bits(&trained), figures.0.into_inner()["teaching"].iter().sum::<f64>())
    };
    let (with, taught) = train(&settings);
    let (without, _) = train(&SupernetSettings { feature_distillation: 0.0, ..settings.clone() });
    assert!(taught > 0.0 && with != without, "taught in {taught} steps");
    assert!(with == train(&settings).0);
}

#[test]
fn features_are_outputs_beside_the_same_velocity() {
    let world = World::new();
    let genotype = world.genotype();
    let shape = DenoiserShape { batch: 1, frames: 3, height: 8, width: 8, tokens: 4 };
    let run = |graph: &tnas_graph::Graph| {
        let device = world.parameters.device();
        let inputs = graph.inputs.iter().map(|input| {
            let shape = graph.shape(input.value);
            Value::from_f32(normal_vec(shape.iter().product(), &mut stream(1, &input.name, 0)), shape, device)
        });
        execute(graph, &world.parameters, inputs.collect(), device).unwrap()
    };
    let plain = world.backbone.denoiser(&genotype, shape).unwrap();
    let with = world.backbone.denoiser_with_features(&genotype, shape).unwrap();
    let names: Vec<&str> = with.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["down.0", "down.1", "mid", "up.0", "up.1", "out"]);
    assert_eq!(run(&with).pop().unwrap().to_vec(), run(&plain).pop().unwrap().to_vec());
}

#[test]
fn lora_of_the_supernet_is_merged() {
    let world = World::new();
    let settings = SupernetSettings { spatial: SpatialWeights::Lora(2), ..supernet_settings() };
    let text = serde_json::to_value(&settings).unwrap();
    assert_eq!(text["spatial"], serde_json::json!({"lora": 2}));
    let mut set = adapted(&world, 2);
    world.train_supernet(&mut set, &settings, &LoopSettings::new("test", 4), &mut Silent).unwrap();
    assert!(set.averaged().names().eq(world.parameters.names()));
    assert!(set.averaged().flat("conv_in.weight").is_some());
}
