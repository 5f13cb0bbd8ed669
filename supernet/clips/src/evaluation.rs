//! Sets of clips beside real ones: distances, accuracy, motion and diversity, each with what resampling says of it, and
//! which of these a set of corrupted real clips fools.

mod metric;
mod yardstick;

pub use metric::{Fitness, Metric, fitness};
pub use yardstick::{Measures, ScoredClips, Yardstick};
