use serde::{Deserialize, Serialize};
use tnas_models::{Backbone, DenoiserShape};
use tnas_network::stream;
use tnas_space::Genotype;

use crate::{
    AdamWSettings, Checkpointing, Compute, FlowSettings, HeldOut, LatentSource, LoopSettings, Observer,
    StabilitySettings, StepOutcome, TextFeatures, TrainError, TrainSet, Turn,
    defaults::{is_nothing, is_one, is_zero},
    denoise::on,
    flow_loss::{Cut, FlowBatch, HalfGraphs, part_loss},
    learning_rate,
    loader::beside,
    stills::Stills,
    train_loop,
};

/// How one architecture, taken out of the supernet, is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FinetuneSettings {
    /// Optimiser steps.
    pub steps: u64,
    /// Clips a step.
    pub batch: usize,
    /// Learning rate of the image weights beside the temporal ones; 0 freezes them.
    pub spatial_rate: f64,
    /// Rank of adapters on the image weights, which train at that rate in their stead; 0 is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub lora_rank: usize,
    /// Decay of the average of weights.
    pub ema_decay: f64,
    /// Optimiser.
    pub optimizer: AdamWSettings,
    /// Times.
    pub flow: FlowSettings,
    /// Fraction of the steps that train on single frames of the clips.
    #[serde(skip_serializing_if = "is_nothing")]
    pub images: f64,
    /// Fraction of the clips whose first frame is given, without noise: what `generate --image` asks for.
    #[serde(skip_serializing_if = "is_nothing")]
    pub first_frame: f64,
    /// Micro-batches of `batch` whose gradients add up to one step's.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Devices that share each micro-batch's clips, a copy of the weights on each; the command's own where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// What the network computes in, `"f32"`, `"bf16"` or `"f16"`, over weights in f32.
    #[serde(skip_serializing_if = "Compute::is_f32")]
    pub compute: Compute,
    /// What a step keeps for its backward pass, `"off"` (all) or `"blocks"`.
    #[serde(skip_serializing_if = "Checkpointing::is_off")]
    pub checkpointing: Checkpointing,
    /// What happens to bad steps.
    #[serde(skip_serializing_if = "StabilitySettings::is_default")]
    pub stability: StabilitySettings,
}

impl Default for FinetuneSettings {
    fn default() -> Self {
        Self {
            steps: 400,
            batch: 4,
            spatial_rate: 0.2,
            lora_rank: 0,
            ema_decay: 0.99,
            optimizer: AdamWSettings { learning_rate: 1e-3, ..AdamWSettings::default() },
            flow: FlowSettings::default(),
            images: 0.0,
            first_frame: 0.0,
            accumulate: 1,
            devices: Vec::new(),
            compute: Compute::F32,
            checkpointing: Checkpointing::Off,
            stability: StabilitySettings::default(),
        }
    }
}

/// Trains one architecture by rectified flow. `probe` is what early stopping looks at; without it none happens.
#[allow(clippy::too_many_arguments)]
pub fn finetune(
    backbone: &Backbone,
    genotype: &Genotype,
    set: &mut TrainSet,
    data: &dyn LatentSource,
    text: &TextFeatures,
    probe: Option<&HeldOut>,
    settings: &FinetuneSettings,
    seed: u64,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    data.check(text.context.len())?;
    set.checkpointing = settings.checkpointing;
    set.spread(&settings.devices, settings.compute)?;
    let [_, frames, height, width] = data.shape();
    let cut = Cut::new(settings.batch, settings.accumulate, &settings.devices, frames, settings.images);
    let graphs = HalfGraphs::new(&cut, |batch, frames| {
        backbone.denoiser(genotype, DenoiserShape { batch, frames, height, width, tokens: text.tokens })
    })?;
    let make = |step| {
        let mut rng = stream(seed, "finetune", step);
        let batch = FlowBatch::draw(data, &backbone.parameterisation, cut.rows, &settings.flow, &mut rng)?;
        let batch = batch.given_first_frames(settings.first_frame, || stream(seed, "finetune/first frame", step));
        Ok(Stills::of_step(settings.images, seed, "finetune", step).take(batch))
    };
    let train = |batch: FlowBatch, set: &mut TrainSet, turn: &mut Turn| {
        let step = turn.step;
        let (value, gradients) = set.gradients_of(batch.groups(cut.groups), |leaves, half| {
            let v = half.velocity(graphs.of(&half), leaves, text, leaves.device())?;
            let target = on(half.target(), &half.shape, leaves.device());
            Ok(part_loss(half.loss(v, target, leaves.device()), half.share(cut.rows)))
        })?;
        let rate =
            learning_rate(settings.optimizer.learning_rate, step, run.steps, settings.optimizer.warmup_steps)
                * turn.rate;
        let report =
            set.apply_if(gradients, rate, step, |norm| turn.accepts(&[("loss", value), ("gradient_norm", norm)]));
        let figures = vec![("loss", value), ("gradient_norm", report.gradient_norm), ("learning_rate", rate)];
        let held_out = match probe.filter(|_| settings.stability.held_out_due(step)) {
            None => None,
            Some(probe) => {
                let loss = probe.loss(&set.averaged(), |shape| Ok(backbone.denoiser(genotype, shape)?))?;
                Some(loss.mean)
            }
        };
        Ok(StepOutcome { held_out, ..StepOutcome::new(figures, report.good()) })
    };
    beside(data.loading(), run, observer, make, |loader, observer| {
        train_loop(run, &settings.stability, set, observer, |set, turn| train(loader.take(turn.step)?, set, turn))
    })
}
