use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digits::SIDE;
use crate::shapes::mirrored;
use crate::{CaptionPolicy, Clip, ClipError, Digits, Split};

/// Moving MNIST (Srivastava et al. 2015, §4.1): two handwritten digits that drift and bounce off the borders, one
/// behind the other where they meet, without end and by seed.
///
/// Captions are such as "digits 3 and 7 moving". Labels: `first` and `second`, the smaller first, and `digits`, both.
/// Clips to learn from show the first 8,000 digits of MNIST's test set, all others the last 2,000.
///
/// Invariant: clip i of a split shows the same scene at every size, and its first frames whatever their number.
#[derive(Clone, Debug)]
pub struct MovingMnist {
    digits: Arc<Digits>,
    settings: MovingMnistSettings,
}

/// Which clips of moving digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MovingMnistSettings {
    /// Frames of a clip.
    pub frames: usize,
    /// Rows and columns; a digit takes 28 of 64.
    pub size: usize,
    /// Of all draws.
    pub seed: u64,
    /// What the clips are for.
    pub split: Split,
    /// Which words stand for a clip.
    pub caption: CaptionPolicy,
}

/// A digit takes so much of a side.
const DIGIT_FRACTION: f64 = 28.0 / 64.0;

/// A digit moves by this fraction of its way across from frame to frame.
const STEP: f64 = 0.1;

/// Digits to learn from; the rest is held out.
const TRAIN_DIGITS: usize = 8000;
const ALL_DIGITS: usize = 10_000;

/// A moving digit; `from` and `velocity` (per frame) are fractions of the free length of each axis.
struct Drift {
    digit: usize,
    from: [f64; 2],
    velocity: [f64; 2],
}

impl Default for MovingMnistSettings {
    fn default() -> Self {
        Self { frames: 16, size: 64, seed: 0, split: Split::Train, caption: CaptionPolicy::Full }
    }
}

impl MovingMnist {
    /// Checks the settings.
    pub fn new(digits: Arc<Digits>, settings: MovingMnistSettings) -> Result<Self, ClipError> {
        let refuse = |name, value: usize, reason: &str| {
            Err(ClipError::Setting { name, value: value.to_string(), reason: reason.to_owned() })
        };
        if settings.frames == 0 {
            return refuse("frames", 0, "a clip has at least one frame");
        }
        if !(16..=1024).contains(&settings.size) {
            return refuse("size", settings.size, "16 to 1024 pixels show two digits");
        }
        Ok(Self { digits, settings })
    }

    /// Clip number `index`: a pure function of the digits, the settings and the index.
    pub fn clip(&self, index: usize) -> Result<Clip, ClipError> {
        let MovingMnistSettings { frames, size, .. } = self.settings;
        let drifts = self.drifts(index);
        let (caption, labels) = self.described(&drifts)?;
        let mut pixels = Vec::with_capacity(frames * 3 * size * size);
        for frame in 0..frames {
            let mut levels = vec![0.0f32; size * size];
            drifts.iter().for_each(|drift| self.draw(drift, frame, &mut levels));
            let plane: Vec<f32> = levels.iter().map(|level| level / 127.5 - 1.0).collect();
            (0..3).for_each(|_| pixels.extend_from_slice(&plane));
        }
        Ok(Clip { frames, height: size, width: size, pixels, caption, labels })
    }

