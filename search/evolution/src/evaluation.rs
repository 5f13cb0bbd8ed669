use serde::{Deserialize, Serialize};

use crate::error::{EvolutionError, Result, require_finite};
use crate::objectives::Objectives;

/// What came of a candidate: its objectives, or by how much it breaks the limits. What breaks a limit has no objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Evaluation {
    /// It keeps every limit.
    Feasible(Objectives),
    /// It breaks one, or its evaluation failed.
    Infeasible(Violation),
}

/// The sum of normalised constraint violations, `(value − limit) / limit` where positive: finite, above 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Violation(f64);

impl Evaluation {
    /// Of a candidate that keeps every limit: numbers to minimise.
    pub fn feasible(values: Vec<f64>) -> Result<Self> {
        Ok(Self::Feasible(Objectives::new(values)?))
    }

    /// Of a candidate that breaks limits by so much.
    pub fn infeasible(violation: f64) -> Result<Self> {
        Ok(Self::Infeasible(Violation::try_from(violation)?))
    }

    /// Of a candidate whose evaluation failed (it ran out of memory, say): the largest violation there is.
    pub fn failed() -> Self {
        Self::Infeasible(Violation(f64::MAX))
    }

    /// The objectives, where every limit is kept.
    pub fn objectives(&self) -> Option<&Objectives> {
        match self {
            Self::Feasible(objectives) => Some(objectives),
            Self::Infeasible(_) => None,
        }
    }

    /// The summed violation; 0 where every limit is kept.
    pub fn violation(&self) -> f64 {
        match self {
            Self::Feasible(_) => 0.0,
            Self::Infeasible(Violation(violation)) => *violation,
        }
    }

    /// Whether every limit is kept.
    pub fn is_feasible(&self) -> bool {
        matches!(self, Self::Feasible(_))
    }

    /// Constraint domination (Deb et al. 2002, §VI, definition 1): feasible beats infeasible, the smaller violation beats the
    /// larger, and among the feasible Pareto domination decides.
    pub fn dominates(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Feasible(mine), Self::Feasible(theirs)) => mine.dominates(theirs),
            (Self::Feasible(_), Self::Infeasible(_)) => true,
            (Self::Infeasible(_), Self::Feasible(_)) => false,
            (Self::Infeasible(mine), Self::Infeasible(theirs)) => mine < theirs,
        }
    }

    /// The numbers to minimise; none of an infeasible candidate.
    pub(crate) fn values(&self) -> &[f64] {
        self.objectives().map_or(&[], Objectives::values)
    }
}

impl TryFrom<f64> for Violation {
    type Error = EvolutionError;

    fn try_from(violation: f64) -> Result<Self> {
        require_finite("constraint violation", &[violation])?;
        if violation > 0.0 { Ok(Self(violation)) } else { Err(EvolutionError::NoViolation(violation)) }
    }
}

impl From<Violation> for f64 {
    fn from(violation: Violation) -> Self {
        violation.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violation_comes_before_values() {
        let feasible = Evaluation::feasible(vec![9.0, 9.0]).expect("finite");
        let [slight, gross] = [0.1, 0.2].map(|violation| Evaluation::infeasible(violation).expect("above 0"));
        let failed = Evaluation::failed();
        assert!(feasible.dominates(&slight) && slight.dominates(&gross) && gross.dominates(&failed));
        assert!(!gross.dominates(&gross) && !slight.dominates(&feasible));
        assert_eq!([feasible.violation(), slight.violation()], [0.0, 0.1]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        assert!(Evaluation::feasible(vec![f64::INFINITY]).is_err());
        assert!(Evaluation::infeasible(f64::NAN).is_err() && Evaluation::infeasible(f64::INFINITY).is_err());
        assert_eq!(Evaluation::infeasible(0.0), Err(EvolutionError::NoViolation(0.0)));
        assert!(serde_json::from_str::<Evaluation>(r#"{"infeasible":-1.0}"#).is_err());
    }

    #[test]
    fn every_bit_survives_storage() {
        let feasible = Evaluation::feasible(vec![0.1 + 0.2, 1e-300, -0.0]).expect("finite");
        for before in [feasible, Evaluation::infeasible(1.0 / 3.0).expect("above 0"), Evaluation::failed()] {
            let text = serde_json::to_string(&before).expect("serialises");
            assert_eq!(before, serde_json::from_str(&text).expect("parses"));
        }
    }
}
