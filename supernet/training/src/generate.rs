use std::sync::{Mutex, PoisonError};

use tnas_graph::Graph;
use tnas_models::{Backbone, DenoiserShape};
use tnas_network::{Parameters, Stream, Value, clip_noise, execute, side_by_side, stream};
use tnas_schedulers::{Parameterisation, Plan, Sampler, Scheduler, SchedulerConfig};
use tnas_space::Genotype;

use crate::{EMPTY_CAPTION, TextFeatures, TrainError};

/// A denoiser that clips are sampled from.
#[derive(Clone, Copy)]
pub struct VideoModel<'a> {
    /// Its image model and process.
    pub backbone: &'a Backbone,
    /// Its temporal layers.
    pub genotype: &'a Genotype,
    /// Its weights.
    pub parameters: &'a Parameters,
    /// Features of every caption.
    pub text: &'a TextFeatures,
}

/// How clips are sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateSettings {
    /// Denoising steps.
    pub steps: usize,
    /// Rule of a step.
    pub sampler: Sampler,
    /// Shift of times towards noise.
    pub shift: f32,
    /// A scheduler of the model's own process instead of sampler and shift.
    pub scheduler: Option<SchedulerConfig>,
    /// Guidance g: v = v∅ + g·(v − v∅) with the empty caption's v∅ (Ho & Salimans 2022); 1 needs no second call of the network.
    pub guidance: f32,
    /// Seed of the noise.
    pub seed: u64,
    /// Clips of a forward pass.
    pub batch: usize,
    /// The first frame of every clip, `[C, H, W]`, for models that were trained with given first frames; not with a scheduler.
    pub first_frame: Option<Vec<f32>>,
}

impl Default for GenerateSettings {
    fn default() -> Self {
        Self {
            steps: 50,
            sampler: Sampler::Euler,
            shift: 1.0,
            scheduler: None,
            guidance: 1.0,
            seed: 0,
            batch: 8,
            first_frame: None,
        }
    }
}

/// Samples one clip `[C, F, H, W]` per caption, given by its index among the text features. A clip depends on the seed, its place in
/// the list and its caption, not on the batch. `progress` is called with the number of clips done.
pub fn generate(
    model: &VideoModel,
    captions: &[usize],
    clip_shape: [usize; 4],
    settings: &GenerateSettings,
    progress: impl FnMut(usize) + Send,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let VideoModel { backbone, genotype, parameters, text } = *model;
    let [channels, frames, height, width] = clip_shape;
    if let Some(frame) = &settings.first_frame {
        let (found, wanted) = (frame.len(), channels * height * width);
        if found != wanted || settings.scheduler.is_some() {
            return Err(TrainError::Data(format!(
                "a first frame has {wanted} numbers here, not {found}, and is for sampling along the flow alone"
            )));
        }
    }
    let done = Mutex::new((0, progress));
    let jobs: Vec<(usize, &[usize])> = captions.chunks(settings.batch).enumerate().collect();
    let chunks = side_by_side(parameters.device(), jobs, |(index, chunk)| {
        let batch = chunk.len();
        let shape = DenoiserShape { batch, frames, height, width, tokens: text.tokens };
        let device = parameters.device();
        let context = |captions: &[usize]| {
            Value::from_f32(text.gather_context(captions), &[batch, text.tokens, text.width], device)
        };
        let network = Guided {
            graph: backbone.denoiser(genotype, shape)?,
            parameters,
            asked: context(chunk),
            empty: context(&vec![EMPTY_CAPTION; batch]),
            guidance: settings.guidance,
            shape: [batch, channels, frames, height, width],
        };
        let shared = backbone.parameterisation.shared_noise();
        let mut clips = Clips::drawn(&network, shared, settings.seed, index * settings.batch);
        match &settings.scheduler {
            None => clips.flow(&network, &backbone.parameterisation, settings)?,
            Some(config) => clips.scheduled(&network, config, settings.steps)?,
        }
        let (done, progress) = &mut *done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += batch;
        progress(*done);
        Ok::<_, TrainError>(clips.clips)
    })?;
    Ok(chunks.into_iter().flatten().collect())
}

/// A denoiser under the captions of a batch, with guidance.
struct Guided<'a> {
    graph: Graph,
    parameters: &'a Parameters,
    asked: Value,
    empty: Value,
    guidance: f32,
    /// `[B, C, F, H, W]`
    shape: [usize; 5],
}

