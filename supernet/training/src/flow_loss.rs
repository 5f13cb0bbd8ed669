use std::{collections::BTreeMap, sync::Arc};

use burn::tensor::{Device, Tensor};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use tnas_graph::Graph;
use tnas_network::{Stream, Value, WeightSource, normal_vec};
use tnas_schedulers::{Parameterisation, interpolate, shift_time};

use crate::{
    EMPTY_CAPTION, LatentSource, TextFeatures, TrainError,
    denoise::{Denoise, on},
    train_set::PartLoss,
};

/// How times are drawn and what the network is told of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowSettings {
    /// Law of training times.
    pub time: TimeLaw,
    /// Shift towards noise: above 1 for larger samples.
    pub shift: f32,
    /// Share of clips trained with the empty caption, for guidance; held-out losses keep their captions.
    pub caption_dropout: f64,
}

/// Logit-normal times (Esser et al. 2024, §3.1): t = sigmoid(n), n ~ N(mean, deviation²).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeLaw {
    /// Mean of the logit: above 0 leans to noise.
    pub mean: f32,
    /// Its standard deviation.
    pub deviation: f32,
}

impl Default for TimeLaw {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0 }
    }
}

impl Default for FlowSettings {
    fn default() -> Self {
        Self { time: TimeLaw::default(), shift: 1.0, caption_dropout: 0.0 }
    }
}

impl TimeLaw {
    /// Draws a time in (0, 1).
    pub fn draw(&self, rng: &mut Stream) -> f32 {
        let n: f32 = StandardNormal.sample(rng);
        sigmoid(self.mean + self.deviation * n)
    }
}

impl FlowSettings {
    /// Draws a shifted training time.
    pub fn draw(&self, rng: &mut Stream) -> f32 {
        shift_time(self.time.draw(rng), self.shift)
    }
}

/// A noised batch on the host. Rows are clips.
#[derive(Clone, Debug)]
pub(crate) struct FlowBatch {
    pub captions: Vec<usize>,
    /// In the model's range.
    pub times: Vec<f32>,
    pub data: Vec<f32>,
    pub noise: Vec<f32>,
    /// Shape of the sample `[B, C, F, H, W]`.
    pub shape: [usize; 5],
    pub parameterisation: Arc<Parameterisation>,
}

impl FlowBatch {
    /// Draws clips with replacement, times and noise from one stream.
    pub fn draw(
        set: &dyn LatentSource,
        parameterisation: &Arc<Parameterisation>,
        batch: usize,
        flow: &FlowSettings,
        rng: &mut Stream,
    ) -> Result<Self, TrainError> {
        let indices: Vec<usize> = (0..batch).map(|_| rng.random_range(0..set.captions().len())).collect();
        let times = (0..batch).map(|_| flow.draw(rng)).collect();
        let mut batch = Self::of(set, parameterisation, &indices, times, rng)?;
        batch.drop_captions(flow, rng);
        Ok(batch)
    }

    /// Empties some captions, for guidance (Ho & Salimans 2022).
    pub fn drop_captions(&mut self, flow: &FlowSettings, rng: &mut Stream) {
        if flow.caption_dropout > 0.0 {
            for caption in &mut self.captions {
                if rng.random_bool(flow.caption_dropout.min(1.0)) {
                    *caption = EMPTY_CAPTION;
                }
            }
        }
    }

    /// These clips at these times of the unit interval, brought into the model's range, with noise from the stream.
    pub fn of(
        set: &dyn LatentSource,
        parameterisation: &Arc<Parameterisation>,
        indices: &[usize],
        times: Vec<f32>,
        rng: &mut Stream,
    ) -> Result<Self, TrainError> {
        let data = set.gather(indices)?;
        let noise = normal_vec(data.len(), rng);
        let captions = indices.iter().map(|&index| set.captions()[index]).collect();
        let [channels, frames, height, width] = set.shape();
        let times = times.into_iter().map(|t| parameterisation.time(t)).collect();
        let shape = [indices.len(), channels, frames, height, width];
        Ok(Self { captions, times, data, noise, shape, parameterisation: parameterisation.clone() })
    }

    /// The batch's clips in two halves, the first the larger; one alone stays whole.
    pub fn halves(&self) -> Vec<Self> {
        let rows = self.captions.len();
        let cut = rows.div_ceil(2);
        [0..cut, cut..rows].into_iter().filter(|range| !range.is_empty()).map(|range| self.part(range)).collect()
    }

    fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let length: usize = self.shape[1..].iter().product();
        let elements = rows.start * length..rows.end * length;
        Self {
            captions: self.captions[rows.clone()].to_vec(),
            times: self.times[rows.clone()].to_vec(),
            data: self.data[elements.clone()].to_vec(),
            noise: self.noise[elements].to_vec(),
            shape: [rows.len(), self.shape[1], self.shape[2], self.shape[3], self.shape[4]],
            parameterisation: self.parameterisation.clone(),
        }
    }

    /// This part's rows among a batch's.
    pub fn share(&self, batch: usize) -> f64 {
        self.captions.len() as f64 / batch as f64
    }

    /// x_t of every clip.
    pub fn noised(&self) -> Vec<f32> {
        let length = self.data.len() / self.times.len();
        let rows = self.data.chunks(length).zip(self.noise.chunks(length)).zip(&self.times);
        rows.flat_map(|((data, noise), &t)| interpolate(data, noise, t)).collect()
    }

    /// Target velocity ε − x0.
    pub fn target(&self) -> Vec<f32> {
        self.noise.iter().zip(&self.data).map(|(noise, data)| noise - data).collect()
    }

    /// The velocity that a denoiser sees in the noised clips.
    pub fn velocity(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        text: &TextFeatures,
        device: &Device,
    ) -> Result<Value, TrainError> {
        let context = text.gather_context(&self.captions);
        let context = on(context, &[self.captions.len(), text.tokens, text.width], device);
        self.velocity_with(graph, weights, context, device)
    }

    /// The same with a context that carries gradients.
    pub fn velocity_with(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        context: Value,
        device: &Device,
    ) -> Result<Value, TrainError> {
        let denoise = Denoise { parameterisation: &self.parameterisation, times: &self.times, device };
        denoise.velocity(graph, weights, on(self.noised(), &self.shape, device), vec![context])
    }
}

/// A network for each half of a batch.
pub(crate) struct HalfGraphs(BTreeMap<usize, Graph>);

impl HalfGraphs {
    /// `graph` builds it for a number of rows.
    pub fn new<E>(batch: usize, mut graph: impl FnMut(usize) -> Result<Graph, E>) -> Result<Self, E> {
        let sizes = [batch.div_ceil(2), batch / 2];
        let sizes = sizes.into_iter().filter(|&size| size > 0);
        sizes.map(|size| Ok((size, graph(size)?))).collect::<Result<_, _>>().map(Self)
    }

    /// The one for this half.
    pub fn of(&self, half: &FlowBatch) -> &Graph {
        self.rows(half.captions.len())
    }

    /// The one for a half of so many rows.
    pub fn rows(&self, rows: usize) -> &Graph {
        &self.0[&rows]
    }
}

/// A loss that counts for a share of its step.
pub(crate) fn part_loss(loss: Tensor<1>, share: f64) -> PartLoss {
    PartLoss { value: scalar(&loss) * share, loss: loss.mul_scalar(share) }
}

/// Mean squared difference of two values of one shape.
pub(crate) fn mean_squared(a: Value, b: Value) -> Tensor<1> {
    (a.flat() - b.flat()).square().mean()
}

/// The loss's value.
pub(crate) fn scalar(loss: &Tensor<1>) -> f64 {
    f64::from(loss.clone().inner().into_scalar::<f32>())
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LatentSet;

    #[test]
    fn halves_are_the_batch() {
        let set = LatentSet {
            shape: [2, 3, 1, 2],
            clips: (0..4).map(|clip| (0..12).map(|x| (100 * clip + x) as f32).collect()).collect(),
            captions: vec![3, 2, 1, 0],
        };
        for rows in 1..=4 {
            let indices: Vec<usize> = (0..rows).collect();
            let times = indices.iter().map(|&i| i as f32 / 8.0).collect();
            let whole =
                FlowBatch::of(&set, &Arc::default(), &indices, times, &mut tnas_network::stream(1, "test", 0))
                    .expect("clips in memory");
            let halves = whole.halves();
            assert!(halves.len() == rows.min(2) && halves.iter().all(|half| half.shape[0] == half.times.len()));
            assert_eq!(halves.iter().map(|half| half.share(rows)).sum::<f64>(), 1.0);
            let joined = |part: fn(&FlowBatch) -> Vec<f32>| halves.iter().flat_map(part).collect::<Vec<_>>();
            assert_eq!(joined(FlowBatch::noised), whole.noised());
            assert_eq!(joined(FlowBatch::target), whole.target());
            assert_eq!(halves.iter().flat_map(|half| half.captions.clone()).collect::<Vec<_>>(), whole.captions);
        }
    }
}
