use crate::{StudyError, canonical_json, float};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A candidate of the search, as it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateRecord {
    /// Identifier of the architecture.
    pub arch_id: String,
    /// Its canonical text.
    pub genotype: String,
    /// The generation that proposed it first.
    pub generation: u32,
    /// Its place in that generation.
    pub order_in_generation: u32,
    /// Its objectives by name, as far as they are known: predictions, not measurements. A candidate beyond a limit has no loss.
    pub objectives: BTreeMap<String, f64>,
    /// What else is known and the same on every machine. Measured values and times belong in [`MeasurementRecord`].
    pub metrics: Value,
    /// How far it has come.
    pub state: CandidateState,
    /// Which predictor, device or worker stands behind the objectives.
    pub measured_by: String,
}

impl CandidateRecord {
    /// An objective, or another metric that is a number, by its name.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.objectives.get(name).copied().or_else(|| self.metrics.get(name)?.as_f64())
    }

    /// Its line of the history: nothing measured, nothing of time or place.
    pub(crate) fn history_line(&self) -> Result<String, StudyError> {
        canonical_json(&HistoryLine {
            format_version: 2,
            generation: self.generation,
            order_in_generation: self.order_in_generation,
            arch_id: &self.arch_id,
            genotype: &self.genotype,
            state: self.state.as_str(),
            objectives: objectives_to_json(&self.objectives),
            metrics: &self.metrics,
        })
    }
}

/// A line of `history.jsonl`.
#[derive(Serialize)]
struct HistoryLine<'a> {
    format_version: u32,
    generation: u32,
    order_in_generation: u32,
    arch_id: &'a str,
    genotype: &'a str,
    state: &'a str,
    objectives: Value,
    metrics: &'a Value,
}

/// How far a candidate has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateState {
    /// Proposed, not yet evaluated.
    Proposed,
    /// Its objectives are known.
    Evaluated,
    /// It violates a limit of the study.
    Infeasible,
    /// Its evaluation did not succeed.
    Failed,
}

impl CandidateState {
    const ALL: [Self; 4] = [Self::Proposed, Self::Evaluated, Self::Infeasible, Self::Failed];

    /// Its name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Evaluated => "evaluated",
            Self::Infeasible => "infeasible",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A value measured on a device: an input of the study, recorded once and replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasurementRecord {
    /// The candidate.
    pub arch_id: String,
    /// Where it was measured.
    pub device: String,
    /// What was measured, with its unit, such as `latency_ms`.
    pub kind: String,
    /// The value.
    pub value: f64,
    /// What else is known: spread, repeats, fingerprint.
    pub details: Value,
}

pub(crate) fn objectives_to_json(objectives: &BTreeMap<String, f64>) -> Value {
    objectives.iter().map(|(name, &value)| (name.clone(), float::to_json(value))).collect()
}

pub(crate) fn objectives_from_json(text: &str) -> Option<BTreeMap<String, f64>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let named = |(name, value): (&String, &Value)| Some((name.clone(), float::from_json(value)?));
    value.as_object()?.iter().map(named).collect()
}
