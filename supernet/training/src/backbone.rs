use rand::RngExt;
use tnas_models::{Backbone, DenoiserShape};
use tnas_network::{Leaves, Value, stream};
use tnas_space::Genotype;

use crate::{
    LatentSet, LatentSource, TrainError, TrainSet, TrainedText, TrainingContext, TrainingObjective, TrainingRecipe,
    Update, WeightedLoss,
    flow_batch::FlowBatch,
    micro_batches::{HalfGraphs, MicroBatches},
    objective::{Schedule, UpdateFigures, optimize},
};

/// Trains UNet and text encoder together, as a rectified flow, on single frames drawn from the clips.
pub fn train_backbone(
    context: TrainingContext<TrainedText>,
    set: &mut TrainSet,
    recipe: &TrainingRecipe,
) -> Result<(), TrainError> {
    let TrainingContext { backbone, text, data, seed, run, observer, .. } = context;
    data.check(text.captions.ids.len())?;
    set.configure(recipe)?;
    let micro = MicroBatches::new(recipe, 1);
    let [_, _, height, width] = data.shape();
    let tokens = text.captions.length;
    let objective = SingleFrames {
        unets: micro.graphs(|batch, frames| {
            backbone.denoiser(&Genotype::none(), DenoiserShape { batch, frames, height, width, tokens })
        })?,
        encoders: micro.graphs(|batch, _| text.encoder.graph(batch, tokens))?,
        micro,
        backbone,
        text,
        data,
        recipe,
        seed,
        steps: run.steps,
    };
    optimize(&objective, set, data.loading(), &recipe.stability, run, observer)
}

/// The flow of single frames under captions that are encoded anew in each step.
struct SingleFrames<'a> {
    unets: HalfGraphs,
    encoders: HalfGraphs,
    micro: MicroBatches,
    backbone: &'a Backbone,
    text: &'a TrainedText,
    data: &'a dyn LatentSource,
    recipe: &'a TrainingRecipe,
    seed: u64,
    steps: u64,
}

impl TrainingObjective for SingleFrames<'_> {
    type Networks = TrainSet;
    type Batch = FlowBatch;
    type Part = FlowBatch;

    fn updates(&self, step: u64) -> Result<Vec<Update<Self>>, TrainError> {
        let (data, flow) = (self.data, &self.recipe.flow);
        let [channels, frames, height, width] = data.shape();
        let mut rng = stream(self.seed, "backbone", step);
        let clips = self.micro.clips;
        let picks: Vec<(usize, usize)> =
            (0..clips).map(|_| (rng.random_range(0..data.captions().len()), rng.random_range(0..frames))).collect();
        let frames = LatentSet {
            shape: [channels, 1, height, width],
            clips: picks.iter().map(|&(clip, frame)| data.frame(clip, frame)).collect::<Result<_, _>>()?,
            captions: picks.iter().map(|&(clip, _)| data.captions()[clip]).collect(),
        };
        let times = (0..clips).map(|_| flow.draw(frames.shape, &mut rng)).collect();
        let all: Vec<usize> = (0..clips).collect();
        let batch = FlowBatch::of(&frames, &self.backbone.parameterisation, &all, times, &mut rng)?;
        let mut batch = batch.weighted(flow);
        batch.drop_captions(flow, &mut rng);
        let schedule = Schedule { optimizer: self.recipe.optimizer, index: step, count: self.steps };
        Ok(vec![Update { network: (), schedule, figures: UpdateFigures::PLAIN, batch }])
    }

    fn micro_batches(&self, _: u64, _: &mut TrainSet, batch: FlowBatch) -> Result<Vec<Vec<FlowBatch>>, TrainError> {
        Ok(batch.micro_batches(self.micro.count))
    }

    fn loss(&self, _: &TrainSet, leaves: &Leaves, half: FlowBatch) -> Result<WeightedLoss, TrainError> {
        let device = leaves.device();
        let encoder = self.encoders.of(half.shape);
        let (context, _) = self.text.encode(encoder, leaves, &half.captions, device)?;
        let v = half.velocity_with(self.unets.of(half.shape), leaves, context, device)?;
        let target = Value::constant(half.target(), &half.shape, device);
        Ok(WeightedLoss::new(half.loss(v, target, device), half.fraction_of(self.micro.clips)))
    }
}
