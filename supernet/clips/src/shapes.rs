//! The built-in data: coloured shapes in motion. One directory per idea: what there is to see (`figure`), how it moves
//! (`motion`, `path`), what a caption leaves open (`scene`), and how it is drawn (`render`).

mod figure;
mod motion;
mod path;
mod render;
mod scene;

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use figure::{Colour, Figure};
pub use motion::{Direction, Motion};
pub(crate) use path::mirrored;
use scene::Scene;

use crate::{Clip, ClipError};

/// An endless, seeded supply of captioned clips of moving shapes.
///
/// Labels: `motion`, `direction`, `shape`, `colour`, `other_shape`, `other_colour`; `none` where the caption says nothing.
/// Size, place, speed, phase, background and who is in front are left open.
///
/// Invariant: clip i of a split shows the same scene for every number of frames and every size, and no clip is in two splits.
#[derive(Clone, Debug)]
pub struct ShapeClips {
    settings: ShapeSettings,
}

/// Which clips of moving shapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapeSettings {
    /// Frames of a clip. A motion takes as long as the clip, so more frames are slower steps of the same motion.
    pub frames: usize,
    /// Rows and columns, at least 8.
    pub size: usize,
    /// Another seed gives other clips.
    pub seed: u64,
    /// Another split gives other clips too.
    pub split: Split,
    /// The motions that occur, equally often.
    pub motions: Vec<Motion>,
}

/// What a set of clips is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    #[default]
    Train,
    /// To choose by.
    Validation,
    /// To report.
    Test,
}

impl Default for ShapeSettings {
    fn default() -> Self {
        Self { frames: 8, size: 32, seed: 0, split: Split::Train, motions: Motion::ALL.to_vec() }
    }
}

impl ShapeClips {
    /// Checks the settings.
    pub fn new(settings: ShapeSettings) -> Result<Self, ClipError> {
        let refuse = |name, value: usize, reason: &str| {
            Err(ClipError::Setting { name, value: value.to_string(), reason: reason.to_owned() })
        };
        if settings.frames == 0 {
            return refuse("frames", 0, "a clip has at least one frame");
        }
        if !(8..=1024).contains(&settings.size) {
            return refuse("size", settings.size, "8 to 1024 pixels show a shape");
        }
        if settings.motions.is_empty() {
            return refuse("motions", 0, "name at least one");
        }
        Ok(Self { settings })
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &ShapeSettings {
        &self.settings
    }

    /// Clip number `index`: a pure function of the settings and the index.
    pub fn clip(&self, index: usize) -> Clip {
        let ShapeSettings { frames, size, .. } = self.settings;
        let scene = Scene::sample(&self.settings.motions, &mut self.random(index));
        Clip {
            frames,
            height: size,
            width: size,
            pixels: render::render(&scene, frames, size),
            caption: scene.caption,
            labels: scene.labels,
        }
    }

    /// Caption and labels of clip number `index`, without drawing it.
    pub fn described(&self, index: usize) -> (String, BTreeMap<String, String>) {
        let scene = Scene::sample(&self.settings.motions, &mut self.random(index));
        (scene.caption, scene.labels)
    }

    /// Every caption that can occur, sorted.
    pub fn captions(&self) -> Vec<String> {
        let captions: BTreeSet<String> =
            self.settings.motions.iter().flat_map(|motion| scene::captions(*motion)).collect();
        captions.into_iter().collect()
    }

    /// Every word of those captions, sorted.
    pub fn vocabulary(&self) -> Vec<String> {
        let words: BTreeSet<String> =
            self.captions().iter().flat_map(|caption| caption.split(' ')).map(str::to_owned).collect();
        words.into_iter().collect()
    }

    /// The stream of random numbers of one clip; frames, size and motions are no part of it.
    fn random(&self, index: usize) -> ChaCha8Rng {
        let split = match self.settings.split {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        };
        let key = format!("tnas shapes 1, seed {}, {split}, clip {index}", self.settings.seed);
        ChaCha8Rng::from_seed(Sha256::digest(key).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(frames: usize, size: usize, split: Split) -> ShapeClips {
        ShapeClips::new(ShapeSettings { frames, size, split, ..Default::default() }).expect("settings")
    }

    #[test]
    fn a_clip_is_a_function_of_its_index() {
        let shapes = shapes(8, 16, Split::Train);
        let again = shapes.clone();
        for index in [0, 1, 17, 1_000_000] {
            assert_eq!(shapes.clip(index), again.clip(index));
        }
        assert_ne!(shapes.clip(0), shapes.clip(1));
        let other = ShapeClips::new(ShapeSettings { seed: 1, ..shapes.settings.clone() }).expect("settings");
        assert_ne!(shapes.clip(0), other.clip(0));
    }

    #[test]
    fn the_scene_does_not_depend_on_frames_and_size() {
        for index in 0..50 {
            let (small, large) = (shapes(8, 16, Split::Test).clip(index), shapes(16, 32, Split::Test).clip(index));
            assert_eq!((&small.caption, &small.labels), (&large.caption, &large.labels));
        }
    }

    #[test]
    fn splits_share_no_clip() {
        let mut seen = BTreeSet::new();
        for split in [Split::Train, Split::Validation, Split::Test] {
            for index in 0..300 {
                let bytes: Vec<u8> =
                    shapes(2, 8, split).clip(index).pixels.iter().flat_map(|x| x.to_le_bytes()).collect();
                assert!(seen.insert(bytes), "{split:?} {index} was seen before");
            }
        }
    }

    #[test]
    fn pixels_are_finite_and_in_range() {
        for (frames, size) in [(1, 8), (8, 16), (16, 32), (3, 24)] {
            for index in 0..40 {
                let clip = shapes(frames, size, Split::Train).clip(index);
                assert_eq!(clip.pixels.len(), frames * 3 * size * size);
                assert!(clip.pixels.iter().all(|x| (-1.0..=1.0).contains(x)));
            }
        }
    }

    #[test]
    fn every_clip_has_a_listed_caption_and_every_motion_occurs() {
        let shapes = shapes(1, 8, Split::Train);
        let captions: BTreeSet<String> = shapes.captions().into_iter().collect();
        let mut motions = BTreeSet::new();
        for index in 0..500 {
            let clip = shapes.clip(index);
            assert!(captions.contains(&clip.caption), "{} is not listed", clip.caption);
            motions.insert(clip.labels["motion"].clone());
        }
        assert_eq!(motions.len(), Motion::ALL.len());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let with =
            |frames, size, motions| ShapeClips::new(ShapeSettings { frames, size, motions, ..Default::default() });
        assert!(with(0, 16, Motion::ALL.to_vec()).is_err());
        assert!(with(8, 4, Motion::ALL.to_vec()).is_err());
        assert!(with(8, 16, Vec::new()).is_err());
    }
}
