use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tnas_network::{Parameters, Sampler, Stream, Value, euler_times, execute, normal_vec, side_by_side, stream};
use tnas_space::{Backbone, DenoiserShape, Genotype};

use crate::{EMPTY_CAPTION, TextFeatures, TrainError, flow_loss::TIME_SCALE};

/// How clips are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerateSettings {
    /// Denoising steps.
    pub steps: usize,
    /// How a step moves.
    pub sampler: Sampler,
    /// Shift of times towards noise.
    pub shift: f32,
    /// Guidance g: v = v∅ + g·(v − v∅) with the empty caption's v∅ (Ho & Salimans 2022); 1 asks for no second call.
    pub guidance: f32,
    /// Seed of the noise.
    pub seed: u64,
    /// Clips at once.
    pub batch: usize,
}

/// Samples one clip `[C, F, H, W]` per caption. A clip depends on the seed, its place in the list and its caption, not on
/// the batch.
#[allow(clippy::too_many_arguments)]
pub fn generate(
    backbone: &Backbone,
    genotype: &Genotype,
    parameters: &Parameters,
    text: &TextFeatures,
    captions: &[usize],
    clip_shape: [usize; 4],
    settings: &GenerateSettings,
    progress: impl FnMut(usize) + Send,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let [_, frames, height, width] = clip_shape;
    let done = Mutex::new((0, progress));
    let jobs: Vec<(usize, &[usize])> = captions.chunks(settings.batch).enumerate().collect();
    let chunks = side_by_side(parameters.device(), jobs, |(index, chunk)| {
        let shape = DenoiserShape { batch: chunk.len(), frames, height, width, tokens: text.tokens };
        let graph = backbone.denoiser(genotype, shape)?;
        let clips = sample(&graph, parameters, text, chunk, clip_shape, settings, index * settings.batch)?;
        let (done, progress) = &mut *done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += clips.len();
        progress(*done);
        Ok::<_, TrainError>(clips)
    })?;
    Ok(chunks.into_iter().flatten().collect())
}

fn sample(
    graph: &tnas_graph::Graph,
    parameters: &Parameters,
    text: &TextFeatures,
    captions: &[usize],
    clip_shape: [usize; 4],
    settings: &GenerateSettings,
    first: usize,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let [channels, frames, height, width] = clip_shape;
    let (batch, length) = (captions.len(), clip_shape.iter().product::<usize>());
    let mut streams: Vec<Stream> =
        (0..batch).map(|row| stream(settings.seed, "generate", (first + row) as u64)).collect();
    let mut clips: Vec<Vec<f32>> = streams.iter_mut().map(|rng| normal_vec(length, rng)).collect();
    let device = parameters.device();
    let context = |captions: &[usize]| {
        Value::from_f32(text.gather_context(captions), &[batch, text.tokens, text.width], device)
    };
    let (asked, empty) = (context(captions), context(&vec![EMPTY_CAPTION; batch]));
    for pair in euler_times(settings.steps, settings.shift).windows(2) {
        let velocity = |context: &Value| {
            let inputs = vec![
                Value::from_f32(clips.concat(), &[batch, channels, frames, height, width], device),
                Value::from_f32(vec![pair[0] * TIME_SCALE; batch], &[batch], device),
                context.clone(),
            ];
            Ok::<_, TrainError>(execute(graph, parameters, inputs, device)?.remove(0).to_vec())
        };
        let mut v = velocity(&asked)?;
        if settings.guidance != 1.0 {
            let free = velocity(&empty)?;
            v.iter_mut().zip(free).for_each(|(v, free)| *v = free + settings.guidance * (*v - free));
        }
        for ((clip, v), rng) in clips.iter_mut().zip(v.chunks(length)).zip(&mut streams) {
            settings.sampler.step(clip, v, pair[0], pair[1], rng);
        }
    }
    Ok(clips)
}
