//! A backbone that predicts noise trains and samples by the losses and samplers of flows, and by its own scheduler.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_network::{Parameters, normal_vec, open_device, stream};
use tnas_schedulers::{Class, Parameterisation, Sampler, SchedulerConfig};
use tnas_space::Genotype;
use tnas_training::{
    FinetuneSettings, GenerateSettings, HeldOut, HeldOutSettings, LatentSet, LoopSettings, Silent, TextFeatures,
    TrainSet, TrainingContext, VideoModel, finetune, generate,
};

/// Kinds of models, by the configs of their schedulers.
const KINDS: [(&str, &str); 3] = [
    ("PNDMScheduler", r#""prediction_type": "epsilon", "skip_prk_steps": true, "steps_offset": 1"#),
    ("DDIMScheduler", r#""prediction_type": "v_prediction", "rescale_betas_zero_snr": true, "clip_sample": false"#),
    ("EulerDiscreteScheduler", r#""prediction_type": "sample""#),
];

fn scheduler(class: &str, more: &str) -> SchedulerConfig {
    let betas = r#""beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear""#;
    SchedulerConfig::from_json(&format!(r#"{{"_class_name": "{class}", {betas}, {more}}}"#)).unwrap()
}

fn world(config: SchedulerConfig) -> (Backbone, Parameters, LatentSet, TextFeatures) {
    let unet = r#"{"in_channels": 2, "out_channels": 2, "block_out_channels": [8, 16], "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "attention_head_dim": 2,
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 8, "norm_num_groups": 4}"#;
    let backbone = Backbone::new(UNetConfig::from_json(unet).unwrap());
    let backbone = backbone.parameterised(Parameterisation::new(config).unwrap());
    let shape = DenoiserShape { batch: 1, frames: 2, height: 4, width: 4, tokens: 3 };
    let graph = backbone.denoiser(&Genotype::none(), shape).unwrap();
    let mut parameters = Parameters::new(&open_device("cpu").unwrap());
    parameters.init(graph.weights(), 1);
    let mut rng = stream(1, "test/data", 0);
    // Small data about one point: there is something to learn at once.
    let clips = (0..8).map(|_| normal_vec(64, &mut rng).iter().map(|x| 0.5 + 0.1 * x).collect()).collect();
    let data = LatentSet { shape: [2, 2, 4, 4], clips, captions: vec![0, 1, 0, 1, 0, 1, 0, 1] };
    let context = (0..2).map(|_| normal_vec(24, &mut rng)).collect();
    let pooled = (0..2).map(|_| normal_vec(8, &mut rng)).collect();
    (backbone, parameters, data, TextFeatures { tokens: 3, width: 8, context, pooled })
}

#[test]
fn losses_fall_and_every_scheduler_samples() {
    for (class, more) in KINDS {
        let (backbone, parameters, data, text) = world(scheduler(class, more));
        let none = Genotype::none();
        let settings = FinetuneSettings::default();
        let flow = settings.training.flow;
        let held_out = HeldOut::new(
            &data,
            &backbone.parameterisation,
            &text,
            &HeldOutSettings { clips: 8, batch: 4, flow, seed: 5 },
        )
        .unwrap();
        let loss = |parameters: &Parameters| {
            held_out.loss(parameters, |shape| Ok(backbone.denoiser(&none, shape)?)).unwrap().mean
        };
        let mut set = TrainSet::new(parameters.clone(), |_| true, &settings.training.optimizer, 0.0);
        let run = LoopSettings { stage: "test".into(), steps: 60, checkpoint: None, checkpoint_every: 100 };
        let (backbone, text, data) = (&backbone, &text, &data);
        let observer = &mut Silent;
        let context = TrainingContext { backbone, text, data, held_out: None, seed: 5, run: &run, observer };
        finetune(context, &none, &mut set, &settings).unwrap();
        let (before, after) = (loss(&parameters), loss(&set.parameters));
        println!("{class}: {before:.3} to {after:.3}");
        assert!(after < 0.8 * before, "{class}: {before} to {after}");

        let sample = |scheduler: Option<SchedulerConfig>, sampler: Sampler| {
            let how = GenerateSettings {
                steps: 6,
                sampler,
                scheduler,
                guidance: 1.5,
                seed: 3,
                batch: 2,
                ..Default::default()
            };
            let shape = data.shape;
            let model = VideoModel { backbone, genotype: &none, parameters: &set.parameters, text };
            generate(&model, &[0, 1, 1], shape, &how, |_| {}).unwrap().concat()
        };
        let own = backbone.parameterisation.config();
        let mut all = vec![
            sample(None, Sampler::Euler),
            sample(None, Sampler::Renoise),
            sample(Some(own.clone()), Sampler::Euler),
        ];
        for class in [Class::Ddim, Class::Euler, Class::DpmSolver, Class::Lcm] {
            // Of the ancestral ones, and of PNDM, some predictions are refused by name.
            all.push(sample(Some(own.converted(class, 1.0).unwrap()), Sampler::Euler));
        }
        for (index, clips) in all.iter().enumerate() {
            assert!(clips.len() == 3 * 64 && clips.iter().all(|x| x.is_finite()), "{class}: way {index}");
        }
        assert_eq!(all[0], sample(None, Sampler::Euler));
    }
}
