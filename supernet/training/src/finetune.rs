use serde::{Deserialize, Serialize};
use tnas_network::stream;
use tnas_space::{Backbone, DenoiserShape, Genotype};

use crate::{
    AdamWSettings, FlowSettings, LatentSource, LoopSettings, Observer, TextFeatures, TrainError, TrainSet,
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
        }
    }
}

/// Trains one architecture by rectified flow.
#[allow(clippy::too_many_arguments)]
pub fn finetune(
    backbone: &Backbone,
    genotype: &Genotype,
    set: &mut TrainSet,
    data: &dyn LatentSource,
    text: &TextFeatures,
    settings: &FinetuneSettings,
    seed: u64,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    data.check(text.context.len())?;
    let [_, frames, height, width] = data.shape();
    let shape = DenoiserShape { batch: settings.batch, frames, height, width, tokens: text.tokens };
    let graphs =
        HalfGraphs::new(settings.batch, |batch| backbone.denoiser(genotype, DenoiserShape { batch, ..shape }))?;
    let make = |step| {
        let mut rng = stream(seed, "finetune", step);
        FlowBatch::draw(data, &backbone.parameterisation, settings.batch, &settings.flow, &mut rng)
    };
    let train = |batch: FlowBatch, set: &mut TrainSet, step| {
        let (value, gradients) = set.gradients(batch.halves(), |leaves, half| {
            let v = half.velocity(graphs.of(&half), leaves, text, leaves.device())?;
            Ok(part_loss(
                mean_squared(v, on(half.target(), &half.shape, leaves.device())),
                half.share(settings.batch),
            ))
        })?;
        let rate =
            learning_rate(settings.optimizer.learning_rate, step, run.steps, settings.optimizer.warmup_steps);
        let report = set.apply(gradients, rate, step);
        let figures = vec![("loss", value), ("gradient_norm", report.gradient_norm), ("learning_rate", rate)];
        Ok((figures, report.moved && value.is_finite()))
    };
    beside(data.loading(), run, observer, make, |loader, observer| {
        train_loop(run, set, observer, |set, step| train(loader.take(step)?, set, step))
    })
}
