use serde::{Deserialize, Serialize};
use tnas_network::stream;
use tnas_space::{Backbone, DenoiserShape, Genotype};

use crate::{
    AdamWSettings, Checkpointing, FlowSettings, HeldOut, LatentSource, LoopSettings, Observer, StabilitySettings,
    StepOutcome, TextFeatures, TrainError, TrainSet, Turn,
    denoise::on,
    flow_loss::{FlowBatch, HalfGraphs, mean_squared, part_loss},
    learning_rate,
    loader::beside,
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
    /// Decay of the average of weights.
    pub ema_decay: f64,
    /// Optimiser.
    pub optimizer: AdamWSettings,
    /// Times.
    pub flow: FlowSettings,
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
            ema_decay: 0.99,
            optimizer: AdamWSettings { learning_rate: 1e-3, ..AdamWSettings::default() },
            flow: FlowSettings::default(),
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
    let [_, frames, height, width] = data.shape();
    let shape = DenoiserShape { batch: settings.batch, frames, height, width, tokens: text.tokens };
    let graphs =
        HalfGraphs::new(settings.batch, |batch| backbone.denoiser(genotype, DenoiserShape { batch, ..shape }))?;
    let make = |step| {
        let mut rng = stream(seed, "finetune", step);
        FlowBatch::draw(data, &backbone.parameterisation, settings.batch, &settings.flow, &mut rng)
    };
    let train = |batch: FlowBatch, set: &mut TrainSet, turn: &mut Turn| {
        let step = turn.step;
        let (value, gradients) = set.gradients(batch.halves(), |leaves, half| {
            let v = half.velocity(graphs.of(&half), leaves, text, leaves.device())?;
            Ok(part_loss(
                mean_squared(v, on(half.target(), &half.shape, leaves.device())),
                half.share(settings.batch),
            ))
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
        Ok(StepOutcome { held_out, ..StepOutcome::new(figures, report.moved) })
    };
    beside(data.loading(), run, observer, make, |loader, observer| {
        train_loop(run, &settings.stability, set, observer, |set, turn| train(loader.take(turn.step)?, set, turn))
    })
}
