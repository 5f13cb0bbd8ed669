use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use rand::RngExt;
use tnas_network::{Leaves, Stream, Value, WeightSource, execute, normal_vec};
use tnas_schedulers::{Parameterisation, euler_times, interpolate};

use crate::{
    DistillSettings, LatentSource, TextFeatures, TrainError, TrainSet,
    denoise::{Denoise, by_clip, column},
    flow_batch::{FlowBatch, clips_noise},
    image_step::ImageStep,
    micro_batches::{HalfGraphs, MicroBatches},
    student_batch::StudentBatch,
};

/// Graphs, data and settings of distillation: what its losses need besides the networks.
pub(crate) struct Distillation<'a> {
    pub denoisers: HalfGraphs,
    pub discriminators: HalfGraphs,
    pub micro: MicroBatches,
    pub parameterisation: &'a Arc<Parameterisation>,
    pub data: &'a dyn LatentSource,
    pub text: &'a TextFeatures,
    pub settings: &'a DistillSettings,
}

impl Distillation<'_> {
    /// The student's times in the model's range, noise first.
    pub fn student_times(&self) -> Vec<f32> {
        let times = euler_times(self.settings.student_steps, self.settings.shift);
        times.into_iter().map(|t| self.parameterisation.time(t)).collect()
    }

    /// x̂0 = x_t − t·v.
    pub fn predicted_data(
        &self,
        clips: &FlowBatch,
        weights: &dyn WeightSource,
        device: &Device,
    ) -> Result<Value, TrainError> {
        let x_t = Value::constant(clips.noised(), &clips.shape, device);
        let v = clips.velocity(self.denoisers.of(clips.shape), weights, self.text, device)?;
        let times = Value::constant(clips.times.clone(), &[clips.times.len()], device);
        let shape = x_t.shape();
        Ok(Value::F2(by_clip(x_t) - by_clip(v) * column(times)).reshape(&shape))
    }

    /// Logits `[B, heads]` of a noised sample of the clips' shape, at times t' `[B]`.
    pub fn logits(
        &self,
        weights: &Leaves,
        sample: Value,
        clips: &FlowBatch,
        times: &[f32],
    ) -> Result<Tensor<2>, TrainError> {
        let (device, rows, text) = (weights.device(), clips.captions.len(), self.text);
        let context = text.gather_context(&clips.captions);
        let context = Value::constant(context, &[rows, text.tokens, text.width], device);
        let pooled = Value::constant(text.gather_pooled(&clips.captions), &[rows, text.width], device);
        let denoise = Denoise { parameterisation: self.parameterisation, times, device };
        let inputs = denoise.inputs(sample, vec![context, pooled]);
        let mut outputs = execute(self.discriminators.of(clips.shape), weights, inputs, device)?;
        let logits = outputs.pop().ok_or_else(|| TrainError::Data("the discriminator has no output".into()))?;
        Ok(logits.rows())
    }

    /// −D(ŷ) of clips x̂0 that the student made of a batch, `[1]`, noised to the batch's times t' with its noise ε'; the
    /// discriminator is fixed.
    pub fn adversarial_loss(
        &self,
        discriminator: &TrainSet,
        made: Value,
        batch: &StudentBatch,
        device: &Device,
    ) -> Result<Tensor<1>, TrainError> {
        let StudentBatch { clips, seen_times, seen_noise, .. } = batch;
        let noise = by_clip(Value::constant(seen_noise.clone(), &clips.shape, device));
        let t = column(Value::constant(seen_times.clone(), &[seen_times.len()], device));
        let data = by_clip(made);
        let noised = Value::F2(data.clone() + (noise - data) * t).reshape(&clips.shape);
        Ok(self.logits(&discriminator.frozen_leaves(device), noised, clips, seen_times)?.mean().neg())
    }
}

/// Batches.
impl Distillation<'_> {
    /// Real clips at times drawn evenly from the student's.
    pub fn draw_data(&self, images: &mut ImageStep, rng: &mut Stream) -> Result<StudentBatch, TrainError> {
        let (settings, process) = (self.settings, self.parameterisation);
        let times = euler_times(settings.student_steps, settings.shift);
        let rows = self.micro.clips;
        let indices: Vec<usize> = (0..rows).map(|_| rng.random_range(0..self.data.captions().len())).collect();
        let drawn = (0..rows).map(|_| times[rng.random_range(0..settings.student_steps)]).collect();
        let clips = images.apply(FlowBatch::of(self.data, process, &indices, drawn, rng)?);
        let seen_times = (0..rows).map(|_| process.time(settings.noise.draw(rng))).collect();
        let seen_noise = clips.fresh_noise(rng);
        let penalty_noise = normal_vec(clips.data.len(), rng);
        Ok(StudentBatch { clips, seen_times, seen_noise, penalty_noise, step_noise: Vec::new() })
    }

    /// Captions with noise alone, each at one of the student's times: no real clip is read.
    pub fn draw_noise(&self, images: &mut ImageStep, rng: &mut Stream) -> StudentBatch {
        let (settings, process) = (self.settings, self.parameterisation);
        let (rows, captions) = (self.micro.clips, self.data.captions());
        let times = self.student_times();
        let captions = (0..rows).map(|_| captions[rng.random_range(0..captions.len())]).collect();
        let levels: Vec<usize> = (0..rows).map(|_| rng.random_range(0..settings.student_steps)).collect();
        let [channels, frames, height, width] = self.data.shape();
        let shape = [rows, channels, frames, height, width];
        let clips = images.apply(FlowBatch {
            captions,
            times: levels.iter().map(|&level| times[level]).collect(),
            data: vec![0.0; shape.iter().product()],
            noise: clips_noise(shape, process, rng),
            weights: Vec::new(),
            given: Vec::new(),
            shape,
            parameterisation: process.clone(),
        });
        let step_noise = (1..settings.student_steps).map(|_| clips.fresh_noise(rng)).collect();
        let seen_times = (0..rows).map(|_| process.time(settings.scores.noise.draw(rng))).collect();
        let seen_noise = clips.fresh_noise(rng);
        StudentBatch { clips, seen_times, seen_noise, penalty_noise: Vec::new(), step_noise }
    }
}

/// (1 − t)·x + t·ε per clip, on the host.
pub(crate) fn mix(data: &[f32], noise: &[f32], times: &[f32]) -> Vec<f32> {
    let length = data.len() / times.len();
    let rows = data.chunks(length).zip(noise.chunks(length)).zip(times);
    rows.flat_map(|((data, noise), &t)| interpolate(data, noise, t)).collect()
}
