use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tnas_graph::Graph;
use tnas_models::DenoiserShape;
use tnas_network::{Parameters, side_by_side, stream};
use tnas_schedulers::Parameterisation;

use crate::{FlowSettings, LatentSet, LatentSource, TextFeatures, TrainError, flow_batch::FlowBatch};

/// Fixed clips at fixed times with fixed noise, on which every candidate is scored: common random numbers, so that
/// differences are paired over clips.
#[derive(Clone, Debug)]
pub struct HeldOut {
    batches: Vec<FlowBatch>,
    text: TextFeatures,
}

/// Which held-out clips a loss is taken on.
#[derive(Clone, Copy, Debug)]
pub struct HeldOutSettings {
    /// Clips.
    pub clips: usize,
    /// Clips of a forward pass.
    pub batch: usize,
    /// Distribution and weighting of their times.
    pub flow: FlowSettings,
    /// Seed of their noise.
    pub seed: u64,
}

/// Loss on the held-out clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutLoss {
    /// Mean over clips.
    pub mean: f64,
    /// Mean per band of time, low to high.
    pub bands: Vec<Band>,
    /// Loss of each clip, in order.
    pub per_clip: Vec<f64>,
}

/// Mean loss over clips whose time lies in a band.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Lowest time.
    pub from: f64,
    /// Highest time.
    pub to: f64,
    /// Mean loss.
    pub mean: f64,
    /// Clips.
    pub clips: usize,
}

/// Difference of two losses, paired over clips.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Mean of first − second: negative where the first is better.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Clips.
    pub clips: usize,
}

impl HeldOut {
    /// Takes clips (with repetition where there are fewer) in batches. Times are quantiles of the training distribution,
    /// spread over the clips so that every batch covers its whole range.
    pub fn new(
        set: &dyn LatentSource,
        parameterisation: &Arc<Parameterisation>,
        text: &TextFeatures,
        settings: &HeldOutSettings,
    ) -> Result<Self, TrainError> {
        let HeldOutSettings { clips: count, batch, ref flow, seed } = *settings;
        set.check(text.context.len())?;
        let mut rng = stream(seed, "held-out", 0);
        let indices: Vec<usize> = (0..count).map(|i| i % set.captions().len()).collect();
        // A stride coprime to the count spreads times evenly over clips of one kind.
        let stride = (1..).map(|i| count * 382 / 1000 + i).find(|&s| gcd(s, count) == 1).unwrap_or(1);
        let times: Vec<f32> = (0..count)
            .map(|i| quantile(flow, set.shape(), ((i * stride % count) as f64 + 0.5) / count as f64))
            .collect();
        let chunk = |(indices, times): (&[usize], &[f32])| -> Result<FlowBatch, TrainError> {
            Ok(FlowBatch::of(set, parameterisation, indices, times.to_vec(), &mut rng)?.weighted(flow))
        };
        let batches = indices.chunks(batch).zip(times.chunks(batch)).map(chunk).collect::<Result<_, _>>()?;
        Ok(Self { batches, text: text.clone() })
    }

    /// Shapes of graphs that [`HeldOut::loss`] needs: one per batch size.
    pub fn shapes(&self) -> Vec<DenoiserShape> {
        let shape = |batch: &FlowBatch| {
            let [batch, _, frames, height, width] = batch.shape;
            DenoiserShape { batch, frames, height, width, tokens: self.text.tokens }
        };
        let mut shapes: Vec<DenoiserShape> = self.batches.iter().map(shape).collect();
        shapes.dedup();
        shapes
    }

    /// The same clips, times and noise with frames in another order.
    pub fn with_frame_order(&self, order: &[usize]) -> Self {
        let reorder = |batch: &FlowBatch| {
            let [rows, channels, frames, height, width] = batch.shape;
            let length = channels * frames * height * width;
            let clips = batch.data.chunks(length).map(<[f32]>::to_vec).collect();
            let set = LatentSet { shape: [channels, frames, height, width], clips, captions: vec![0; rows] };
            FlowBatch { data: set.with_frame_order(order).clips.concat(), ..batch.clone() }
        };
        Self { batches: self.batches.iter().map(reorder).collect(), text: self.text.clone() }
    }

