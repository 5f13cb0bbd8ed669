//! A study as written in TOML.

mod checks;
mod reference_point;
mod winner_rule;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tnas_clips::{CaptionPolicy, Fit, Motion, Short};
use tnas_evaluation::EvaluatorSettings;
use tnas_latency::{MeasurePolicy, PlanSettings, Quantity};
use tnas_models::TextLayer;
use tnas_record::{ObjectiveNames, PerObjective};
use tnas_study::{SettingsError, SettingsSource};
use tnas_training::{
    DistillSettings, FinetuneSettings, FlowSettings, Loading, SettingError, SupernetSettings, TrainingRecipe,
};

pub use self::{
    reference_point::ReferencePoint,
    winner_rule::{Pick, WinnerRule},
};

/// Old names of settings and their new ones, as dotted keys. Values under an old name, and whatever stands below it, still work
/// for one version, with a warning.
pub const RENAMED: &[(&str, &str)] = &[
    ("judge", "evaluator"),
    ("samples.judged", "samples.evaluated"),
    ("watch.looks", "watch.previews"),
    ("profile.repeat_share", "profile.repeat_fraction"),
    ("profile.onnxruntime", "profile.libraries.onnxruntime"),
    ("supernet.training.spatial", "supernet.spatial"),
    ("supernet.training.warmup_steps", "supernet.warmup_steps"),
    ("supernet.training.distillation", "supernet.distillation"),
    ("supernet.training.feature_distillation", "supernet.feature_distillation"),
    ("supernet.training.teacher_every", "supernet.teacher_every"),
    ("supernet.training.sandwich", "supernet.sandwich"),
    ("finetune.steps", "finetune.training.steps"),
    ("finetune.batch", "finetune.training.batch"),
    ("finetune.accumulate", "finetune.training.accumulate"),
    ("finetune.devices", "finetune.training.devices"),
    ("finetune.compute", "finetune.training.compute"),
    ("finetune.checkpointing", "finetune.training.checkpointing"),
    ("finetune.ema_decay", "finetune.training.ema_decay"),
    ("finetune.optimizer", "finetune.training.optimizer"),
    ("finetune.flow", "finetune.training.flow"),
    ("finetune.images", "finetune.training.images"),
    ("finetune.stability", "finetune.training.stability"),
    ("distill.steps", "distill.training.steps"),
    ("distill.batch", "distill.training.batch"),
    ("distill.compute", "distill.training.compute"),
    ("distill.checkpointing", "distill.training.checkpointing"),
    ("distill.ema_decay", "distill.training.ema_decay"),
    ("distill.generator", "distill.training.optimizer"),
    ("distill.images", "distill.training.images"),
    ("distill.stability", "distill.training.stability"),
];

/// A study as written in TOML: the question that a run answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Name of the run's folder.
    pub name: String,
    /// Every random stream derives from it.
    #[serde(default)]
    pub seed: u64,
    /// Where clips come from.
    pub data: DataSettings,
    /// How clips are prefetched during training; changes times, never results.
    #[serde(default)]
    pub loading: LoadingSettings,
    /// Latents instead of pixels.
    pub autoencoder: Option<AutoencoderSettings>,
    /// The image model.
    pub backbone: BackboneSource,
    /// File of the search space.
    pub space: PathBuf,
    /// What covers clips while networks learn to uncover them.
    #[serde(default, skip_serializing_if = "NoiseSettings::is_default")]
    pub noise: NoiseSettings,
    /// Supernet stage.
    #[serde(default)]
    pub supernet: SupernetSettings,
    /// Measuring.
    #[serde(default)]
    pub profile: ProfileSettings,
    /// Learning from what was measured.
    #[serde(default)]
    pub latency: LatencySettings,
    /// The worst values that a candidate may have, by the names of objectives; not all of them need to be searched.
    #[serde(default)]
    pub limits: PerObjective,
    /// Evolution.
    #[serde(default)]
    pub search: SearchSettings,
    /// Which member of the front is trained.
    #[serde(default)]
    pub winner: WinnerRule,
    /// Training of the winner, and of what it is compared with.
    #[serde(default)]
    pub finetune: FinetuneSettings,
    /// What `compare` compares the winner with.
    #[serde(default)]
    pub compare: CompareSettings,
    /// The few-step stage.
    #[serde(default)]
    pub distill: DistillSettings,
    /// The classifier that evaluates clips.
    #[serde(default)]
    pub evaluator: EvaluatorSettings,
    /// Sampling.
    #[serde(default)]
    pub samples: SampleSettings,
    /// What is looked at while networks train; changes no result.
    #[serde(default)]
    pub watch: WatchSettings,
}

