use rand::RngExt;
use tnas_network::{Stream, stream};

use crate::flow_batch::FlowBatch;

/// Whether a step trains on single frames of its clips, and on which: joint training on images and videos (Ho et al. 2022, §4),
/// which keeps what frames look like while motion is learned. Drawn from a stream of its own, so that the other steps see the
/// clips that they see without images.
pub(crate) struct ImageStep(Option<Stream>);

impl ImageStep {
    /// A fraction of the steps does.
    pub fn draw(fraction: f64, seed: u64, stage: &str, step: u64) -> Self {
        if fraction == 0.0 {
            return Self(None);
        }
        let mut rng = stream(seed, &format!("{stage}/images"), step);
        Self(rng.random_bool(fraction.clamp(0.0, 1.0)).then_some(rng))
    }

    /// One frame of each clip with that frame's noise, where the step is one of images; else the clips as they are.
    pub fn apply(&mut self, batch: FlowBatch) -> FlowBatch {
        let [rows, channels, frames, height, width] = batch.shape;
        let Some(rng) = &mut self.0 else { return batch };
        if frames == 1 {
            return batch;
        }
        let picks: Vec<usize> = (0..rows).map(|_| rng.random_range(0..frames)).collect();
        let area = height * width;
        let picked = |clips: &[f32]| {
            let plane = |row: usize, channel: usize| {
                &clips[((row * channels + channel) * frames + picks[row]) * area..][..area]
            };
            (0..rows).flat_map(|row| (0..channels).flat_map(move |c| plane(row, c).iter().copied())).collect()
        };
        let (data, noise) = (picked(&batch.data), picked(&batch.noise));
        FlowBatch { data, noise, shape: [rows, channels, 1, height, width], given: Vec::new(), ..batch }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::LatentSet;

    fn batch() -> FlowBatch {
        let clips = (0..3).map(|clip| (0..16).map(|x| (100 * clip + x) as f32).collect()).collect();
        let set = LatentSet { shape: [2, 4, 1, 2], clips, captions: vec![0; 3] };
        FlowBatch::of(&set, &Arc::default(), &[0, 1, 2], vec![0.5; 3], &mut stream(1, "test", 0)).unwrap()
    }

    #[test]
    fn an_image_is_a_frame_of_its_clip_with_that_frames_noise() {
        let whole = batch();
        let image = ImageStep::draw(1.0, 3, "test", 0).apply(batch());
        assert_eq!(image.shape, [3, 2, 1, 1, 2]);
        for row in 0..3 {
            let of = |data: &[f32], channel: usize| data[(row * 2 + channel) * 2..][..2].to_vec();
            let frame =
                |data: &[f32], channel: usize, f: usize| data[((row * 2 + channel) * 4 + f) * 2..][..2].to_vec();
            let f = (0..4).find(|&f| frame(&whole.data, 0, f) == of(&image.data, 0)).unwrap();
            for channel in 0..2 {
                assert_eq!(frame(&whole.data, channel, f), of(&image.data, channel));
                assert_eq!(frame(&whole.noise, channel, f), of(&image.noise, channel));
            }
        }
    }

    #[test]
    fn a_fraction_of_the_steps_is_images_and_the_rest_is_untouched() {
        let whole = batch();
        let images = (0..400).filter(|&step| {
            let taken = ImageStep::draw(0.25, 3, "test", step).apply(batch());
            taken.shape[2] == 1 || (taken.data != whole.data || taken.noise != whole.noise)
        });
        let count = images.count();
        assert!((70..130).contains(&count), "{count} of 400");
        assert_eq!(ImageStep::draw(0.0, 3, "test", 0).apply(batch()).shape[2], 4);
    }
}
