//! A study as written in TOML.

mod checks;
mod data;
mod profile;
mod reference_point;
mod search;
mod winner_rule;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_evaluation::EvaluatorSettings;
use tnas_models::TextLayer;
use tnas_record::PerObjective;
use tnas_study::{SettingsError, SettingsSource};
use tnas_training::{DistillSettings, FinetuneSettings, SupernetSettings, TrainingRecipe};

pub use self::{
    data::{DataKind, DataSettings, LoadingSettings},
    profile::{LatencySettings, ProfileSettings},
    reference_point::ReferencePoint,
    search::{CompareSettings, SearchSettings, Start},
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Noise of the diffusion process, in training, scoring and sampling.
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
    /// Clips sampled while networks train; changes no result.
    #[serde(default)]
    pub watch: WatchSettings,
}

impl Study {
    /// Reads a study's file with `a.b=c` overrides, and checks it. The source knows where each setting was written, and warns of
    /// old names.
    pub fn load(file: &Path, overrides: &[String]) -> Result<(Self, SettingsSource), SettingsError> {
        let (study, source): (Self, _) = tnas_study::load_source(file, overrides, RENAMED)?;
        study.validate(&source)?;
        Ok((study, source))
    }
}

/// Noise of clips, in all stages that train, score or sample them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// An autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderSettings {
    /// Folder of an `AutoencoderKL` or `AutoencoderTiny` of diffusers, of a pipeline with one, or safetensors of the TAESD
    /// family.
    pub path: PathBuf,
}

/// Where the image model comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Clips for eyes and for the evaluator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

impl SampleSettings {
    /// Fewest clips of an evaluated set: with fewer, neither distances nor intervals mean anything.
    pub const LEAST_CLIPS: usize = 4;
}

impl Default for SampleSettings {
    fn default() -> Self {
        Self { shown: 8, evaluated: 128, many_steps: 50, shift: 1.0, guidance: 1.0, batch: 16, upscale: 4 }
    }
}

/// Clips sampled while supernet, winner and student train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
