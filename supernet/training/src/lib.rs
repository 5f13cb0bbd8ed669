//! Training the image backbone, the supernet, the winner and its few-step student, and sampling from them.
//!
//! A stage is a [`TrainingObjective`]: it draws the batches of a step and gives the loss of each. [`optimize`] does everything else
//! alike for all stages, as their [`TrainingRecipe`] says: gradients over micro-batches and devices, learning rates, averages,
//! checkpoints, roll-backs, early stopping, previews. Every trainer takes a [`TrainingContext`], the networks under training
//! and the stage's settings. Randomness comes from streams named by purpose and step, so that a resumed run repeats an
//! uninterrupted one bit for bit on the CPU.

mod adversarial;
mod backbone;
mod checkpoint;
mod checkpointing;
mod context;
mod data;
mod defaults;
mod denoise;
mod distill;
mod distill_settings;
mod distillation;
mod distribution_matching;
mod ema;
mod error;
mod finetune;
mod flow_batch;
mod flow_settings;
mod generate;
mod held_out;
mod image_step;
mod loader;
mod loading;
mod loop_record;
mod lora;
mod loss_scale;
mod micro_batches;
mod objective;
mod observer;
mod optimizer;
mod path_sampler;
mod paths;
mod recipe;
mod schedule;
mod setting_error;
mod shift;
mod snapshot;
mod stability;
mod student;
mod student_batch;
mod supernet;
mod supernet_settings;
mod teacher;
mod train_loop;
mod train_set;
mod trained_text;
mod weighted_loss;
mod weighting;

pub use backbone::train_backbone;
pub use checkpoint::Checkpoint;
pub use checkpointing::Checkpointing;
pub use context::TrainingContext;
pub use data::{CaptionTokens, EMPTY_CAPTION, LatentSet, LatentSource, TextFeatures, frames_first, frames_inner};
pub use distill::train_student;
pub use distill_settings::{DistillMethod, DistillSettings, ScoreSettings};
pub use ema::Ema;
pub use error::TrainError;
pub use finetune::{FinetuneSettings, finetune};
pub use flow_settings::{FlowSettings, TimeDistribution};
pub use generate::{GenerateSettings, VideoModel, generate};
pub use held_out::{Band, HeldOut, HeldOutLoss, HeldOutSettings, Paired};
pub use loading::{LoadTimes, Loading};
pub use loop_record::LoopRecord;
pub use lora::Adapters;
pub use objective::{Networks, Schedule, TrainingObjective, Update, UpdateFigures, optimize};
pub use observer::{Observer, Silent};
pub use optimizer::{AdamWSettings, Optimizer};
pub use path_sampler::PathSampler;
pub use paths::{PathWidth, same_kinds};
pub use recipe::TrainingRecipe;
pub use schedule::learning_rate;
pub use setting_error::SettingError;
pub use shift::Shift;
pub use stability::StabilitySettings;
pub use student::{Student, StudentNetwork};
pub use supernet::{TEMPORAL_PREFIX, train_supernet};
pub use supernet_settings::{SpatialWeights, SupernetSettings};
pub use teacher::largest_genotype;
pub use tnas_network::Compute;
pub use train_loop::LoopSettings;
pub use train_set::{StepReport, TrainSet};
pub use trained_text::{TrainedText, text_features};
pub use weighted_loss::WeightedLoss;
pub use weighting::Weighting;
