/// What went wrong; each message completes "failed to …".
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvolutionError {
    /// An objective, a violation, a cost or a coordinate is NaN or infinite.
    #[error("use {quantity} {index}: {value} is not a finite number")]
    NotFinite {
        /// What the number is.
        quantity: &'static str,
        /// Its place in its list.
        index: usize,
        /// The number.
        value: f64,
    },
    /// The violation of an infeasible candidate is not above zero.
    #[error("use a constraint violation of {0}: it is above zero, or the candidate is feasible")]
    NoViolation(f64),
    /// There is nothing to minimise.
    #[error("compare candidates without objectives")]
    NoObjectives,
    /// Two points have different numbers of objectives.
    #[error("compare {found} objectives with {expected}")]
    ObjectiveCount {
        /// How many the search or the reference point has.
        expected: usize,
        /// How many the newcomer has.
        found: usize,
    },
    /// Evaluations came while no candidates were out.
    #[error("take evaluations: no candidates were asked for")]
    NothingAsked,
    /// Other numbers of candidates and evaluations than were asked for.
    #[error("take {candidates} candidates with {evaluations} evaluations: {asked} were asked for")]
    EvaluationCount {
        /// Candidates handed out.
        asked: usize,
        /// Candidates evaluated.
        candidates: usize,
        /// Evaluations.
        evaluations: usize,
    },
    /// An evaluated candidate was never asked for, or came twice.
    #[error("take candidate {index}: it was not asked for, or came twice")]
    UnknownCandidate {
        /// Its place in the list.
        index: usize,
    },
    /// A genome was recorded a second time.
    #[error("record a genome twice: it is number {index} of the history")]
    AlreadyEvaluated {
        /// How many genomes the history held.
        index: usize,
    },
    /// A setting is out of its range.
    #[error("accept {name} = {value}: expected {expected}")]
    Setting {
        /// The setting's name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The range, in words.
        expected: &'static str,
    },
    /// A knapsack slot offers no choice.
    #[error("fill slot {slot}: it has no choices")]
    EmptySlot {
        /// The slot's place in the list.
        slot: usize,
    },
    /// A stored search contradicts itself.
    #[error("restore the search: {0}")]
    Inconsistent(&'static str),
}

/// A result of this crate.
pub type Result<T, E = EvolutionError> = std::result::Result<T, E>;

/// Refuses the first number that is NaN or infinite.
pub(crate) fn require_finite(quantity: &'static str, values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(EvolutionError::NotFinite { quantity, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Refuses a point of another dimension.
pub(crate) fn require_count(expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(EvolutionError::ObjectiveCount { expected, found }) }
}
