use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_clips::{CaptionPolicy, Fit, Motion, Short};
use tnas_training::Loading;

/// Clips and captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// `shapes`, or `videofolder` or `moving-mnist` with a path.
    pub kind: DataKind,
    /// Folder with `train` and `val` (and `test…`) of a videofolder, or of MNIST's files.
    pub path: Option<PathBuf>,
    /// Frames of a clip.
    pub frames: usize,
    /// Rows and columns of a frame.
    pub size: usize,
    /// Frames of a clip that are a second of its film, taken from the middle; spread over the whole film where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Frames a second of films that do not say it: of grids and numbered PNGs without a label `fps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_fps: Option<f64>,
    /// What follows where a film ends before the clip: `hold` its last frame, or `loop`.
    #[serde(default)]
    pub short: Short,
    /// How a film's picture becomes a square: `crop` to its middle, `pad` with background, or `stretch`.
    #[serde(default)]
    pub fit: Fit,
    /// Rows and columns of frames in every PNG without labels `rows` and `columns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<[usize; 2]>,
    /// Red, green and blue behind transparent pixels and around padded pictures.
    #[serde(default = "white")]
    pub background: [u8; 3],
    /// A larger fraction of broken files stops the run; up to it they are named and left out.
    #[serde(default = "one_in_a_hundred")]
    pub max_broken: f64,
    /// Clips to train on; all of a folder's where not given.
    pub train_clips: Option<usize>,
    /// Clips to validate on; all of a folder's where not given.
    pub validation_clips: Option<usize>,
    /// Which words stand for a clip of a folder or of moving digits.
    #[serde(default)]
    pub caption: CaptionPolicy,
    /// Motions of the shapes; all where not given.
    pub motions: Option<Vec<Motion>>,
}

/// Kinds of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// Built-in coloured shapes.
    Shapes,
    /// A folder of films (GIF, APNG, WebP, PNG frames or grids, MP4) with captions.
    Videofolder,
    /// Two handwritten digits that bounce.
    MovingMnist,
}

/// Where encoded clips are kept, and how many wait for training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoadingSettings {
    /// Folder of latents and text features, by the hash of what they are made from: studies share it, and it may be deleted
    /// at any time. `cache` among the runs where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Clips and latents that are kept in memory once they are made, in MiB; others are made again.
    pub memory_mib: u64,
    /// Steps whose batches are made ahead.
    pub ahead: usize,
    /// Threads that make them.
    pub workers: usize,
}

impl Default for LoadingSettings {
    fn default() -> Self {
        let Loading { ahead, workers } = Loading::default();
        Self { cache: None, memory_mib: 2048, ahead, workers }
    }
}

impl From<&LoadingSettings> for Loading {
    fn from(settings: &LoadingSettings) -> Self {
        Self { ahead: settings.ahead, workers: settings.workers }
    }
}

fn white() -> [u8; 3] {
    [255; 3]
}

fn one_in_a_hundred() -> f64 {
    0.01
}
