//! Noise levels, samplers and what a denoiser's output means, over plain slices.
//!
//! Training and few-step sampling of this project know one process, rectified flow ([`interpolate`], [`Sampler`]).
//! A [`Parameterisation`] makes any model of a [`SchedulerConfig`] one of that process. Many-step sampling may also go by the
//! model's own [`Scheduler`], step for step as diffusers does.

mod clamp;
mod config;
mod ddim;
mod ddpm;
mod diffusion;
mod dpm_solver;
mod error;
mod euler;
mod flow;
mod flow_match_euler;
mod lcm;
mod options;
mod parameterisation;
mod plan;
mod pndm;
mod scheduler;
mod sigmas;
mod spacing;
mod trajectory;

pub use config::{Class, SchedulerConfig, read_object};
pub use diffusion::Prediction;
pub use error::SchedulerError;
pub use flow::{Sampler, euler_times, interpolate, shift_time};
pub use parameterisation::{Level, Parameterisation};
pub use plan::Plan;
pub use scheduler::Scheduler;
pub use trajectory::{Difference, Recorded, Trajectory, TrajectoryErrors};
