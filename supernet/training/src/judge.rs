use std::{collections::BTreeMap, sync::Arc};

use burn::tensor::{Int, Tensor, TensorData, activation};
use rand::{RngExt, seq::SliceRandom};
use serde::{Deserialize, Serialize};
use tnas_clips::{Clip, ClipSet};
use tnas_network::{Parameters, Stream, Value, execute, normal_vec, side_by_side, stream};
use tnas_space::JudgeNetwork;

use crate::{
    AdamWSettings, Loading, LoopSettings, Observer, StabilitySettings, StepOutcome, TrainError, TrainSet, Turn,
    denoise::on, flow_loss::part_loss, frames_inner, learning_rate, loader::beside, train_loop,
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
    /// Share of clips of which a box is hidden, so that labels are told by all that shows them.
    pub hidden: f64,
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
            hidden: 0.5,
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
    /// What is told of each clip, by label.
    pub told: Vec<BTreeMap<String, String>>,
    /// Share of clips whose label is told rightly, by label.
    pub accuracy: BTreeMap<String, f64>,
}

impl Judge {
    /// An untrained judge for the label values that occur in the clips.
    pub fn network(clips: &ClipSet, settings: &JudgeSettings) -> Result<(JudgeNetwork, JudgeLabels), TrainError> {
        if clips.is_empty() {
            return Err(TrainError::Data("there are none to judge".into()));
        }
        let [frames, size, _] = clips.shape();
        let values = |label: &String| {
            let found: std::collections::BTreeSet<&String> =
                clips.labels().filter_map(|labels| labels.get(label)).collect();
            if found.len() < 2 {
                return Err(TrainError::Data(format!("label {label} has {} values, a judge needs 2", found.len())));
            }
            Ok((label.clone(), found.into_iter().cloned().collect::<Vec<_>>()))
        };
        let labels: JudgeLabels = settings.labels.iter().map(values).collect::<Result<_, _>>()?;
        let classes = labels.iter().map(|(_, values)| values.len()).chain([ORDERS]).collect();
        let network = JudgeNetwork { size, frames, width: settings.width, classes };
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
        let (mut features, mut told) = (Vec::new(), Vec::new());
        let classes: usize = self.network.classes.iter().sum();
        for (found, logits) in outputs {
            let rows = found.chunks(4 * self.network.width);
            features.extend(rows.map(|row| row.iter().map(|&x| f64::from(x)).collect()));
            told.extend(logits.chunks(classes).map(|row| self.told(row)));
        }
        let accuracy =
            self.labels.iter().map(|(label, _)| (label.clone(), accuracy(label, clips, &told))).collect();
        Ok(JudgedClips { features, told, accuracy })
    }

    /// The likeliest value of each label.
    fn told(&self, logits: &[f32]) -> BTreeMap<String, String> {
        let mut start = 0;
        let mut likeliest = |(label, values): &(String, Vec<String>)| {
            let logits = &logits[start..start + values.len()];
            start += values.len();
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))?;
            Some((label.clone(), values[best].clone()))
        };
        self.labels.iter().filter_map(&mut likeliest).collect()
    }
}

/// Share of the clips with this label of which it is told rightly.
fn accuracy(label: &str, clips: &[Clip], told: &[BTreeMap<String, String>]) -> f64 {
    let pairs = clips.iter().zip(told).filter_map(|(clip, told)| Some((clip.labels.get(label)?, told.get(label)?)));
    let (right, all) =
        pairs.fold((0usize, 0usize), |(right, all), (truth, told)| (right + usize::from(truth == told), all + 1));
    right as f64 / all.max(1) as f64
}

/// Trains the classifier by cross-entropy on real clips, and on telling them from clips whose frames are out of order:
/// without that its features need not see time at all.
#[allow(clippy::too_many_arguments)]
pub fn train_judge(
    set: &mut TrainSet,
    network: &JudgeNetwork,
    labels: &[(String, Vec<String>)],
    clips: &ClipSet,
    loading: Loading,
    settings: &JudgeSettings,
    seed: u64,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let spoilt = settings.batch.div_ceil(2);
    let graphs = [network.graph(settings.batch)?, network.graph(spoilt)?];
    let order = labels.iter().map(|(_, values)| values.len()).sum();
    let make = |step| {
        let mut rng = stream(seed, "judge", step);
        let mut picked = |count: usize| -> Result<Vec<Arc<Clip>>, TrainError> {
            (0..count).map(|_| read(clips, rng.random_range(0..clips.len()))).collect()
        };
        let (real, others) = (picked(settings.batch)?, picked(spoilt)?);
        let others: Vec<Clip> = others.iter().map(|clip| out_of_order(clip, &mut rng)).collect();
        let mut disturbed = |clip: &Clip| disturbed(clip, settings, &mut rng);
        let real: Vec<Clip> = real.iter().map(|clip| disturbed(clip)).collect();
        let others: Vec<Clip> = others.iter().map(&mut disturbed).collect();
        Ok((real, others))
    };
    let train = |(real, others): (Vec<Clip>, Vec<Clip>), set: &mut TrainSet, turn: &mut Turn| {
        let step = turn.step;
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
            learning_rate(settings.optimizer.learning_rate, step, run.steps, settings.optimizer.warmup_steps)
                * turn.rate;
        let report =
            set.apply_if(gradients, rate, step, |norm| turn.accepts(&[("loss", value), ("gradient_norm", norm)]));
        let figures = vec![("loss", value), ("gradient_norm", report.gradient_norm), ("learning_rate", rate)];
        Ok(StepOutcome::new(figures, report.moved))
    };
    beside(loading, run, observer, make, |loader, observer| {
        train_loop(run, &StabilitySettings::default(), set, observer, |set, turn| {
            train(loader.take(turn.step)?, set, turn)
        })
    })
}

