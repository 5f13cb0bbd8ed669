//! How generated clips are evaluated: a video classifier trained on real clips, metrics on its features and labels, negative
//! controls that every metric must find worse than real clips, and bootstrap intervals.

mod bootstrap;
mod controls;
mod error;
mod evaluator;
mod evaluator_training;
mod frechet;
mod kernel_distance;
mod memorisation;
mod metric;
mod pairs;
mod reference_clips;
mod scored_clips;
mod statistics;
mod warp;
mod whitening;

pub use bootstrap::{Interval, Resampled, Spread, bootstrap_interval, resample_counts, wilson_interval};
pub use controls::{blend, blended, blurred, frozen, independent_frames, noisy, shuffled_frames};
pub use error::EvaluationError;
pub use evaluator::{
    AppearanceSettings, EvaluatedClips, Evaluator, EvaluatorLabels, EvaluatorSettings, label_value,
};
pub use evaluator_training::{EvaluatorContext, train_evaluator};
pub use frechet::{NormalFit, frechet_distance};
pub use kernel_distance::{KernelDistance, kernel_distance};
pub use memorisation::{Memorisation, cell_means, thumbnail};
pub use metric::{Fitness, Measures, Metric, fitness};
pub use reference_clips::ReferenceClips;
pub use scored_clips::ScoredClips;
pub use statistics::{Neighbour, nearest_neighbours};
pub use warp::{BlockMatching, warp_error};
pub use whitening::Whitening;
