use std::collections::BTreeMap;

use burn::tensor::{Int, Tensor, TensorData, activation};
use rand::{RngExt, seq::SliceRandom};
use serde::{Deserialize, Serialize};
use tnas_clips::Clip;
use tnas_network::{Parameters, Stream, Value, execute, normal_vec, side_by_side, stream};
use tnas_space::JudgeNetwork;

use crate::{
    AdamWSettings, LoopSettings, Observer, TrainError, TrainSet,
    flow_loss::{on, part_loss},
    frames_inner, learning_rate, train_loop,
};

/// A video classifier trained on real clips: its accuracy and features judge generated ones.
pub struct Judge {
    network: JudgeNetwork,
    parameters: Parameters,
    labels: JudgeLabels,
}

/// In order or not: a last label of every judge.
const ORDERS: usize = 2;

/// Its weight beside the labels': with 0.5 a flicker passes for disorder and labels are told worse.
const ORDER_WEIGHT: f64 = 0.1;

/// Labels that a judge tells, each with its values in order.
pub type JudgeLabels = Vec<(String, Vec<String>)>;

/// How a judge is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeSettings {
    /// Labels that it tells, e.g. `action`.
    pub labels: Vec<String>,
    /// Optimiser steps.
    pub steps: u64,
    /// Clips a step.
    pub batch: usize,
    /// Width of its first stage.
    pub width: usize,
    /// Frames are learned with noise up to this deviation (values reach from −1 to 1) and half as much of brightness, each
    /// with its own, so that labels tell what is shown, not how cleanly.
    pub noise: f32,
    /// Training clips taken through the autoencoder, where a study has one.
    pub decoded_clips: usize,
    /// Optimiser.
    pub optimizer: AdamWSettings,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            steps: 300,
            batch: 16,
            width: 16,
            noise: 0.3,
            decoded_clips: 800,
            optimizer: AdamWSettings { learning_rate: 2e-3, ..AdamWSettings::default() },
        }
    }
}

/// What the judge says of clips.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedClips {
    /// Features per clip.
    pub features: Vec<Vec<f64>>,
    /// Share of clips whose label is told rightly, by label.
    pub accuracy: BTreeMap<String, f64>,
}

impl Judge {
    /// An untrained judge for the label values that occur in the clips.
    pub fn network(clips: &[Clip], settings: &JudgeSettings) -> Result<(JudgeNetwork, JudgeLabels), TrainError> {
        let first = clips.first().ok_or_else(|| TrainError::Data("there are none to judge".into()))?;
        let values = |label: &String| {
            let found: std::collections::BTreeSet<&String> =
                clips.iter().filter_map(|clip| clip.labels.get(label)).collect();
            if found.len() < 2 {
                return Err(TrainError::Data(format!("label {label} has {} values, a judge needs 2", found.len())));
            }
            Ok((label.clone(), found.into_iter().cloned().collect::<Vec<_>>()))
        };
        let labels: JudgeLabels = settings.labels.iter().map(values).collect::<Result<_, _>>()?;
        let classes = labels.iter().map(|(_, values)| values.len()).chain([ORDERS]).collect();
        let network = JudgeNetwork { size: first.height, frames: first.frames, width: settings.width, classes };
        Ok((network, labels))
    }

    /// A judge with trained weights.
    pub fn new(network: JudgeNetwork, labels: JudgeLabels, parameters: Parameters) -> Self {
        Self { network, parameters, labels }
    }

    /// Its weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Features and accuracy; the labels are what the clips should show.
    pub fn judge(&self, clips: &[Clip]) -> Result<JudgedClips, TrainError> {
        const BATCH: usize = 32;
        let device = self.parameters.device();
        let outputs = side_by_side(device, clips.chunks(BATCH).collect(), |chunk: &[Clip]| {
            let graph = self.network.graph(chunk.len())?;
            let input = batch_of(chunk, &self.network, device);
            let outputs = execute(&graph, &self.parameters, vec![input], device)?;
            Ok::<_, TrainError>((outputs[0].to_vec(), outputs[1].to_vec()))
        })?;
        let (mut features, mut right) = (Vec::new(), vec![(0usize, 0usize); self.labels.len()]);
        let classes: usize = self.network.classes.iter().sum();
        for (chunk, (found, logits)) in clips.chunks(BATCH).zip(outputs) {
            let rows = found.chunks(4 * self.network.width);
            features.extend(rows.map(|row| row.iter().map(|&x| f64::from(x)).collect()));
            for (clip, row) in chunk.iter().zip(logits.chunks(classes)) {
                self.count_right(clip, row, &mut right);
            }
        }
        let share = |(&(right, all), (label, _)): (&(usize, usize), &(String, Vec<String>))| {
            (label.clone(), right as f64 / all.max(1) as f64)
        };
        Ok(JudgedClips { features, accuracy: right.iter().zip(&self.labels).map(share).collect() })
    }

