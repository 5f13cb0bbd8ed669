//! A tiny model, a space over it and clips of noise.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::collections::BTreeMap;

use tnas_graph::Weights;
use tnas_models::{Backbone, DenoiserShape, TextEncoder, TextEncoderConfig, UNetConfig};
use tnas_network::{Parameters, merged_weights, normal_vec, open_device, stream};
use tnas_space::{Genotype, SearchSpace, SpaceFile, SpaceRule};
use tnas_training::{
    CaptionTokens, DistillMethod, DistillSettings, FinetuneSettings, FlowSettings, HeldOut, HeldOutSettings,
    LatentSet, LatentSource, LoopSettings, Observer, ScoreSettings, Student, SupernetSettings, TEMPORAL_PREFIX,
    TextFeatures, TrainError, TrainSet, TrainedText, TrainingContext, TrainingRecipe, VideoModel, finetune,
    train_backbone, train_student, train_supernet,
};

pub struct World {
    pub backbone: Backbone,
    pub space: SearchSpace,
    pub parameters: Parameters,
    pub data: LatentSet,
    pub text: TextFeatures,
}

impl World {
    pub fn new() -> Self {
        let config = r#"{"in_channels": 3, "out_channels": 3, "block_out_channels": [8, 16], "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "attention_head_dim": 2,
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 8, "norm_num_groups": 4}"#;
        let backbone = Backbone::new(UNetConfig::from_json(config).unwrap());
        let choices = ["none", "conv1d(k=3)", "conv1d(k=5)", "attn1d(heads=1)", "attn3d(heads=2)"];
        let rules = vec![SpaceRule {
            slots: vec!["down.1.*".into(), "mid.0.r".into()],
            choices: choices.map(String::from).to_vec(),
        }];
        let space = SearchSpace::new(&backbone.slots(), &SpaceFile { rules }).unwrap();
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

    pub fn genotype(&self) -> Genotype {
        self.space.genotype(&self.space.covering()[3])
    }