impl Study {
    /// Reads a study's file with `a.b=c` overrides, and checks it. The source says where each setting was written, and warns of
    /// old names.
    pub fn load(file: &Path, overrides: &[String]) -> Result<(Self, SettingsSource), SettingsError> {
        let (study, source): (Self, _) = tnas_study::load_source(file, overrides, RENAMED)?;
        study.validate(&source)?;
        Ok((study, source))
    }
}

/// Noise of clips, in all stages that train, score or sample them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseSettings {
    /// Fraction of its variance that the frames of a clip have in common, of 0 to 1 (Ge et al. 2023, arXiv 2305.10474): frames that
    /// begin alike flicker less.
    pub shared: f64,
}

impl NoiseSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Clips and captions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// Built-in coloured shapes.
    Shapes,
    /// A folder of films (GIF, APNG, WebP, PNG frames or grids, MP4) with captions.
    Videofolder,
    /// Two handwritten digits that bounce.
    MovingMnist,
}

fn white() -> [u8; 3] {
    [255; 3]
}

fn one_in_a_hundred() -> f64 {
    0.01
}

/// Where encoded clips are kept, and how many wait for training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// An autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderSettings {
    /// Folder of an `AutoencoderKL` or `AutoencoderTiny` of diffusers, of a pipeline with one, or safetensors of the TAESD
    /// family.
    pub path: PathBuf,
}

/// Where the image model comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneSource {
    /// A folder in diffusers layout; with `train`, only its configs are read.
    pub path: PathBuf,
    /// Train afresh on this study's frames.
    #[serde(default)]
    pub train: bool,
    /// Layer of the text encoder that the UNet reads: `last`, `penultimate` or `penultimate-normed`; the pipeline's own
    /// where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_layer: Option<TextLayer>,
    /// How it is trained; used with `train` alone.
    #[serde(default = "TrainingRecipe::backbone", deserialize_with = "TrainingRecipe::deserialize_backbone")]
    pub training: TrainingRecipe,
}

/// What is measured, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileSettings {
    /// Architectures to learn from.
    pub architectures: usize,
    /// More of them, to test on.
    pub held_out: usize,
    /// Architectures in all, `held_out` among them; sets `architectures`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Measure every block on its own too.
    pub blocks: bool,
    /// Threads of the measured process.
    pub threads: usize,
    /// Runtimes to measure by, as `tnas profile --help` lists them; one whose library is not found is left out.
    pub runtimes: Vec<String>,
    /// The one whose latency is searched, or the name of a device whose profile was imported.
    pub target: String,
    /// The clock that is learned: `cpu` or `wall`; processor time of what runs on the CPU where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// Timed runs of an architecture at least …
    pub runs: u32,
    /// … and seconds of them …
    pub seconds: f64,
    /// … and seconds at most, warm-up and reference included, once there are five runs.
    pub seconds_each: f64,
    /// The anchor, which shows drift, is measured after so many others.
    pub anchor_every: usize,
    /// Fraction of the architectures that is measured twice, to tell the noise.
    pub repeat_fraction: f64,
    /// A profile whose repeats differ by more than this fraction (in the median), or whose anchors jump by more, is refused.
    pub max_noise: f64,
    /// File of a runtime's library, or folder of a Python environment that has it, by the runtime's name; searched for where
    /// not given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub libraries: BTreeMap<String, PathBuf>,
    /// A profile recorded before, to replay.
    pub from: Option<PathBuf>,
}

/// How the latency predictor is learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySettings {
    /// Profiles of other devices to learn from too.
    pub sources: Vec<PathBuf>,
    /// Measured architectures to learn from, of those that are there; all where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurements: Option<usize>,
}

impl Default for ProfileSettings {
    fn default() -> Self {
        Self {
            architectures: 48,
            held_out: 24,
            samples: None,
            blocks: false,
            threads: 1,
            runtimes: vec!["burn".into(), "onnxruntime".into()],
            target: "burn".into(),
            quantity: None,
            runs: 30,
            seconds: 1.0,
            seconds_each: 20.0,
            anchor_every: 20,
            repeat_fraction: 0.05,
            max_noise: 0.1,
            libraries: BTreeMap::new(),
            from: None,
        }
    }
}

impl ProfileSettings {
    /// How one architecture is measured.
    pub fn policy(&self, quantity: Quantity) -> MeasurePolicy {
        let Self { runs, seconds, seconds_each, .. } = *self;
        MeasurePolicy {
            min_runs: runs,
            min_seconds: seconds,
            max_seconds: seconds_each,
            quantity,
            ..MeasurePolicy::default()
        }
    }