    fn count_right(&self, clip: &Clip, row: &[f32], right: &mut [(usize, usize)]) {
        let mut start = 0;
        for ((label, values), count) in self.labels.iter().zip(right) {
            let logits = &row[start..start + values.len()];
            start += values.len();
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            if let Some(truth) = clip.labels.get(label) {
                count.1 += 1;
                count.0 += usize::from(best.map(|best| &values[best]) == Some(truth));
            }
        }
    }
}

/// Trains the classifier by cross-entropy on real clips, and on telling them from clips whose frames are out of order:
/// without that its features need not see time at all.
#[allow(clippy::too_many_arguments)]
pub fn train_judge(
    set: &mut TrainSet,
    network: &JudgeNetwork,
    labels: &[(String, Vec<String>)],
    clips: &[Clip],
    settings: &JudgeSettings,
    seed: u64,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let disturbed = settings.batch.div_ceil(2);
    let graphs = [network.graph(settings.batch)?, network.graph(disturbed)?];
    let order = labels.iter().map(|(_, values)| values.len()).sum();
    train_loop(run, set, observer, |set, step| {
        let mut rng = stream(seed, "judge", step);
        let mut picked =
            |count: usize| -> Vec<&Clip> { (0..count).map(|_| &clips[rng.random_range(0..clips.len())]).collect() };
        let (real, others) = (picked(settings.batch), picked(disturbed));
        let others: Vec<Clip> = others.into_iter().map(|clip| out_of_order(clip, &mut rng)).collect();
        let mut flickering = |clip: &Clip| flickering(clip, settings.noise, &mut rng);
        let real: Vec<Clip> = real.into_iter().map(&mut flickering).collect();
        let others: Vec<Clip> = others.iter().map(&mut flickering).collect();
        let parts = vec![(&graphs[0], &real, true), (&graphs[1], &others, false)];
        let (value, gradients) = set.gradients(parts, |leaves, (graph, picked, real)| {
            let input = batch_of(picked, network, leaves.device());
            let logits = execute(graph, leaves, vec![input], leaves.device())?.remove(1).rows();
            let told = vec![i64::from(!real); picked.len()];
            let mut loss = cross_entropy(&logits, order, ORDERS, told).mul_scalar(ORDER_WEIGHT);
            let mut start = 0;
            for (label, values) in labels.iter().filter(|_| real) {
                let truth = |clip: &Clip| {
                    values.iter().position(|value| Some(value) == clip.labels.get(label)).unwrap_or(0) as i64
                };
                loss = loss + cross_entropy(&logits, start, values.len(), picked.iter().map(truth).collect());
                start += values.len();
            }
            Ok(part_loss(loss, 1.0))
        })?;
        let rate =
            learning_rate(settings.optimizer.learning_rate, step, run.steps, settings.optimizer.warmup_steps);
        let report = set.apply(gradients, rate, step);
        let figures = vec![("loss", value), ("gradient_norm", report.gradient_norm), ("learning_rate", rate)];
        Ok((figures, report.moved && value.is_finite()))
    })
}

/// Mean cross-entropy of `count` logits from `start` on.
fn cross_entropy(logits: &Tensor<2>, start: usize, count: usize, truths: Vec<i64>) -> Tensor<1> {
    let shares = activation::log_softmax(logits.clone().narrow(1, start, count), 1);
    let data = TensorData::new(truths, [logits.dims()[0], 1]);
    shares.gather(1, Tensor::<2, Int>::from_data(data, &logits.device())).mean().neg()
}

/// A clip whose frames differ in noise and brightness: what it shows is the same.
fn flickering(clip: &Clip, noise: f32, rng: &mut Stream) -> Clip {
    let mut pixels = Vec::with_capacity(clip.pixels.len());
    for frame in clip.pixels.chunks(clip.pixels.len() / clip.frames) {
        let (deviation, offset) = (noise * rng.random::<f32>(), noise * rng.random_range(-0.5..0.5));
        let noise = normal_vec(frame.len(), rng);
        pixels.extend(frame.iter().zip(noise).map(|(x, n)| (x + offset + deviation * n).clamp(-1.0, 1.0)));
    }
    Clip { pixels, ..clip.clone() }
}

/// A clip as no camera films it: its frames in another order, or one frame all the time.
fn out_of_order(clip: &Clip, rng: &mut Stream) -> Clip {
    let mut frames: Vec<usize> = (0..clip.frames).collect();
    if rng.random_bool(0.3) {
        frames = vec![rng.random_range(0..clip.frames); clip.frames];
    } else {
        frames.shuffle(rng);
    }
    let length = clip.pixels.len() / clip.frames;
    let pixels = frames.iter().flat_map(|&frame| &clip.pixels[frame * length..][..length]).copied().collect();
    Clip { pixels, ..clip.clone() }
}

/// `[B, 3, F, H, W]`
fn batch_of(clips: &[Clip], network: &JudgeNetwork, device: &burn::tensor::Device) -> Value {
    let data = clips.iter().flat_map(frames_inner).collect();
    on(data, &[clips.len(), 3, network.frames, network.size, network.size], device)
}
