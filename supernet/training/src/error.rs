use std::path::PathBuf;

use thiserror::Error;

/// Why training, sampling or evaluating stopped.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A graph could not be built.
    #[error(transparent)]
    Space(#[from] tnas_space::SpaceError),
    /// A graph could not be built.
    #[error(transparent)]
    Model(#[from] tnas_models::ModelError),
    /// A graph could not be run.
    #[error(transparent)]
    Runtime(#[from] tnas_graph::RuntimeError),
    /// A scheduler could not be used.
    #[error(transparent)]
    Scheduler(#[from] tnas_schedulers::SchedulerError),
    /// A weight is missing or misshapen.
    #[error(transparent)]
    Weight(#[from] tnas_graph::WeightError),
    /// A device of the settings cannot be had.
    #[error(transparent)]
    Device(#[from] tnas_network::DeviceError),
    /// A device does not compute in the precision of the settings.
    #[error(transparent)]
    Compute(#[from] tnas_network::ComputeError),
    /// The user asked to stop; a checkpoint holds the state.
    #[error("finish {stage}: interrupted after step {step}; run the same command again to resume")]
    Interrupted {
        /// Stage.
        stage: String,
        /// Steps done.
        step: u64,
    },
    /// The loss or the gradients stay bad, and rolling back did not help.
    #[error(
        "train {stage}: after {roll_backs} roll-backs, with the learning rate at {rate} of its settings, {bad} steps in a row were bad again, the last step {step} with {figures}; lower optimizer.learning_rate or raise optimizer.warmup_steps of this stage, or check for broken clips where every batch is bad"
    )]
    Diverged {
        /// Stage.
        stage: String,
        /// Last step.
        step: u64,
        /// How many in a row.
        bad: u64,
        /// Roll-backs before.
        roll_backs: u64,
        /// Factor of the learning rate at the time.
        rate: f64,
        /// Figures of the last step.
        figures: String,
    },
    /// A checkpoint cannot be read.
    #[error("read checkpoint {path}: {message}")]
    Checkpoint {
        /// File.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The data does not fit.
    #[error("train on these clips: {0}")]
    Data(String),
    /// A clip could not be read while training.
    #[error("load clip {clip}: {source}")]
    Load {
        /// Its number.
        clip: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The clips of a step could not be loaded, or the thread that loads them panicked; a checkpoint holds the state before it.
    #[error(
        "train {stage}: loading the clips of step {step} failed; the training until then is kept, and the same command resumes from there"
    )]
    Loading {
        /// Stage.
        stage: String,
        /// Step, counted from 0.
        step: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
