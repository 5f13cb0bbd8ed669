use std::path::Path;

use tnas_models::{Backbone, DenoiserShape, Discriminator, HEAD_PREFIX};
use tnas_network::Parameters;
use tnas_space::Genotype;

use crate::{
    Checkpoint, DistillMethod, DistillSettings, LoopRecord, Networks, TrainError, TrainSet,
    checkpoint::{load_sets, save_sets},
};

/// The networks of distillation: the student, and those that it is trained with.
#[derive(Clone)]
pub struct Student {
    /// The student.
    pub generator: TrainSet,
    /// The teacher's encoder, frozen, with heads that train.
    pub discriminator: TrainSet,
    /// The network that learns the score of the student's clips; nothing of it trains where the method has none.
    pub score: TrainSet,
    /// The trained video model that all start from.
    pub teacher: Parameters,
}

/// Which of them an update trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StudentNetwork {
    /// The student.
    Generator,
    /// The discriminator's heads.
    Discriminator,
    /// The student's score.
    Score,
}

impl Student {
    /// Student and score start from the trained video model; the discriminator's heads are drawn.
    pub fn new(
        teacher: &Parameters,
        backbone: &Backbone,
        genotype: &Genotype,
        shape: DenoiserShape,
        settings: &DistillSettings,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let discriminator = Discriminator { backbone: backbone.clone(), genotype: genotype.clone() };
        let graph = discriminator.graph(shape)?;
        let mut weights = Parameters::new(teacher.device());
        for weight in graph.weights() {
            if let Some(found) = teacher.get(&weight.name) {
                weights.insert(&weight.name, found.clone());
            }
        }
        weights.init(graph.weights(), seed);
        let heads = settings.has_discriminator();
        let heads = TrainSet::new(weights, |name| heads && name.starts_with(HEAD_PREFIX), &settings.heads, 0.0);
        let recipe = &settings.training;
        let generator = TrainSet::new(teacher.clone(), |_| true, &recipe.optimizer, recipe.ema_decay);
        let by_scores = settings.method == DistillMethod::Dmd2;
        let score = TrainSet::new(teacher.clone(), |_| by_scores, &settings.scores.optimizer, 0.0);
        Ok(Self { generator, discriminator: heads, score, teacher: teacher.clone() })
    }
}

impl Checkpoint for Student {
    fn save(&self, path: &Path, record: &LoopRecord) -> Result<(), TrainError> {
        let Self { generator, discriminator, score, .. } = self;
        save_sets(path, &[("generator/", generator), ("heads/", discriminator), ("score/", score)], record)
    }

    fn load(&mut self, path: &Path) -> Result<LoopRecord, TrainError> {
        let Self { generator, discriminator, score, .. } = self;
        load_sets(path, &mut [("generator/", generator), ("heads/", discriminator), ("score/", score)])
    }

    fn weights(&self) -> Parameters {
        self.generator.averaged()
    }
}

impl Networks for Student {
    type Name = StudentNetwork;

    fn network(&self, name: StudentNetwork) -> &TrainSet {
        match name {
            StudentNetwork::Generator => &self.generator,
            StudentNetwork::Discriminator => &self.discriminator,
            StudentNetwork::Score => &self.score,
        }
    }

    fn network_mut(&mut self, name: StudentNetwork) -> &mut TrainSet {
        match name {
            StudentNetwork::Generator => &mut self.generator,
            StudentNetwork::Discriminator => &mut self.discriminator,
            StudentNetwork::Score => &mut self.score,
        }
    }
}
