//! Measuring latency on a device and learning to predict it.
//!
//! [`measure`] times a [`tnas_graph::Session`]; a [`Profile`] keeps measurements with the [`Fingerprint`] of the device
//! that made them; a [`LatencyPredictor`] learns from them what other architectures will take.

mod accuracy;
mod error;
mod features;
mod fingerprint;
mod measure;
mod predictor;
mod profile;

pub use accuracy::{Accuracy, kendall, spearman};
pub use error::LatencyError;
pub use features::ArchFeatures;
pub use fingerprint::Fingerprint;
pub use measure::{MeasurePolicy, Timing, measure, peak_memory_bytes};
pub use predictor::{LatencyPredictor, MacsFit, Prediction};
pub use profile::{Measurement, Outcome, Profile};
