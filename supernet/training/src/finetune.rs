use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use tnas_models::{Backbone, DenoiserShape};
use tnas_network::{Leaves, Value, stream};
use tnas_space::Genotype;

use crate::{
    HeldOut, LatentSource, TextFeatures, TrainError, TrainSet, TrainingContext, TrainingObjective, TrainingRecipe,
    Update, WeightedLoss,
    defaults::{is_nothing, is_zero},
    flow_batch::FlowBatch,
    image_step::ImageStep,
    micro_batches::{HalfGraphs, MicroBatches},
    objective::{Schedule, UpdateFigures, optimize},
};

/// How one architecture, taken out of the supernet, is fine-tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FinetuneSettings {
    /// Learning rate of the image weights relative to that of the temporal ones; 0 freezes them.
    pub spatial_rate: f64,
    /// Rank of low-rank adapters that train instead of the image weights, at their rate; 0 trains the weights themselves.
    #[serde(skip_serializing_if = "is_zero")]
    pub lora_rank: usize,
    /// Fraction of the clips whose first frame is given without noise, which `generate --image` needs.
    #[serde(skip_serializing_if = "is_nothing")]
    pub first_frame: f64,
    /// Steps, batch, optimiser and the rest.
    #[serde(deserialize_with = "recipe")]
    pub training: TrainingRecipe,
}

fn recipe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TrainingRecipe, D::Error> {
    TrainingRecipe::finetune().overridden(deserializer)
}

impl Default for FinetuneSettings {
    fn default() -> Self {
        Self { spatial_rate: 0.2, lora_rank: 0, first_frame: 0.0, training: TrainingRecipe::finetune() }
    }
}

/// Trains one architecture as a rectified flow.
pub fn finetune(
    context: TrainingContext,
    genotype: &Genotype,
    set: &mut TrainSet,
    settings: &FinetuneSettings,
) -> Result<(), TrainError> {
    context.check()?;
    let TrainingContext { backbone, text, data, held_out, seed, run, observer } = context;
    let recipe = &settings.training;
    set.configure(recipe)?;
    let [_, frames, height, width] = data.shape();
    let micro = MicroBatches::new(recipe, frames);
    let graphs = micro.graphs(|batch, frames| {
        backbone.denoiser(genotype, DenoiserShape { batch, frames, height, width, tokens: text.tokens })
    })?;
    let steps = run.steps;
    let objective =
        OneArchitecture { graphs, micro, backbone, genotype, text, data, held_out, settings, seed, steps };
    optimize(&objective, set, data.loading(), &recipe.stability, run, observer)
}

/// The flow of clips, by one architecture.
struct OneArchitecture<'a> {
    graphs: HalfGraphs,
    micro: MicroBatches,
    backbone: &'a Backbone,
    genotype: &'a Genotype,
    text: &'a TextFeatures,
    data: &'a dyn LatentSource,
    held_out: Option<&'a HeldOut>,
    settings: &'a FinetuneSettings,
    seed: u64,
    steps: u64,
}

impl TrainingObjective for OneArchitecture<'_> {
    type Networks = TrainSet;
    type Batch = FlowBatch;
    type Part = FlowBatch;

    fn updates(&self, step: u64) -> Result<Vec<Update<Self>>, TrainError> {
        let FinetuneSettings { first_frame, training: recipe, .. } = self.settings;
        let (seed, parameterisation) = (self.seed, &self.backbone.parameterisation);
        let mut rng = stream(seed, "finetune", step);
        let batch = FlowBatch::draw(self.data, parameterisation, self.micro.clips, &recipe.flow, &mut rng)?;
        let batch = batch.given_first_frames(*first_frame, || stream(seed, "finetune/first frame", step));
        let batch = ImageStep::draw(recipe.images, seed, "finetune", step).apply(batch);
        let schedule = Schedule { optimizer: recipe.optimizer, index: step, count: self.steps };
        Ok(vec![Update { network: (), schedule, figures: UpdateFigures::PLAIN, batch }])
    }

    fn micro_batches(&self, _: u64, _: &mut TrainSet, batch: FlowBatch) -> Result<Vec<Vec<FlowBatch>>, TrainError> {
        Ok(batch.micro_batches(self.micro.count))
    }

    fn loss(&self, _: &TrainSet, leaves: &Leaves, half: FlowBatch) -> Result<WeightedLoss, TrainError> {
        let device = leaves.device();
        let v = half.velocity(self.graphs.of(half.shape), leaves, self.text, device)?;
        let target = Value::constant(half.target(), &half.shape, device);
        Ok(WeightedLoss::new(half.loss(v, target, device), half.fraction_of(self.micro.clips)))
    }

    fn held_out_loss(&self, set: &TrainSet) -> Result<Option<f64>, TrainError> {
        let Some(held_out) = self.held_out else { return Ok(None) };
        let loss = held_out.loss(&set.averaged(), |shape| Ok(self.backbone.denoiser(self.genotype, shape)?))?;
        Ok(Some(loss.mean))
    }
}