    /// Library of the runtime of this name, where the study gives one.
    pub fn library(&self, runtime: &str) -> Option<&PathBuf> {
        self.libraries.get(runtime)
    }

    /// Which architectures are measured.
    pub fn plan(&self) -> PlanSettings {
        let train = self.samples.map_or(self.architectures, |all| all.saturating_sub(self.held_out));
        PlanSettings {
            train,
            test: self.held_out,
            anchor_every: self.anchor_every,
            repeat_fraction: self.repeat_fraction,
            ..PlanSettings::default()
        }
    }
}

/// Evolution and scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSettings {
    /// What is traded off, by name; the first is what the best of a front is the best of.
    pub objectives: ObjectiveNames,
    /// Candidates alive.
    pub population: usize,
    /// Generations.
    pub generations: u32,
    /// What the first generation is made of.
    #[serde(skip_serializing_if = "Start::is_default")]
    pub start: Start,
    /// Held-out clips that score a candidate.
    pub clips: usize,
    /// Times and noise of the score.
    pub flow: FlowSettings,
    /// Clips of a forward pass.
    pub batch: usize,
    /// A limit on what is predicted is kept where the prediction and so many of its standard deviations are within it.
    pub limit_sigmas: f64,
    /// Most members of the front that are measured again.
    pub remeasure: usize,
    /// Held-out clips on which trained models are compared.
    pub compared_clips: usize,
    /// A value of each objective that hypervolumes are taken to, for comparing runs; a twentieth beyond the worst of this search
    /// where not given. The run's study.toml has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_point: Option<ReferencePoint>,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            objectives: ObjectiveNames::default(),
            population: 24,
            generations: 12,
            start: Start::Local,
            clips: 96,
            flow: FlowSettings::default(),
            batch: 16,
            limit_sigmas: 1.0,
            remeasure: 24,
            compared_clips: 256,
            reference_point: None,
        }
    }
}

/// What the winner is compared with, all trained alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompareSettings {
    /// Steps of every arm; those of fine-tuning where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Random architectures of the winner's size.
    pub random: usize,
    /// Fraction of the winner's parameters that an arm may differ by and still be of its size.
    pub size_tolerance: f64,
    /// Genotypes of one's own by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arms: BTreeMap<String, String>,
}

impl Default for CompareSettings {
    fn default() -> Self {
        Self { steps: None, random: 8, size_tolerance: 0.05, arms: BTreeMap::new() }
    }
}

impl CompareSettings {
    /// What is wrong with the settings, if anything.
    fn check(&self) -> Result<(), SettingError> {
        let taken = ["winner", "none", "attention-everywhere", "hand-rule"];
        let plain = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
                && !name.is_empty()
                && !taken.contains(&name)
                && !name.starts_with("random-")
        };
        if let Some(name) = self.arms.keys().find(|name| !plain(name)) {
            let reason = format!("needs a name of letters, digits, - and _, other than {}", taken.join(", "));
            return Err(SettingError::new(format!("arms.{name:?}"), reason));
        }
        if !(self.size_tolerance >= 0.0 && self.size_tolerance.is_finite()) {
            let reason = format!("= {} must be 0 or more", self.size_tolerance);
            return Err(SettingError::new("size_tolerance", reason));
        }
        Ok(())
    }
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// From nothing and from what the scores of each choice at each slot alone say is best, filled up by chance.
    #[default]
    Local,
    /// From nothing, filled up by chance.
    Random,
}

impl Start {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Clips for eyes and for the evaluator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleSettings {
    /// Clips on sheets.
    pub shown: usize,
    /// Clips per evaluated arm.
    pub evaluated: usize,
    /// Steps of the many-step sampler.
    pub many_steps: usize,
    /// Shift of its times.
    pub shift: f32,
    /// Guidance of the trained model (not of the student): needs an image model and a fine-tuning with
    /// `flow.caption_dropout`; 1 is none.
    pub guidance: f32,
    /// Clips at once.
    pub batch: usize,
    /// Pixels per pixel in pictures.
    pub upscale: usize,
}

impl Default for SampleSettings {
    fn default() -> Self {
        Self { shown: 8, evaluated: 128, many_steps: 50, shift: 1.0, guidance: 1.0, batch: 16, upscale: 4 }
    }
}

/// Clips sampled while supernet, winner and student train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchSettings {
    /// Previews in a stage, evenly spread, the last at its end; 0 for none.
    pub previews: u64,
    /// Clips of a preview.
    pub clips: usize,
    /// Denoising steps; a student takes its own.
    pub steps: usize,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { previews: 4, clips: 4, steps: 10 }
    }
}