impl Guided<'_> {
    /// The network's outputs, guided, one after another. Guidance of outputs is that of velocities: one is the other, scaled,
    /// plus what does not depend on the caption.
    fn outputs(&self, samples: &[Vec<f32>], timestep: f32) -> Result<Vec<f32>, TrainError> {
        let device = self.parameters.device();
        let call = |context: &Value| {
            let inputs = vec![
                Value::from_f32(samples.concat(), &self.shape, device),
                Value::from_f32(vec![timestep; samples.len()], &[samples.len()], device),
                context.clone(),
            ];
            Ok::<_, TrainError>(execute(&self.graph, self.parameters, inputs, device)?.remove(0).to_vec())
        };
        let mut outputs = call(&self.asked)?;
        if self.guidance != 1.0 {
            let free = call(&self.empty)?;
            outputs.iter_mut().zip(free).for_each(|(out, free)| *out = free + self.guidance * (*out - free));
        }
        Ok(outputs)
    }
}

/// Clips between noise and data, each with its own random stream.
struct Clips {
    clips: Vec<Vec<f32>>,
    streams: Vec<Stream>,
    /// Fraction of the noise's variance that their frames have in common.
    shared: f64,
}

impl Clips {
    /// Noise for the clips from the `first` on.
    fn drawn(network: &Guided, shared: f64, seed: u64, first: usize) -> Self {
        let [batch, clip @ ..] = network.shape;
        let mut streams: Vec<Stream> =
            (0..batch).map(|row| stream(seed, "generate", (first + row) as u64)).collect();
        let clips = streams.iter_mut().map(|rng| clip_noise(clip, shared, rng)).collect();
        Self { clips, streams, shared }
    }

    /// Puts the given first frame, if any, into every clip.
    fn give(&mut self, network: &Guided, settings: &GenerateSettings) {
        let Some(frame) = &settings.first_frame else { return };
        let [_, _, frames, height, width] = network.shape;
        let area = height * width;
        for clip in &mut self.clips {
            let channels = clip.chunks_mut(frames * area).zip(frame.chunks(area));
            channels.for_each(|(channel, given)| channel[..area].copy_from_slice(given));
        }
    }

    fn scale(&mut self, factor: f32) {
        self.clips.iter_mut().flatten().for_each(|x| *x *= factor);
    }

    /// Samples along the velocity that the parameterisation turns outputs into.
    fn flow(
        &mut self,
        network: &Guided,
        parameterisation: &Parameterisation,
        settings: &GenerateSettings,
    ) -> Result<(), TrainError> {
        let ([_, shape @ ..], shared) = (network.shape, self.shared);
        self.scale(parameterisation.most());
        self.give(network, settings);
        for pair in parameterisation.times(settings.steps, settings.shift).windows(2) {
            let level = parameterisation.at(pair[0]);
            let mut v = if parameterisation.is_flow() {
                network.outputs(&self.clips, level.timestep)?
            } else {
                let scaled = |clip: &Vec<f32>| clip.iter().map(|x| level.input * x).collect();
                network.outputs(&self.clips.iter().map(scaled).collect::<Vec<_>>(), level.timestep)?
            };
            if !parameterisation.is_flow() {
                let x = self.clips.iter().flatten();
                v.iter_mut().zip(x).for_each(|(v, x)| *v = level.skip * x + level.output * *v);
            }
            let rows = self.clips.iter_mut().zip(&mut self.streams);
            for ((clip, rng), v) in rows.zip(v.chunks(v.len() / network.shape[0])) {
                settings.sampler.step(clip, v, pair[0], pair[1], &mut || clip_noise(shape, shared, rng));
            }
            self.give(network, settings);
        }
        Ok(())
    }

    /// Samples by a scheduler of the model's own process.
    fn scheduled(&mut self, network: &Guided, config: &SchedulerConfig, steps: usize) -> Result<(), TrainError> {
        let ([_, shape @ ..], shared) = (network.shape, self.shared);
        let [.., height, width] = shape;
        let mut plan = Plan::new(steps);
        if let Some(mu) = config.mu(height * width) {
            plan = plan.with("mu", mu);
        }
        let mut schedulers: Vec<Box<dyn Scheduler>> =
            self.clips.iter().map(|_| config.scheduler(&plan)).collect::<Result<_, _>>()?;
        let Some(first) = schedulers.first() else { return Ok(()) };
        let timesteps = first.timesteps().to_vec();
        self.scale(first.init_noise_sigma());
        for (step, &timestep) in timesteps.iter().enumerate() {
            let mut inputs = self.clips.clone();
            inputs.iter_mut().zip(&schedulers).for_each(|(x, scheduler)| scheduler.scale_model_input(step, x));
            let outputs = network.outputs(&inputs, timestep)?;
            let rows = self.clips.iter_mut().zip(&mut self.streams).zip(&mut schedulers);
            for (((clip, rng), scheduler), out) in rows.zip(outputs.chunks(outputs.len() / network.shape[0])) {
                scheduler.step(step, out, clip, &mut || clip_noise(shape, shared, rng))?;
            }
        }
        Ok(())
    }
}
