//! Training the image backbone, the supernet, the winner and its few-step student; sampling and evaluating them.
//!
//! Every trainer is a function of a [`TrainSet`], data and settings, driven by [`train_loop`], which checkpoints,
//! resumes and reports. Randomness comes from named streams by step, so that a resumed run repeats an uninterrupted one
//! bit for bit on the CPU.

mod adversarial;
mod backbone;
mod checkpoint;
mod data;
mod defaults;
mod denoise;
mod distribution_matching;
mod ema;
mod error;
mod evaluate;
mod fair;
mod finetune;
mod flow_loss;
mod generate;
mod loader;
mod lora;
mod optimizer;
mod progress;
mod schedule;
mod setting_error;
mod shift;
mod stability;
mod stills;
mod supernet;
mod train_set;
mod weighting;

pub use adversarial::{AdversarialSettings, Student, train_student};
pub use backbone::{BackboneSettings, text_features, train_backbone};
pub use checkpoint::Checkpoint;
pub use data::{CaptionTokens, EMPTY_CAPTION, LatentSet, LatentSource, TextFeatures, frames_first, frames_inner};
pub use denoise::on;
pub use distribution_matching::{DistillMethod, ScoreSettings};
pub use ema::Ema;
pub use error::TrainError;
pub use evaluate::{Band, HeldOut, HeldOutLoss, Paired};
pub use fair::FairSampler;
pub use finetune::{FinetuneSettings, finetune};
pub use flow_loss::{FlowSettings, TimeDistribution, part_loss};
pub use generate::{GenerateSettings, generate};
pub use loader::{LoadTimes, Loader, Loading, beside};
pub use lora::Adapters;
pub use optimizer::{AdamWSettings, Optimizer};
pub use progress::{LoopSettings, Observer, Silent, StepOutcome, train_loop};
pub use schedule::learning_rate;
pub use setting_error::SettingError;
pub use shift::Shift;
pub use stability::{LoopRecord, StabilitySettings, Turn};
pub use supernet::{SpatialWeights, SupernetSettings, TEMPORAL_PREFIX, richest, train_supernet, twins};
pub use tnas_network::Compute;
pub use train_set::{Checkpointing, PartLoss, StepReport, TrainSet};
pub use weighting::Weighting;
