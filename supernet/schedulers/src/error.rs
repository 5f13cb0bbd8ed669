use thiserror::Error;

/// Why a scheduler cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SchedulerError {
    /// An option asks for something that is not there.
    #[error("use {class}: {option} = {value} is not supported{hint}")]
    Unsupported {
        /// The scheduler's class.
        class: String,
        /// Option's name.
        option: String,
        /// Its value.
        value: String,
        /// What is supported, with a leading separator, or nothing.
        hint: String,
    },
    /// A config is not what it should be.
    #[error("read {class}: {message}")]
    Config {
        /// The scheduler's class.
        class: String,
        /// What is wrong.
        message: String,
    },
    /// The steps asked for cannot be laid out.
    #[error("lay out the steps of {class}: {message}")]
    Plan {
        /// The scheduler's class.
        class: &'static str,
        /// What is wrong and what would do.
        message: String,
    },
    /// A step was given what does not fit.
    #[error("take step {step} of {class}: {message}")]
    Step {
        /// The scheduler's class.
        class: &'static str,
        /// Which step.
        step: usize,
        /// What is wrong.
        message: String,
    },
    /// A noise level that is not among the steps.
    #[error("add noise by {class}: {timestep} is none of its timesteps")]
    Timestep {
        /// The scheduler's class.
        class: &'static str,
        /// What was asked.
        timestep: f32,
    },
    /// The model cannot be turned into a flow.
    #[error("use a model of {class} as a flow: {message}")]
    Flow {
        /// The scheduler's class.
        class: &'static str,
        /// What is wrong and what would do.
        message: String,
    },
}
