//! Clips that the evaluator learns to see through, and those that it learns to distinguish from real ones.

use std::collections::BTreeMap;

use rand::{RngExt, seq::SliceRandom};
use tnas_clips::{Clip, ClipSet};
use tnas_network::{Stream, normal_vec};

use super::EvaluatorSettings;

/// A clip that shows the same less cleanly: moved by a pixel or two, a box of it hidden, frames that differ in noise and
/// brightness.
pub(crate) fn disturbed(clip: &Clip, settings: &EvaluatorSettings, rng: &mut Stream) -> Clip {
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

/// The kind of clips that are out of order.
pub(crate) const OUT_OF_ORDER: usize = 1;

/// What is done to the corrupted clip of this turn.
pub(crate) fn kind_of_corruption(turn: usize, kinds: usize) -> usize {
    OUT_OF_ORDER + turn % (kinds - 1)
}

/// Clips by caption.
pub(crate) struct Alike {
    /// The caption of each clip, as a number.
    captions: Vec<usize>,
    /// Clips of each.
    clips: Vec<Vec<usize>>,
}

impl Alike {
    pub fn new(clips: &ClipSet) -> Self {
        let mut numbers = BTreeMap::new();
        let mut found = Self { captions: Vec::new(), clips: Vec::new() };
        for (clip, caption) in clips.captions().enumerate() {
            let number = *numbers.entry(caption).or_insert(found.clips.len());
            if number == found.clips.len() {
                found.clips.push(Vec::new());
            }
            found.captions.push(number);
            found.clips[number].push(clip);
        }
        found
    }

    /// Another clip of a clip's caption; any other where no other has it.
    pub fn another(&self, clip: usize, rng: &mut Stream) -> usize {
        let alike = &self.clips[self.captions[clip]];
        let mut other = |own: usize, count: usize| {
            let drawn = rng.random_range(0..count - 1);
            drawn + usize::from(drawn >= own)
        };
        match (alike.binary_search(&clip), self.captions.len()) {
            (Ok(own), _) if alike.len() > 1 => alike[other(own, alike.len())],
            (_, all) if all > 1 => other(clip, all),
            _ => clip,
        }
    }
}

/// A clip as no camera films it: its frames in another order, or one frame all the time.
pub(crate) fn out_of_order(clip: &Clip, rng: &mut Stream) -> Clip {
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

#[cfg(test)]
pub mod tests {
    use tnas_network::stream;

    use super::*;

    pub fn clip() -> Clip {
        let pixels = (0..2 * 3 * 16 * 16).map(|x| (x % 97) as f32 / 97.0).collect();
        let mut clip = Clip::new(2, 16, 16, pixels).unwrap();
        clip.labels.insert("action".into(), "walk".into());
        clip
    }

    fn corrupted(hidden: f64, noise: f32, seed: u64) -> Clip {
        let settings = EvaluatorSettings { hidden, noise, ..EvaluatorSettings::default() };
        disturbed(&clip(), &settings, &mut stream(seed, "test", 0))
    }

    #[test]
    fn a_blend_is_with_another_clip_of_the_caption_or_any_other() {
        let clip = |caption: &str| Clip { caption: caption.into(), ..clip() };
        let alike = Alike::new(&ClipSet::of(["a", "b", "a", "c", "a"].map(clip).to_vec()).unwrap());
        let mut rng = stream(1, "test", 0);
        let mut others = |clip| -> std::collections::BTreeSet<usize> {
            (0..100).map(|_| alike.another(clip, &mut rng)).collect()
        };
        assert_eq!(others(2), [0, 4].into());
        assert_eq!(others(1), [0, 2, 3, 4].into());
        let alone = Alike::new(&ClipSet::of(vec![clip("a")]).unwrap());
        assert_eq!(alone.another(0, &mut stream(1, "test", 0)), 0);
    }

    #[test]
    fn a_clean_disturbance_only_moves() {
        let real = clip();
        for seed in 0..20 {
            let moved = corrupted(0.0, 0.0, seed);
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
            let (moved, boxed) = (corrupted(0.0, 0.0, seed), corrupted(1.0, 0.0, seed));
            let share = |clip: &Clip, grey: f32| clip.pixels.iter().filter(|&&x| x == grey).count() as f64 / 1536.0;
            let greys: std::collections::BTreeSet<u32> =
                boxed.pixels.iter().filter(|x| !moved.pixels.contains(x)).map(|x| x.to_bits()).collect();
            assert_eq!(greys.len(), 1);
            let hidden = share(&boxed, f32::from_bits(*greys.first().unwrap()));
            assert!(hidden > 0.0 && hidden <= 1.0 / 9.0, "{hidden}");
        }
        assert!(corrupted(1.0, 1.0, 3).pixels.iter().all(|x| x.abs() <= 1.0));
    }
}
