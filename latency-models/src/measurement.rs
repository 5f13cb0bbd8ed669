use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ReferenceTiming, Timing};

/// One line of a profile: one architecture or block, measured once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Architecture; of a block, the one that has it alone.
    pub arch_id: String,
    /// Its canonical text.
    pub genotype: String,
    /// What was run.
    pub kind: MeasurementKind,
    /// Position in the plan, which is the order of time.
    pub order: u32,
    /// One of the anchors that show drift.
    pub anchor: bool,
    /// Measured a second time, later: shows the noise.
    pub repeat: bool,
    /// Drawn to test a predictor on, not to learn from.
    #[serde(default)]
    pub held_out: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeasurementKind {
    /// The whole network.
    Whole,
    /// A block of it, on its own.
    Block,
    /// The text encoder, for one caption.
    TextEncoder,
    /// The decoder of the autoencoder, for one frame.
    Decoder,
}

impl MeasurementKind {
    /// Whether it is another network of the pipeline than the denoiser: it is measured once, and no architecture's time is learned
    /// from it.
    pub fn is_part(self) -> bool {
        matches!(self, Self::TextEncoder | Self::Decoder)
    }
}

/// Which of the two clocks a time is from; other measured quantities are fields of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Time that passed: what a user waits for; needs a quiet machine.
    Wall,
    /// Processor time of the process: what neighbours on a shared machine hardly change.
    #[default]
    Cpu,
}

/// What came of a measurement; a process that dies is a result too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It ran.
    Ran {
        /// Times.
        timing: Timing,
        /// Largest resident memory of its process, where the system reports it.
        peak_memory_bytes: Option<u64>,
    },
    /// It needs more memory than there is.
    OutOfMemory {
        /// What was seen.
        reason: String,
    },
    /// Its process failed, died or did not answer.
    Crashed {
        /// What was seen.
        reason: String,
    },
}

impl Measurement {
    /// Its times, if it ran.
    pub fn timing(&self) -> Option<&Timing> {
        self.outcome.timing()
    }

    /// Median of one call as it was measured, if it ran.
    pub fn latency_ms(&self, quantity: Quantity) -> Option<f64> {
        self.timing().and_then(|timing| timing.median_ms(quantity))
    }

    /// Refuses times that cannot be.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Some(timing) = self.timing() else { return Ok(()) };
        if timing.runs == 0 {
            return Err(format!("architecture {} has 0 runs", self.arch_id));
        }
        for (clock, spread) in [("cpu", timing.cpu), ("wall", Some(timing.wall))] {
            let Some(spread) = spread else { continue };
            if !(spread.median_ms.is_finite() && spread.median_ms > 0.0) {
                return Err(format!("{clock} median_ms = {} must be above 0", spread.median_ms));
            }
            let ordered = spread.p10_ms <= spread.median_ms && spread.median_ms <= spread.p90_ms;
            if !(ordered && spread.p10_ms >= 0.0 && spread.iqr_ms >= 0.0 && spread.p90_ms.is_finite()) {
                return Err(format!("{clock} quantiles {spread:?} are out of order"));
            }
        }
        if let Some(reference) = &timing.reference {
            let ReferenceTiming { cpu_ms, wall_ms, cpu_ratio, wall_ratio } = *reference;
            if ![cpu_ms, wall_ms, cpu_ratio, wall_ratio].iter().all(|x| x.is_finite() && *x > 0.0) {
                return Err(format!("{reference:?} must be above 0"));
            }
        }
        Ok(())
    }
}

impl Outcome {
    /// The times, if it ran.
    pub fn timing(&self) -> Option<&Timing> {
        match self {
            Outcome::Ran { timing, .. } => Some(timing),
            Outcome::OutOfMemory { .. } | Outcome::Crashed { .. } => None,
        }
    }

    /// The peak memory, if it ran and the system reports it.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        match self {
            Outcome::Ran { peak_memory_bytes, .. } => *peak_memory_bytes,
            Outcome::OutOfMemory { .. } | Outcome::Crashed { .. } => None,
        }
    }
}