fn read(clips: &ClipSet, clip: usize) -> Result<Arc<Clip>, TrainError> {
    clips.clip(clip).map_err(|source| TrainError::Load { clip, source: source.into() })
}

/// Mean cross-entropy of `count` logits from `start` on.
fn cross_entropy(logits: &Tensor<2>, start: usize, count: usize, truths: Vec<i64>) -> Tensor<1> {
    let shares = activation::log_softmax(logits.clone().narrow(1, start, count), 1);
    let data = TensorData::new(truths, [logits.dims()[0], 1]);
    shares.gather(1, Tensor::<2, Int>::from_data(data, &logits.device())).mean().neg()
}

/// A clip that shows the same less cleanly: moved by a pixel or two, a box of it hidden, frames that differ in noise and
/// brightness.
fn disturbed(clip: &Clip, settings: &JudgeSettings, rng: &mut Stream) -> Clip {
    let reach = (clip.height / 16).max(1) as i64;
    let moved = [rng.random_range(-reach..=reach), rng.random_range(-reach..=reach)];
    let hidden = rng.random_bool(settings.hidden.clamp(0.0, 1.0)).then(|| {
        let mut span = |length: usize| {
            let extent = rng.random_range(length / 8..=length / 3);
            let start = rng.random_range(0..=length - extent);
            start..start + extent
        };
        (span(clip.height), span(clip.width), rng.random_range(-1.0..1.0))
    });
    let (height, width) = (clip.height, clip.width);
    let clamped = |at: usize, by: i64, length: usize| (at as i64 + by).clamp(0, length as i64 - 1) as usize;
    let mut pixels = Vec::with_capacity(clip.pixels.len());
    for frame in clip.pixels.chunks(clip.pixels.len() / clip.frames) {
        let noise = settings.noise;
        let (deviation, offset) = (noise * rng.random::<f32>(), noise * rng.random_range(-0.5..0.5));
        let noise = normal_vec(frame.len(), rng);
        for (index, n) in noise.into_iter().enumerate() {
            let (plane, row, column) = (index / (height * width), index / width % height, index % width);
            let from = (clamped(row, moved[0], height), clamped(column, moved[1], width));
            let x = match &hidden {
                Some((rows, columns, grey)) if rows.contains(&row) && columns.contains(&column) => *grey,
                _ => frame[(plane * height + from.0) * width + from.1],
            };
            pixels.push((x + offset + deviation * n).clamp(-1.0, 1.0));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn clip() -> Clip {
        let pixels = (0..2 * 3 * 16 * 16).map(|x| (x % 97) as f32 / 97.0).collect();
        let mut clip = Clip::new(2, 16, 16, pixels).unwrap();
        clip.labels.insert("action".into(), "walk".into());
        clip
    }

    fn spoilt(hidden: f64, noise: f32, seed: u64) -> Clip {
        let settings = JudgeSettings { hidden, noise, ..JudgeSettings::default() };
        disturbed(&clip(), &settings, &mut stream(seed, "test", 0))
    }

    #[test]
    fn a_clean_disturbance_only_moves() {
        let real = clip();
        for seed in 0..20 {
            let moved = spoilt(0.0, 0.0, seed);
            assert_eq!((&moved.labels, moved.pixels.len()), (&real.labels, real.pixels.len()));
            // All frames and channels by the same pixel or none.
            let inner = |clip: &Clip, by: [usize; 2]| -> Vec<f32> {
                let planes = clip.pixels.chunks(256);
                planes
                    .flat_map(|p| {
                        (1..15).flat_map(move |r| (1..15).map(move |c| p[(r + by[0] - 1) * 16 + c + by[1] - 1]))
                    })
                    .collect()
            };
            let offsets = (0..3).flat_map(|row| (0..3).map(move |column| [row, column]));
            let fitting = offsets.filter(|&by| inner(&real, by) == inner(&moved, [1, 1])).count();
            assert_eq!(fitting, 1, "seed {seed}");
        }
    }

    #[test]
    fn a_hidden_box_is_one_grey_in_all_frames() {
        for seed in 0..20 {
            let (moved, boxed) = (spoilt(0.0, 0.0, seed), spoilt(1.0, 0.0, seed));
            let share = |clip: &Clip, grey: f32| clip.pixels.iter().filter(|&&x| x == grey).count() as f64 / 1536.0;
            let greys: std::collections::BTreeSet<u32> =
                boxed.pixels.iter().filter(|x| !moved.pixels.contains(x)).map(|x| x.to_bits()).collect();
            assert_eq!(greys.len(), 1);
            let hidden = share(&boxed, f32::from_bits(*greys.first().unwrap()));
            assert!(hidden > 0.0 && hidden <= 1.0 / 9.0, "{hidden}");
        }
        assert!(spoilt(1.0, 1.0, 3).pixels.iter().all(|x| x.abs() <= 1.0));
    }
}
