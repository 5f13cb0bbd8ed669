//! A tiny model, a space over it and clips of noise.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::collections::BTreeMap;

use tnas_graph::Weights;
use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_network::{Parameters, merged_weights, normal_vec, open_device, stream};
use tnas_space::{Genotype, SearchSpace, SpaceFile, SpaceRule};
use tnas_training::{
    AdversarialSettings, DistillMethod, FinetuneSettings, FlowSettings, HeldOut, LatentSet, LatentSource,
    LoopSettings, Observer, ScoreSettings, Student, SupernetSettings, TEMPORAL_PREFIX, TextFeatures, TrainError,
    TrainSet, finetune, train_student, train_supernet,
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

    /// Fine-tunes all weights of one architecture; returns the averages.
    pub fn finetune(
        &self,
        data: &dyn LatentSource,
        settings: &FinetuneSettings,
        probe: Option<&HeldOut>,
        run: &LoopSettings,
        observer: &mut dyn Observer,
    ) -> Result<Parameters, TrainError> {
        let mut set = TrainSet::new(self.parameters.clone(), |_| true, &settings.optimizer, 0.9);
        let genotype = self.genotype();
        finetune(&self.backbone, &genotype, &mut set, data, &self.text, probe, settings, 5, run, observer)?;
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
        let mut set = TrainSet::new(self.parameters.clone(), trains, &settings.optimizer, 0.9);
        let (teacher, probe) = (self.genotype(), self.probe());
        let Self { backbone, space, data, text, .. } = self;
        train_supernet(backbone, space, &teacher, &mut set, data, text, &probe, settings, 5, run, observer)?;
        Ok(set.averaged())
    }

    /// Trains a student; returns its averages.
    pub fn adversarial(
        &self,
        settings: &AdversarialSettings,
        run: &LoopSettings,
        observer: &mut dyn Observer,
    ) -> Result<Parameters, TrainError> {
        let Self { backbone, data, text, .. } = self;
        let genotype = self.genotype();
        let shape = DenoiserShape { batch: settings.batch, frames: 3, height: 8, width: 8, tokens: 4 };
        let one = DenoiserShape { batch: 1, ..shape };
        let teacher = self.parameters.extract(&backbone.denoiser(&genotype, one)?)?;
        let mut student = Student::new(&teacher, backbone, &genotype, shape, settings, 5)?;
        train_student(backbone, &genotype, &mut student, data, text, settings, 5, run, observer)?;
        Ok(student.generator.averaged())
    }

    /// Held-out clips.
    pub fn probe(&self) -> HeldOut {
        let flow = FlowSettings::default();
        HeldOut::new(&self.data, &self.backbone.parameterisation, &self.text, 4, 2, &flow, 5).unwrap()
    }
}

/// Settings of the tiny runs.
pub fn finetune_settings() -> FinetuneSettings {
    FinetuneSettings { batch: 2, ..FinetuneSettings::default() }
}

/// The same for the supernet: its teacher is asked early.
pub fn supernet_settings() -> SupernetSettings {
    SupernetSettings { batch: 2, warmup_steps: 1, teacher_every: 3, ..SupernetSettings::default() }
}

/// The same for the adversarial stage.
pub fn adversarial_settings() -> AdversarialSettings {
    AdversarialSettings { batch: 2, head_warmup_steps: 2, ..AdversarialSettings::default() }
}

/// The same for distillation by scores, with heads beside them.
pub fn score_settings() -> AdversarialSettings {
    AdversarialSettings {
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