    /// What its trainers share, without held-out clips.
    pub fn context<'a>(&'a self, run: &'a LoopSettings, observer: &'a mut dyn Observer) -> TrainingContext<'a> {
        let Self { backbone, data, text, .. } = self;
        TrainingContext { backbone, text, data, held_out: None, seed: 5, run, observer }
    }

    /// Fine-tunes all weights of one architecture; returns the averages.
    pub fn finetune(
        &self,
        data: &dyn LatentSource,
        settings: &FinetuneSettings,
        held_out: Option<&HeldOut>,
        run: &LoopSettings,
        observer: &mut dyn Observer,
    ) -> Result<Parameters, TrainError> {
        let mut set = TrainSet::new(self.parameters.clone(), |_| true, &settings.training.optimizer, 0.9);
        let context = TrainingContext { data, held_out, ..self.context(run, observer) };
        finetune(context, &self.genotype(), &mut set, settings)?;
        Ok(set.averaged())
    }

    /// Trains the supernet's temporal weights; returns the averages.
    pub fn supernet(
        &self,
        settings: &SupernetSettings,
        run: &LoopSettings,
        observer: &mut dyn Observer,
    ) -> Result<Parameters, TrainError> {
        let trains = |name: &str| name.starts_with(TEMPORAL_PREFIX);
        let mut set = TrainSet::new(self.parameters.clone(), trains, &settings.training.optimizer, 0.9);
        self.train_supernet(&mut set, settings, run, observer)?;
        Ok(set.averaged())
    }

    /// Trains a set as the supernet.
    pub fn train_supernet(
        &self,
        set: &mut TrainSet,
        settings: &SupernetSettings,
        run: &LoopSettings,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let held_out = self.held_out();
        let context = TrainingContext { held_out: Some(&held_out), ..self.context(run, observer) };
        train_supernet(context, &self.space, &self.genotype(), set, settings)
    }

    /// Trains a student; returns its averages.
    pub fn student(
        &self,
        settings: &DistillSettings,
        run: &LoopSettings,
        observer: &mut dyn Observer,
    ) -> Result<Parameters, TrainError> {
        let genotype = self.genotype();
        let batch = settings.training.batch;
        let shape = DenoiserShape { batch, frames: 3, height: 8, width: 8, tokens: 4 };
        let one = DenoiserShape { batch: 1, ..shape };
        let teacher = self.parameters.extract(&self.backbone.denoiser(&genotype, one)?)?;
        let mut student = Student::new(&teacher, &self.backbone, &genotype, shape, settings, 5)?;
        train_student(self.context(run, observer), &genotype, &mut student, settings)?;
        Ok(student.generator.averaged())
    }

    /// Trains an image backbone and a text encoder from nothing; returns the averages.
    pub fn image_backbone(
        &self,
        recipe: &TrainingRecipe,
        run: &LoopSettings,
        observer: &mut dyn Observer,
    ) -> Result<Parameters, TrainError> {
        let config = r#"{"architectures": ["CLIPTextModel"], "hidden_act": "quick_gelu", "hidden_size": 8,
            "intermediate_size": 16, "max_position_embeddings": 6, "model_type": "clip_text_model",
            "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 10}"#;
        let encoder = TextEncoder::new(TextEncoderConfig::from_json(config).unwrap());
        let ids = vec![vec![1, 2, 3, 9], vec![1, 9, 0, 0]];
        let text = TrainedText { encoder, captions: CaptionTokens { length: 4, ids, ends: vec![3, 1] } };
        let shape = DenoiserShape { batch: 1, frames: 1, height: 8, width: 8, tokens: 4 };
        let (unet, encoder) = (self.backbone.denoiser(&Genotype::none(), shape)?, text.encoder.graph(1, 4)?);
        let mut parameters = Parameters::new(self.parameters.device());
        parameters.init(unet.weights().into_iter().chain(encoder.weights()), 3);
        let mut set = TrainSet::new(parameters, |_| true, &recipe.optimizer, recipe.ema_decay);
        let Self { backbone, data, .. } = self;
        let context = TrainingContext { backbone, text: &text, data, held_out: None, seed: 5, run, observer };
        train_backbone(context, &mut set, recipe)?;
        Ok(set.averaged())
    }

    /// Held-out clips at times of a distribution, in batches of half of them.
    pub fn held_out_by(&self, flow: FlowSettings, clips: usize) -> HeldOut {
        let settings = HeldOutSettings { clips, batch: clips / 2, flow, seed: 5 };
        HeldOut::new(&self.data, &self.backbone.parameterisation, &self.text, &settings).unwrap()
    }

    /// What clips are sampled from: one architecture before training.
    pub fn model<'a>(&'a self, genotype: &'a Genotype) -> VideoModel<'a> {
        let Self { backbone, parameters, text, .. } = self;
        VideoModel { backbone, genotype, parameters, text }
    }

    /// Held-out clips.
    pub fn held_out(&self) -> HeldOut {
        self.held_out_by(FlowSettings::default(), 4)
    }
}

/// Settings with a change.
pub fn with<S: Clone>(settings: &S, change: impl FnOnce(&mut S)) -> S {
    let mut settings = settings.clone();
    change(&mut settings);
    settings
}

/// Settings of the tiny runs.
pub fn finetune_settings() -> FinetuneSettings {
    with(&FinetuneSettings::default(), |settings| settings.training.batch = 2)
}

/// The same for the image backbone.
pub fn backbone_recipe() -> TrainingRecipe {
    TrainingRecipe { batch: 3, accumulate: 2, ..TrainingRecipe::backbone() }
}

/// The same for the supernet: its teacher is compared early.
pub fn supernet_settings() -> SupernetSettings {
    let settings = SupernetSettings { warmup_steps: 1, teacher_every: 3, ..SupernetSettings::default() };
    with(&settings, |settings| settings.training.batch = 2)
}

/// The same for adversarial distillation.
pub fn adversarial_settings() -> DistillSettings {
    let settings = DistillSettings { head_warmup_steps: 2, ..DistillSettings::default() };
    with(&settings, |settings| settings.training.batch = 2)
}

/// The same for distribution matching, with a discriminator too.
pub fn score_settings() -> DistillSettings {
    DistillSettings {
        method: DistillMethod::Dmd2,
        head_updates: 1,
        scores: ScoreSettings { updates: 2, guidance: 2.0, adversarial: 0.1, ..ScoreSettings::default() },
        ..adversarial_settings()
    }
}

pub fn bits(parameters: &Parameters) -> BTreeMap<String, Vec<u32>> {
    let bits = |name: &str| parameters.values(name).unwrap().iter().map(|x| x.to_bits()).collect();
    parameters.names().map(|name| (name.to_string(), bits(name))).collect()
}
