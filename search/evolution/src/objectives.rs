use serde::{Deserialize, Serialize};

use crate::error::{EvolutionError, Result, require_finite};

/// Objective values of a feasible candidate: one or more numbers to minimise.
///
/// All numbers are finite, so every comparison is meaningful and any text format can store them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Objectives(Vec<f64>);

impl Objectives {
    /// Checks the numbers.
    pub fn new(values: Vec<f64>) -> Result<Self> {
        if values.is_empty() {
            return Err(EvolutionError::NoObjectives);
        }
        require_finite("objective", &values)?;
        // −0 + 0 = 0: equal numbers must also sort and print as equals.
        Ok(Self(values.into_iter().map(|value| value + 0.0).collect()))
    }

    /// The numbers to minimise.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// Pareto domination: no value is worse and one is better.
    pub fn dominates(&self, other: &Self) -> bool {
        let mut better = false;
        for (mine, theirs) in self.0.iter().zip(&other.0) {
            if mine > theirs {
                return false;
            }
            better |= mine < theirs;
        }
        better
    }
}

impl TryFrom<Vec<f64>> for Objectives {
    type Error = EvolutionError;

    fn try_from(values: Vec<f64>) -> Result<Self> {
        Self::new(values)
    }
}

impl From<Objectives> for Vec<f64> {
    fn from(objectives: Objectives) -> Self {
        objectives.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives(values: &[f64]) -> Objectives {
        Objectives::new(values.to_vec()).expect("finite")
    }

    #[test]
    fn domination_needs_one_better_value_and_none_worse() {
        let [a, b, c] = [[1.0, 2.0], [1.0, 3.0], [0.5, 4.0]].map(|values| objectives(&values));
        assert!(a.dominates(&b) && !b.dominates(&a));
        assert!(!a.dominates(&c) && !c.dominates(&a));
        assert!(!a.dominates(&a));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        assert!(matches!(
            Objectives::new(vec![1.0, f64::NAN]),
            Err(EvolutionError::NotFinite { quantity: "objective", index: 1, .. })
        ));
        assert_eq!(Objectives::new(vec![]), Err(EvolutionError::NoObjectives));
        assert!(serde_json::from_str::<Objectives>("[]").is_err());
    }
}
