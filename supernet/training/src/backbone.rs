use burn::tensor::Device;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tnas_graph::{Graph, HostTensor};
use tnas_models::{Backbone, DenoiserShape, TextEncoder};
use tnas_network::{Parameters, Value, WeightSource, execute, stream};
use tnas_space::Genotype;

use crate::{
    AdamWSettings, CaptionTokens, Checkpointing, Compute, FlowSettings, LatentSet, LatentSource, LoopSettings,
    Observer, StabilitySettings, StepOutcome, TextFeatures, TrainError, TrainSet, Turn,
    defaults::is_one,
    denoise::on,
    flow_loss::{Cut, FlowBatch, HalfGraphs, part_loss},
    learning_rate,
    loader::beside,
    train_loop,
};

/// How an image backbone is trained on single frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackboneSettings {
    /// Optimiser steps.
    pub steps: u64,
    /// Frames a step.
    pub batch: usize,
    /// Decay of the average of weights.
    pub ema_decay: f64,
    /// Optimiser.
    pub optimizer: AdamWSettings,
    /// Times.
    pub flow: FlowSettings,
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

impl Default for BackboneSettings {
    fn default() -> Self {
        Self {
            steps: 1500,
            batch: 32,
            ema_decay: 0.995,
            optimizer: AdamWSettings { learning_rate: 2e-3, warmup_steps: 50, ..AdamWSettings::default() },
            flow: FlowSettings::default(),
            accumulate: 1,
            devices: Vec::new(),
            compute: Compute::F32,
            checkpointing: Checkpointing::Off,
            stability: StabilitySettings::default(),
        }
    }
}

/// Trains UNet and text encoder together, as a rectified flow, on frames drawn from the clips.
#[allow(clippy::too_many_arguments)]
pub fn train_backbone(
    backbone: &Backbone,
    encoder: &TextEncoder,
    set: &mut TrainSet,
    data: &dyn LatentSource,
    captions: &CaptionTokens,
    settings: &BackboneSettings,
    seed: u64,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    data.check(captions.ids.len())?;
    set.checkpointing = settings.checkpointing;
    set.spread(&settings.devices, settings.compute)?;
    let cut = Cut::new(settings.batch, settings.accumulate, &settings.devices, 1, 0.0);
    let length = captions.length;
    let [channels, frames, height, width] = data.shape();
    let shape = DenoiserShape { batch: settings.batch, frames: 1, height, width, tokens: length };
    let unets =
        HalfGraphs::new(&cut, |batch, _| backbone.denoiser(&Genotype::none(), DenoiserShape { batch, ..shape }))?;
    let texts = HalfGraphs::new(&cut, |batch, _| encoder.graph(batch, length))?;
    let make = |step| {
        let mut rng = stream(seed, "backbone", step);
        let picks: Vec<(usize, usize)> = (0..cut.rows)
            .map(|_| (rng.random_range(0..data.captions().len()), rng.random_range(0..frames)))
            .collect();
        let still = LatentSet {
            shape: [channels, 1, height, width],
            clips: picks.iter().map(|&(clip, frame)| data.frame(clip, frame)).collect::<Result<_, _>>()?,
            captions: picks.iter().map(|&(clip, _)| data.captions()[clip]).collect(),
        };
        let times = (0..cut.rows).map(|_| settings.flow.draw(still.shape, &mut rng)).collect();
        let mut batch =
            FlowBatch::of(&still, &backbone.parameterisation, &(0..cut.rows).collect::<Vec<_>>(), times, &mut rng)?
                .weighed(&settings.flow);
        batch.drop_captions(&settings.flow, &mut rng);
        Ok(batch)
    };
    let train = |batch: FlowBatch, set: &mut TrainSet, turn: &mut Turn| {
        let step = turn.step;
        let (value, gradients) = set.gradients_of(batch.groups(cut.groups), |leaves, half| {
            let context = encode(texts.of(&half), leaves, captions, &half.captions, leaves.device())?.0;
            let v = half.velocity_with(unets.of(&half), leaves, context, leaves.device())?;
            let target = on(half.target(), &half.shape, leaves.device());
            Ok(part_loss(half.loss(v, target, leaves.device()), half.share(cut.rows)))
        })?;
        let rate =
            learning_rate(settings.optimizer.learning_rate, step, run.steps, settings.optimizer.warmup_steps)
                * turn.rate;
        let report =
            set.apply_if(gradients, rate, step, |norm| turn.accepts(&[("loss", value), ("gradient_norm", norm)]));
        let figures = vec![("loss", value), ("gradient_norm", report.gradient_norm), ("learning_rate", rate)];
        Ok(StepOutcome::new(figures, report.good()))
    };
    beside(data.loading(), run, observer, make, |loader, observer| {
        train_loop(run, &settings.stability, set, observer, |set, turn| train(loader.take(turn.step)?, set, turn))
    })
}

/// Runs a text encoder on the given captions: context `[B, L, X]` and pooled `[B, X]`.
fn encode(
    graph: &Graph,
    weights: &dyn WeightSource,
    captions: &CaptionTokens,
    indices: &[usize],
    device: &Device,
) -> Result<(Value, Value), TrainError> {
    let shape = [indices.len(), captions.length];
    let ids = HostTensor::i64(&shape, indices.iter().flat_map(|&i| captions.ids[i].iter().copied()).collect());
    let ids = Value::from_host(&ids, &device.clone().inner()).constant_for(device);
    let pooling = indices.iter().flat_map(|&i| captions.pooling(i)).collect();
    let mut outputs = execute(graph, weights, vec![ids, on(pooling, &shape, device)], device)?;
    let pooled = outputs.pop();
    match (outputs.pop(), pooled) {
        (Some(context), Some(pooled)) => Ok((context, pooled)),
        _ => Err(TrainError::Data("the text encoder has two outputs".into())),
    }
}

/// Features of every caption, computed once: the text encoder is frozen after the backbone stage.
pub fn text_features(
    encoder: &TextEncoder,
    weights: &Parameters,
    captions: &CaptionTokens,
) -> Result<TextFeatures, TrainError> {
    const BATCH: usize = 64;
    let width = encoder.config.hidden_size;
    let mut features = TextFeatures { tokens: captions.length, width, ..TextFeatures::default() };
    let all: Vec<usize> = (0..captions.ids.len()).collect();
    for chunk in all.chunks(BATCH) {
        let graph = encoder.graph(chunk.len(), captions.length)?;
        let (context, pooled) = encode(&graph, weights, captions, chunk, weights.device())?;
        features.context.extend(context.to_vec().chunks(captions.length * width).map(<[f32]>::to_vec));
        features.pooled.extend(pooled.to_vec().chunks(width).map(<[f32]>::to_vec));
    }
    Ok(features)
}
