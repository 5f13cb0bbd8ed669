//! How the known objectives are computed.

use anyhow::Context;
use tnas_latency::{CandidateCost, CandidateModel};

use super::{latency::Predictor, pipeline_times::PipelineTimes};

/// How each of [`tnas_record::OBJECTIVES`] is computed.
const COMPUTATIONS: &[Computation] = &[
    Computation::new("loss", Value::HeldOutLoss),
    Computation::new("latency_ms", Value::Predicted { value: latency_ms, sigma: latency_sigma_ms })
        .measured(|measured| Some(measured.latency_ms)),
    Computation::new("parameters", Value::Counted(|cost| cost.parameters)),
    Computation::new("macs", Value::Counted(|cost| cost.macs)),
    Computation::new("peak_memory_bytes", Value::Counted(|cost| 4 * cost.parameters + cost.peak_activation_bytes)),
    Computation::new("process_memory_bytes", Value::Predicted { value: process_memory_bytes, sigma: |_| 0.0 })
        .measured(|measured| measured.peak_memory_bytes.map(|bytes| bytes as f64))
        .bounded(|target| target.too_much_bytes().map(|bytes| bytes.saturating_sub(1) as f64)),
    Computation::new("clip_latency_ms", Value::Predicted { value: clip_ms, sigma: clip_sigma_ms })
        .measured(|measured| Some(measured.pipeline?.clip_ms(measured.latency_ms))),
];

fn latency_ms(candidate: &Candidate) -> Option<f64> {
    Some(candidate.model.mean_ms(candidate.genome))
}

fn latency_sigma_ms(candidate: &Candidate) -> f64 {
    candidate.model.sigma_ms(candidate.genome)
}

fn process_memory_bytes(candidate: &Candidate) -> Option<f64> {
    candidate.model.process_memory_bytes(candidate.genome).map(|bytes| bytes as f64)
}

fn clip_ms(candidate: &Candidate) -> Option<f64> {
    Some(candidate.pipeline?.clip_ms(latency_ms(candidate)?))
}

/// The steps have one error, not one each: all are calls of one network.
fn clip_sigma_ms(candidate: &Candidate) -> f64 {
    candidate.pipeline.map_or(0.0, |pipeline| pipeline.steps as f64 * latency_sigma_ms(candidate))
}

/// A candidate, and what was learned of the target device.
pub struct Candidate<'a> {
    /// Index of each slot's choice.
    pub genome: &'a [u16],
    /// Counted cost of the denoiser, for one call on one clip.
    pub cost: CandidateCost,
    /// What is predicted of genomes without their graphs.
    pub model: &'a CandidateModel,
    /// Predictors of the target device.
    pub target: &'a Predictor,
    /// Times of the rest of the pipeline, where an objective or a limit is of the whole clip.
    pub pipeline: Option<PipelineTimes>,
}

/// A member of the front as it was measured on the target device.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Milliseconds of one call of the denoiser, at the speed that the device had while it was profiled.
    pub latency_ms: f64,
    /// Largest resident memory of the process, where the system reports it.
    pub peak_memory_bytes: Option<u64>,
    /// Times of the rest of the pipeline, where an objective or a limit is of the whole clip.
    pub pipeline: Option<PipelineTimes>,
}

/// How an objective is computed.
pub struct Computation {
    name: &'static str,
    /// A candidate's value.
    pub value: Value,
    /// The value of a measured member of the front, for objectives that measuring shows.
    pub of_measured: Option<fn(&Measured) -> Option<f64>>,
    /// An upper bound that the profile of the target shows: what exceeds it was seen to fail.
    pub bound_of: fn(&Predictor) -> Option<f64>,
}

/// A candidate's value.
#[derive(Clone, Copy)]
pub enum Value {
    /// Mean held-out loss through the supernet; only of candidates that keep the limits.
    HeldOutLoss,
    /// Counted on the graph.
    Counted(fn(&CandidateCost) -> u64),
    /// By a model fitted on the profile of the target.
    Predicted {
        /// The expected value; none where the profile lacks what it takes.
        value: fn(&Candidate) -> Option<f64>,
        /// Its standard deviation: limits are tested `search.limit_sigmas` of them beyond the expected value.
        sigma: fn(&Candidate) -> f64,
    },
}

impl Computation {
    /// An objective that is computed in this way, and that measuring does not show.
    const fn new(name: &'static str, value: Value) -> Self {
        Self { name, value, of_measured: None, bound_of: |_| None }
    }

    /// An objective that measuring a member of the front shows too.
    const fn measured(self, of_measured: fn(&Measured) -> Option<f64>) -> Self {
        Self { of_measured: Some(of_measured), ..self }
    }

    /// An objective of which the target's profile shows what is too much.
    const fn bounded(self, bound_of: fn(&Predictor) -> Option<f64>) -> Self {
        Self { bound_of, ..self }
    }

    /// How the objective of a name is computed.
    pub fn of(name: &str) -> anyhow::Result<&'static Self> {
        let found = COMPUTATIONS.iter().find(|computation| computation.name == name);
        found.with_context(|| format!("failed to compute the objective {name}: the list of computations lacks it"))
    }

    /// The expected value of a candidate before it is scored; none of what is scored, and where the profile lacks what it
    /// takes.
    pub fn estimate(&self, candidate: &Candidate) -> Option<f64> {
        match self.value {
            Value::HeldOutLoss => None,
            Value::Counted(count) => Some(count(&candidate.cost) as f64),
            Value::Predicted { value, .. } => value(candidate),
        }
    }

    /// The standard deviation of the estimate; 0 of what is counted.
    pub fn sigma(&self, candidate: &Candidate) -> f64 {
        match self.value {
            Value::Predicted { sigma, .. } => sigma(candidate),
            Value::HeldOutLoss | Value::Counted(_) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use tnas_record::{OBJECTIVES, Source};

    use super::*;

    #[test]
    fn every_known_objective_is_computed_in_the_way_that_it_says() {
        assert_eq!(COMPUTATIONS.len(), OBJECTIVES.len());
        for objective in OBJECTIVES {
            let computation = Computation::of(&objective.name).expect("a line of the list");
            let source = match computation.value {
                Value::HeldOutLoss => Source::Scored,
                Value::Counted(_) => Source::Counted,
                Value::Predicted { .. } => Source::Predicted,
            };
            assert_eq!(source, objective.source, "{objective}");
        }
    }
}