    /// Caption and labels of clip `index`, without drawing it.
    pub fn describe(&self, index: usize) -> Result<(String, BTreeMap<String, String>), ClipError> {
        self.described(&self.drifts(index))
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &MovingMnistSettings {
        &self.settings
    }

    /// SHA-256 of the digits.
    pub fn digits_hash(&self) -> &[u8; 32] {
        self.digits.hash()
    }

    fn described(&self, drifts: &[Drift; 2]) -> Result<(String, BTreeMap<String, String>), ClipError> {
        let mut shown = [0, 1].map(|i| self.digits.label(drifts[i].digit));
        shown.sort_unstable();
        let [first, second] = shown;
        let labels = BTreeMap::from([
            ("digits".to_owned(), format!("{first} {second}")),
            ("first".to_owned(), first.to_string()),
            ("second".to_owned(), second.to_string()),
        ]);
        let text = format!("digits {first} and {second} moving");
        Ok((self.settings.caption.caption(&text, &labels)?, labels))
    }

    fn drifts(&self, index: usize) -> [Drift; 2] {
        let (split, digits): (&str, Range<usize>) = match self.settings.split {
            Split::Train => ("train", 0..TRAIN_DIGITS),
            Split::Validation => ("validation", TRAIN_DIGITS..ALL_DIGITS),
            Split::Test => ("test", TRAIN_DIGITS..ALL_DIGITS),
        };
        let key = format!("tnas moving mnist 1, seed {}, {split}, clip {index}", self.settings.seed);
        let mut rng = ChaCha8Rng::from_seed(Sha256::digest(key).into());
        [0, 1].map(|_| {
            let digit = rng.random_range(digits.clone());
            let from = [rng.random(), rng.random()];
            let (sine, cosine) = (TAU * rng.random::<f64>()).sin_cos();
            Drift { digit, from, velocity: [STEP * cosine, STEP * sine] }
        })
    }

    /// Lays a digit where it is at a frame; the brighter level stays.
    fn draw(&self, drift: &Drift, frame: usize, levels: &mut [f32]) {
        let size = self.settings.size;
        let side = DIGIT_FRACTION * size as f64;
        let [x, y] = [0, 1].map(|i| {
            let place = mirrored(drift.from[i] + drift.velocity[i] * frame as f64, 0.0, 1.0);
            place * (size as f64 - side)
        });
        let (columns, rows) = (covers(x, side, size), covers(y, side, size));
        let digit = self.digits.levels(drift.digit);
        for (row, row_cover) in &rows {
            for (column, column_cover) in &columns {
                let mut level = 0.0;
                for &(i, row_fraction) in row_cover {
                    for &(j, column_fraction) in column_cover {
                        level += row_fraction * column_fraction * f32::from(digit[i * SIDE + j]);
                    }
                }
                let there = &mut levels[row * size + column];
                *there = there.max(level.min(255.0));
            }
        }
    }
}

/// Fractions of a pixel that the digit's cells cover, with the cell's index.
type Cover = Vec<(usize, f32)>;

/// Which of a digit's cells lie over which pixels of a line, and how much of each they cover: the digit begins at `start`
/// and is `side` long.
fn covers(start: f64, side: f64, size: usize) -> Vec<(usize, Cover)> {
    let cell = side / SIDE as f64;
    let pixels = start.floor().max(0.0) as usize..((start + side).ceil() as usize).min(size);
    let cover = |pixel: usize| -> Cover {
        let fraction = |i: usize| {
            let (from, to) = (start + i as f64 * cell, start + (i + 1) as f64 * cell);
            to.min((pixel + 1) as f64) - from.max(pixel as f64)
        };
        (0..SIDE).filter(|&i| fraction(i) > 0.0).map(|i| (i, fraction(i) as f32)).collect()
    };
    pixels.map(|pixel| (pixel, cover(pixel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_s_cells_cover_its_length() {
        for (start, side, size) in [(0.0, 28.0, 64), (17.3, 28.0, 64), (3.25, 7.0, 16), (100.5, 448.0, 1024)] {
            let covers = covers(start, side, size);
            let sum: f32 = covers.iter().flat_map(|(_, cover)| cover).map(|(_, fraction)| fraction).sum();
            assert!((f64::from(sum) - side).abs() < 1e-3, "{sum} of {side}");
            assert!(covers.iter().all(|(pixel, cover)| *pixel < size && cover.iter().all(|(i, _)| *i < SIDE)));
        }
    }
}
