//! Measuring latency on a device and learning to predict it.
//!
//! [`plan`] picks architectures, [`measure`] times a [`tnas_graph::Session`] inside a [`MeasuringProcess`], a [`Profile`] keeps
//! what came of it with the [`Fingerprint`] of the device, and a [`LatencyPredictor`] learns from that what other
//! architectures will take. The smallest whole program, on a device that is a formula:
//!
//! ```
//! use tnas_latency::{Accuracy, ArchFeatures, FitSettings, LatencyPredictor};
//!
//! let features = |a: u16, b: u16| ArchFeatures { choices: vec![a, b], ..ArchFeatures::default() };
//! let device_ms = |a: u16, b: u16| 4.0 + f64::from(a) + 0.5 * f64::from(b * b);
//! let pairs = || (0..4).flat_map(|a| (0..4).map(move |b| (a, b)));
//! let known: Vec<_> = pairs().filter(|(a, b)| (a + b) % 3 > 0).collect();
//! let (x, y): (Vec<_>, Vec<_>) = known.iter().map(|&(a, b)| (features(a, b), device_ms(a, b))).unzip();
//!
//! let predictor = LatencyPredictor::fit(&x, &y, &FitSettings::default())?;
//!
//! let truth: Vec<f64> = pairs().map(|(a, b)| device_ms(a, b)).collect();
//! let predicted: Vec<_> = pairs().map(|(a, b)| predictor.predict(&features(a, b))).collect();
//! assert!(Accuracy::of_predictions(&truth, &predicted).mape < 0.05);
//! # Ok::<(), tnas_latency::LatencyError>(())
//! ```
//!
//! Times are kept by two clocks, wall and processor ([`Quantity`]): on a shared machine only the second repeats itself.

mod accuracy;
mod baseline;
mod blocks;
mod busy;
mod candidate_model;
mod candidates;
mod child;
mod clock;
mod core;
mod correlation;
mod device_model;
mod drift;
mod error;
mod features;
mod file;
mod fingerprint;
mod graph_encoder;
mod measure;
mod measurement;
mod memory;
mod nnls;
mod noise;
mod peak_memory;
mod plan;
mod predictor;
mod profile;
mod remote_profile;
mod similarity;
mod transfer;
mod uncertainty;

/// Published tables of latencies: a harness beside the library.
#[path = "../tables/mod.rs"]
pub mod tables;

pub use accuracy::Accuracy;
pub use baseline::{MacsFit, OneHotFit};
pub use blocks::{BlockFeatures, SpaceBlocks};
pub use busy::load_of_others;
pub use candidate_model::{CandidateCost, CandidateModel};
pub use candidates::CandidatePredictor;
pub use child::{MeasuringProcess, serve};
pub use correlation::{kendall, spearman};
pub use device_model::DeviceModel;
pub use drift::{Drift, DriftPoint};
pub use error::LatencyError;
pub use features::{ArchFeatures, KindCost};
pub use fingerprint::{Fingerprint, slug};
pub use measure::{MeasurePolicy, ReferenceTiming, Spread, Subject, Timing, measure};
pub use measurement::{Measurement, MeasurementKind, Outcome, Quantity};
pub use memory::MemoryPredictor;
pub use peak_memory::{peak_memory_bytes, reset_peak_memory};
pub use plan::{Plan, PlanSettings, PlannedRun, most_telling, plan};
pub use predictor::{FitSettings, LatencyPredictor, Prediction};
pub use profile::{Profile, Quality, Sample};
pub use remote_profile::{RemoteProfile, Role, TableRow};
pub use transfer::{Related, SourceAgreement, SourceDevice, TransferPredictor};
