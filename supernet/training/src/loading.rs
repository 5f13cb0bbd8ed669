use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How batches are prefetched while a network trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Loading {
    /// Steps whose batches may wait in memory.
    pub ahead: usize,
    /// Threads that load.
    pub workers: usize,
}

impl Default for Loading {
    fn default() -> Self {
        Self { ahead: 4, workers: 1 }
    }
}

/// Time that a training loop has spent on loading in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadTimes {
    /// Batches taken.
    pub batches: u64,
    /// Time since the first was asked for.
    pub elapsed: Duration,
    /// Time that training waited for a batch.
    pub waited: Duration,
}

impl LoadTimes {
    /// Fraction of the time that was spent waiting.
    pub fn waited_fraction(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.waited.as_secs_f64() / self.elapsed.as_secs_f64() }
    }
}
