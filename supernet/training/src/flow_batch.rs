use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use rand::RngExt;
use tnas_graph::Graph;
use tnas_network::{Stream, Value, WeightSource, clip_noise};
use tnas_schedulers::{Parameterisation, interpolate};

use crate::{
    EMPTY_CAPTION, FlowSettings, LatentSource, TextFeatures, TrainError, Weighting,
    denoise::{Denoise, by_clip, column},
    micro_batches::part_sizes,
    weighted_loss::mean_squared,
};

/// Clips with times and noise, on the host: a training batch of a rectified flow. Rows are clips.
///
/// `data` and `noise` are `[B, C, F, H, W]`, row-major.
#[derive(Clone, Debug)]
pub(crate) struct FlowBatch {
    /// Caption of each clip, by its index among the text features.
    pub captions: Vec<usize>,
    /// Time of each clip, in the model's range.
    pub times: Vec<f32>,
    /// x0.
    pub data: Vec<f32>,
    /// ε.
    pub noise: Vec<f32>,
    /// Weight of each clip's loss; empty where all are 1.
    pub weights: Vec<f32>,
    /// Whether a clip's first frame is given: without noise, and with nothing left to predict. Empty where none is.
    pub given: Vec<bool>,
    /// Shape of the sample `[B, C, F, H, W]`.
    pub shape: [usize; 5],
    /// The diffusion process.
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
        let times = (0..batch).map(|_| flow.draw(set.shape(), rng)).collect();
        let mut batch = Self::of(set, parameterisation, &indices, times, rng)?.weighted(flow);
        batch.drop_captions(flow, rng);
        Ok(batch)
    }

    /// With each clip's loss weighted by its time, as the settings say.
    pub fn weighted(self, flow: &FlowSettings) -> Self {
        let weights = match flow.weighting {
            Weighting::None => Vec::new(),
            weighting => self.times.iter().map(|&t| weighting.of(t)).collect(),
        };
        Self { weights, ..self }
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

    /// The clips of these indices at these times of the unit interval, brought into the model's range, with noise from the stream.
    pub fn of(
        set: &dyn LatentSource,
        parameterisation: &Arc<Parameterisation>,
        indices: &[usize],
        times: Vec<f32>,
        rng: &mut Stream,
    ) -> Result<Self, TrainError> {
        let data = set.gather(indices)?;
        let captions = indices.iter().map(|&index| set.captions()[index]).collect();
        let [channels, frames, height, width] = set.shape();
        let times = times.into_iter().map(|t| parameterisation.time(t)).collect();
        let shape = [indices.len(), channels, frames, height, width];
        let noise = clips_noise(shape, parameterisation, rng);
        Ok(Self {
            captions,
            times,
            data,
            noise,
            weights: Vec::new(),
            given: Vec::new(),
            shape,
            parameterisation: parameterisation.clone(),
        })
    }

    /// Fresh noise for these clips, with the fraction that their frames share.
    pub fn fresh_noise(&self, rng: &mut Stream) -> Vec<f32> {
        clips_noise(self.shape, &self.parameterisation, rng)
    }

    /// With the first frame of about this fraction of the clips given, so that a model learns to animate an image.
    pub fn given_first_frames(self, fraction: f64, rng: impl FnOnce() -> Stream) -> Self {
        if fraction == 0.0 {
            return self;
        }
        let mut rng = rng();
        let given = self.captions.iter().map(|_| rng.random_bool(fraction.clamp(0.0, 1.0))).collect();
        Self { given, ..self }
    }

    /// The batch in two halves, the first the larger; a single clip stays whole.
    pub fn halves(&self) -> Vec<Self> {
        self.parts(2)
    }

    /// The batch in `count` micro-batches, each in halves.
    pub fn micro_batches(&self, count: usize) -> Vec<Vec<Self>> {
        self.parts(count).iter().map(Self::halves).collect()
    }

    fn parts(&self, count: usize) -> Vec<Self> {
        let mut end = 0;
        let part = |rows: usize| {
            end += rows;
            self.part(end - rows..end)
        };
        part_sizes(self.captions.len(), count).map(part).collect()
    }

    fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let length: usize = self.shape[1..].iter().product();
        let elements = rows.start * length..rows.end * length;
        Self {
            captions: self.captions[rows.clone()].to_vec(),
            times: self.times[rows.clone()].to_vec(),
            data: self.data[elements.clone()].to_vec(),
            noise: self.noise[elements].to_vec(),
            weights: self.weights.get(rows.clone()).map(<[f32]>::to_vec).unwrap_or_default(),
            given: self.given.get(rows.clone()).map(<[bool]>::to_vec).unwrap_or_default(),
            shape: [rows.len(), self.shape[1], self.shape[2], self.shape[3], self.shape[4]],
            parameterisation: self.parameterisation.clone(),
        }
    }

    /// These clips as a fraction of a step's.
    pub fn fraction_of(&self, clips: usize) -> f64 {
        self.captions.len() as f64 / clips as f64
    }

    /// x_t of every clip.
    pub fn noised(&self) -> Vec<f32> {
        let length = self.data.len() / self.times.len();
        let rows = self.data.chunks(length).zip(self.noise.chunks(length)).zip(&self.times);
        let mut noised: Vec<f32> = rows.flat_map(|((data, noise), &t)| interpolate(data, noise, t)).collect();
        for plane in self.given_planes() {
            noised[plane.clone()].copy_from_slice(&self.data[plane]);
        }
        noised
    }

    /// Target velocity ε − x0, and 0 of a frame that is given.
    pub fn target(&self) -> Vec<f32> {
        let mut target: Vec<f32> = self.noise.iter().zip(&self.data).map(|(noise, data)| noise - data).collect();
        self.given_planes().for_each(|plane| target[plane].fill(0.0));
        target
    }

    /// Elements of each channel of the given frames.
    fn given_planes(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let [_, channels, frames, height, width] = self.shape;
        let area = height * width;
        let rows = self.given.iter().enumerate().filter(|(_, given)| **given);
        let starts =
            rows.flat_map(move |(row, _)| (0..channels).map(move |c| (row * channels + c) * frames * area));
        starts.map(move |start| start..start + area)
    }

    /// Mean squared difference of two values of the clips' shape, each clip by its weight.
    pub fn loss(&self, a: Value, b: Value, device: &Device) -> Tensor<1> {
        if self.weights.is_empty() {
            return mean_squared(a, b);
        }
        let squares = (by_clip(a) - by_clip(b)).square().mean_dim(1); // [B, 1]
        (squares * column(Value::constant(self.weights.clone(), &[self.weights.len()], device))).mean()
    }

    /// The velocity that a denoiser sees in the noised clips.
    pub fn velocity(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        text: &TextFeatures,
        device: &Device,
    ) -> Result<Value, TrainError> {
        Ok(self.velocity_and_features(graph, weights, text, device)?.0)
    }

    /// The same with the graph's other outputs, its block outputs.
    pub fn velocity_and_features(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        text: &TextFeatures,
        device: &Device,
    ) -> Result<(Value, Vec<Value>), TrainError> {
        let context = text.gather_context(&self.captions);
        let context = Value::constant(context, &[self.captions.len(), text.tokens, text.width], device);
        let denoise = Denoise { parameterisation: &self.parameterisation, times: &self.times, device };
        denoise.velocity_and_features(
            graph,
            weights,
            Value::constant(self.noised(), &self.shape, device),
            vec![context],
        )
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
        denoise.velocity(graph, weights, Value::constant(self.noised(), &self.shape, device), vec![context])
    }
}

