use tnas_models::{DenoiserShape, Discriminator};
use tnas_network::{Compute, Leaves, Stream, stream};
use tnas_space::Genotype;

use crate::{
    AdamWSettings, Checkpointing, DistillMethod, DistillSettings, Student, StudentNetwork, TrainError,
    TrainingContext, TrainingObjective, TrainingRecipe, Update, WeightedLoss,
    distillation::Distillation,
    image_step::ImageStep,
    micro_batches::MicroBatches,
    objective::{Schedule, UpdateFigures, optimize},
    student_batch::StudentBatch,
};

/// Trains a few-step student. A step is `head_updates` updates of the discriminator, `scores.updates` of the student's score, as far
/// as the method has them, and one of the student, once the discriminator is warm.
pub fn train_student(
    context: TrainingContext,
    genotype: &Genotype,
    student: &mut Student,
    settings: &DistillSettings,
) -> Result<(), TrainError> {
    context.check()?;
    configure(student, settings)?;
    let TrainingContext { backbone, text, data, seed, run, observer, .. } = context;
    let [_, frames, height, width] = data.shape();
    let shape = |batch, frames| DenoiserShape { batch, frames, height, width, tokens: text.tokens };
    let micro = MicroBatches::new(&settings.training, frames);
    let discriminator = Discriminator { backbone: backbone.clone(), genotype: genotype.clone() };
    let stage = Distillation {
        denoisers: micro.graphs(|batch, frames| backbone.denoiser(genotype, shape(batch, frames)))?,
        discriminators: micro.graphs(|batch, frames| discriminator.graph(shape(batch, frames)))?,
        micro,
        parameterisation: &backbone.parameterisation,
        data,
        text,
        settings,
    };
    let objective = FewSteps { stage, seed, steps: run.steps };
    optimize(&objective, student, data.loading(), &settings.training.stability, run, observer)
}

fn configure(student: &mut Student, settings: &DistillSettings) -> Result<(), TrainError> {
    let Student { generator, discriminator, score, .. } = student;
    let recipe = &settings.training;
    // The penalty divides a small difference of logits by a smaller number: in half precision only its rounding would be left.
    let compute = if settings.r1 > 0.0 { Compute::F32 } else { recipe.compute };
    discriminator.configure(&TrainingRecipe { compute, checkpointing: Checkpointing::Off, ..recipe.clone() })?;
    generator.configure(recipe)?;
    score.configure(recipe)
}

/// The updates of a student's step.
struct FewSteps<'a> {
    stage: Distillation<'a>,
    seed: u64,
    steps: u64,
}

/// Heads that win have next to no gradient, from which any other is a jump: only what is not finite is bad.
const DISCRIMINATOR: UpdateFigures = UpdateFigures {
    loss: "loss_heads",
    gradient_norm: "gradient_norm_heads",
    learning_rate: None,
    loss_explodes: false,
    norm_explodes: false,
};

const SCORE: UpdateFigures = UpdateFigures {
    loss: "loss_score",
    gradient_norm: "gradient_norm_score",
    learning_rate: None,
    loss_explodes: true,
    norm_explodes: true,
};

/// The loss of a minimax game fluctuates around 0: only its gradient norm can explode.
const STUDENT: UpdateFigures = UpdateFigures {
    loss: "loss_student",
    gradient_norm: "gradient_norm",
    learning_rate: None,
    loss_explodes: false,
    norm_explodes: true,
};

impl TrainingObjective for FewSteps<'_> {
    type Networks = Student;
    type Batch = (StudentNetwork, StudentBatch);
    type Part = (StudentNetwork, StudentBatch);

    fn updates(&self, step: u64) -> Result<Vec<Update<Self>>, TrainError> {
        let settings = self.stage.settings;
        let method = settings.method.name();
        let mut rng = stream(self.seed, method, step);
        let mut images = ImageStep::draw(settings.training.images, self.seed, method, step);
        let mut updates = Vec::new();
        let count = settings.discriminator_updates();
        for index in step * count..(step + 1) * count {
            let schedule = Schedule { optimizer: settings.heads, index, count: self.steps * count };
            let batch = self.stage.draw_data(&mut images, &mut rng)?;
            updates.push(update(StudentNetwork::Discriminator, schedule, DISCRIMINATOR, batch));
        }
        let count = settings.score_updates();
        for index in step * count..(step + 1) * count {
            let schedule = Schedule { optimizer: settings.scores.optimizer, index, count: self.steps * count };
            updates.push(update(StudentNetwork::Score, schedule, SCORE, self.draw(&mut images, &mut rng)?));
        }
        if let Some(index) = step.checked_sub(settings.warmup_steps()) {
            let optimizer: AdamWSettings = settings.training.optimizer;
            let schedule = Schedule { optimizer, index, count: self.steps };
            updates.push(update(StudentNetwork::Generator, schedule, STUDENT, self.draw(&mut images, &mut rng)?));
        }
        Ok(updates)
    }

    fn micro_batches(
        &self,
        _: u64,
        _: &mut Student,
        (network, batch): (StudentNetwork, StudentBatch),
    ) -> Result<Vec<Vec<(StudentNetwork, StudentBatch)>>, TrainError> {
        let micro_batches = batch.micro_batches(self.stage.micro.count).into_iter();
        Ok(micro_batches.map(|halves| halves.into_iter().map(|half| (network, half)).collect()).collect())
    }

    fn loss(
        &self,
        networks: &Student,
        leaves: &Leaves,
        (network, half): (StudentNetwork, StudentBatch),
    ) -> Result<WeightedLoss, TrainError> {
        match (network, self.stage.settings.method) {
            (StudentNetwork::Discriminator, _) => self.stage.discriminator_loss(networks, leaves, half),
            (StudentNetwork::Score, _) => self.stage.score_loss(networks, leaves, half),
            (StudentNetwork::Generator, DistillMethod::Adversarial) => {
                self.stage.generator_loss(networks, leaves, half)
            }
            (StudentNetwork::Generator, DistillMethod::Dmd2) => self.stage.matching_loss(networks, leaves, half),
        }
    }

    /// Zeros for the student while the discriminator warms up.
    fn figures(&self, step: u64, _: &Student) -> Vec<(&'static str, f64)> {
        let waits = step < self.stage.settings.warmup_steps();
        if waits { vec![(STUDENT.loss, 0.0), (STUDENT.gradient_norm, 0.0)] } else { Vec::new() }
    }
}

impl FewSteps<'_> {
    /// A batch of the method for the student or its score.
    fn draw(&self, images: &mut ImageStep, rng: &mut Stream) -> Result<StudentBatch, TrainError> {
        match self.stage.settings.method {
            DistillMethod::Adversarial => self.stage.draw_data(images, rng),
            DistillMethod::Dmd2 => Ok(self.stage.draw_noise(images, rng)),
        }
    }
}

fn update<'a>(
    network: StudentNetwork,
    schedule: Schedule,
    figures: UpdateFigures,
    batch: StudentBatch,
) -> Update<FewSteps<'a>> {
    Update { network, schedule, figures, batch: (network, batch) }
}