    /// Loss of a network: `graph` builds it for a shape.
    pub fn loss(
        &self,
        parameters: &Parameters,
        mut graph: impl FnMut(DenoiserShape) -> Result<Graph, TrainError>,
    ) -> Result<HeldOutLoss, TrainError> {
        let mut graphs: BTreeMap<DenoiserShape, Graph> = BTreeMap::new();
        for shape in self.shapes() {
            graphs.insert(shape, graph(shape)?);
        }
        let device = parameters.device();
        let of_batches = side_by_side(device, self.batches.iter().collect(), |batch: &FlowBatch| {
            let [rows, _, frames, height, width] = batch.shape;
            let shape = DenoiserShape { batch: rows, frames, height, width, tokens: self.text.tokens };
            let v = batch.velocity(&graphs[&shape], parameters, &self.text, device)?.to_vec();
            let length = v.len() / rows;
            let target = batch.target();
            let losses = v.chunks(length).zip(target.chunks(length)).map(|(v, target)| mean_square(v, target));
            let mut losses: Vec<f64> = losses.collect();
            for (loss, &weight) in losses.iter_mut().zip(&batch.weights) {
                *loss *= f64::from(weight);
            }
            Ok::<_, TrainError>(losses)
        })?;
        let per_clip = of_batches.concat();
        let times: Vec<f64> =
            self.batches.iter().flat_map(|batch| batch.times.iter().map(|&t| f64::from(t))).collect();
        let mean = per_clip.iter().sum::<f64>() / per_clip.len() as f64;
        Ok(HeldOutLoss { mean, bands: bands(&times, &per_clip), per_clip })
    }
}

impl Paired {
    /// Compares two losses on the same clips.
    pub fn new(first: &HeldOutLoss, second: &HeldOutLoss) -> Self {
        let differences: Vec<f64> = first.per_clip.iter().zip(&second.per_clip).map(|(a, b)| a - b).collect();
        let clips = differences.len();
        let n = clips.max(2) as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { difference: mean, standard_error: (variance / n).sqrt(), clips }
    }
}

fn mean_square(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64
}

fn bands(times: &[f64], losses: &[f64]) -> Vec<Band> {
    const EDGES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
    let band = |edge: &[f64]| {
        let inside = |t: f64| t > edge[0] && t <= edge[1];
        let losses: Vec<f64> =
            times.iter().zip(losses).filter(|&(&t, _)| inside(t)).map(|(_, &loss)| loss).collect();
        let mean = losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        Band { from: edge[0], to: edge[1], mean, clips: losses.len() }
    };
    EDGES.windows(2).map(band).filter(|band| band.clips > 0).collect()
}

/// Time below which a fraction of training times lies.
fn quantile(flow: &FlowSettings, shape: [usize; 4], fraction: f64) -> f32 {
    flow.shift.shift(flow.time.at(normal_quantile(fraction) as f32), shape)
}

/// Quantile of the standard normal by bisection on its distribution function.
fn normal_quantile(fraction: f64) -> f64 {
    let (mut low, mut high) = (-8.0f64, 8.0f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_cdf(middle) < fraction { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Φ(x) by the series Σ x^(2k+1) / (1·3·5…(2k+1)) (Marsaglia 2004, "Evaluating the normal distribution").
fn normal_cdf(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-16 && k < 400.0 {
        term *= x * x / (2.0 * k + 1.0);
        sum += term;
        k += 1.0;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (fraction, x) in [(0.5, 0.0), (0.975, 1.959964), (0.1586553, -1.0), (0.99865, 2.9999)] {
            assert!((normal_quantile(fraction) - x).abs() < 1e-3, "{fraction} {}", normal_quantile(fraction));
        }
    }

    #[test]
    fn pairing_removes_what_clips_have_in_common() {
        let loss = |per_clip: Vec<f64>| HeldOutLoss { mean: 0.0, bands: Vec::new(), per_clip };
        let paired = Paired::new(&loss(vec![1.0, 2.0, 3.0]), &loss(vec![1.1, 2.1, 3.1]));
        assert!((paired.difference + 0.1).abs() < 1e-12 && paired.standard_error < 1e-12);
    }
}