/// Noise of clips `[B, C, F, H, W]`, each with the fraction that its frames share.
pub(crate) fn clips_noise(
    [batch, clip @ ..]: [usize; 5],
    parameterisation: &Parameterisation,
    rng: &mut Stream,
) -> Vec<f32> {
    (0..batch).flat_map(|_| clip_noise(clip, parameterisation.shared_noise(), rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LatentSet;

    #[test]
    fn a_given_frame_has_no_noise_and_nothing_to_predict() {
        let set = LatentSet {
            shape: [2, 3, 1, 2],
            clips: (0..4).map(|clip| (0..12).map(|x| (100 * clip + x) as f32).collect()).collect(),
            captions: vec![0; 4],
        };
        let rng = || tnas_network::stream(1, "test", 0);
        let plain = FlowBatch::of(&set, &Arc::default(), &[0, 1, 2, 3], vec![0.5; 4], &mut rng()).expect("clips");
        let some = FlowBatch { given: vec![true, false, true, false], ..plain.clone() };
        for (index, (found, free)) in some.noised().iter().zip(plain.noised()).enumerate() {
            let (row, frame) = (index / 12, index / 2 % 3);
            let given = row % 2 == 0 && frame == 0;
            assert_eq!(*found, if given { some.data[index] } else { free }, "{index}");
            let target = some.noise[index] - some.data[index];
            assert_eq!(some.target()[index], if given { 0.0 } else { target }, "{index}");
        }
        let halves: Vec<f32> = some.halves().iter().flat_map(FlowBatch::noised).collect();
        assert_eq!(halves, some.noised());
        assert!(plain.clone().given_first_frames(0.0, rng).given.is_empty());
        assert_eq!(plain.given_first_frames(1.0, rng).given, [true; 4]);
    }

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
            assert_eq!(halves.iter().map(|half| half.fraction_of(rows)).sum::<f64>(), 1.0);
            let joined = |part: fn(&FlowBatch) -> Vec<f32>| halves.iter().flat_map(part).collect::<Vec<_>>();
            assert_eq!(joined(FlowBatch::noised), whole.noised());
            assert_eq!(joined(FlowBatch::target), whole.target());
            assert_eq!(halves.iter().flat_map(|half| half.captions.clone()).collect::<Vec<_>>(), whole.captions);
        }
    }
}
