//! The stages of a study: from clips to a searched, trained, few-step, exported model and its report.
//!
//! Each stage is one file; it reads and writes the run directory alone.

pub mod backbone;
pub mod compare;
mod dataset;
pub mod distill;
pub mod evaluate;
pub mod evaluator;
pub mod export;
pub mod failure;
pub mod finetune;
pub mod front;
pub mod generate;
pub mod hypervolume;
pub mod latency;
pub mod latency_eval;
mod list;
pub mod measuring;
pub mod objectives;
pub mod options;
pub mod pipeline_parts;
pub mod pipeline_times;
mod previews;
pub mod profile;
pub mod progress;
mod recorded;
pub mod remote_profile;
pub mod report;
pub mod run;
pub mod samples;
mod schemas;
pub mod search;
pub mod settings;
mod stage;
pub mod supernet;
mod watch;
pub mod workbench;

pub use list::{Entry, STAGES};
pub use progress::Interrupted;
pub use schemas::schemas;
pub use stage::{Inputs, Stage, loop_settings, up_to_date};
