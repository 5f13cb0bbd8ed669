use serde::{Deserialize, Serialize};

use crate::error::{EvolutionError, Result, require_finite};

/// What a candidate is worth: numbers to minimise, and by how much it breaks the limits.
///
/// All numbers are finite, so every comparison is meaningful and any text format can store them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Objectives {
    values: Vec<f64>,
    violation: f64,
}

impl Objectives {
    /// Objectives `values`, with the sum of normalised constraint violations (`(value − limit) / limit`, where
    /// positive); 0 is feasible.
    pub fn new(values: Vec<f64>, violation: f64) -> Result<Self> {
        if values.is_empty() {
            return Err(EvolutionError::NoObjectives);
        }
        require_finite("objective", &values)?;
        require_finite("constraint violation", &[violation])?;
        if violation < 0.0 {
            return Err(EvolutionError::NegativeViolation(violation));
        }
        // −0 + 0 = 0: equal numbers must also sort and print as equals.
        Ok(Self { values: values.into_iter().map(|value| value + 0.0).collect(), violation: violation + 0.0 })
    }

    /// Objectives of a candidate that keeps every limit.
    pub fn feasible(values: Vec<f64>) -> Result<Self> {
        Self::new(values, 0.0)
    }

    /// The objectives of a candidate whose evaluation failed (it ran out of memory, say): the worst there are.
    pub fn failed(count: usize) -> Result<Self> {
        Self::new(vec![f64::MAX; count], f64::MAX)
    }

    /// The numbers to minimise.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The summed normalised constraint violation; 0 is feasible.
    pub fn violation(&self) -> f64 {
        self.violation
    }

    /// Whether every limit is kept.
    pub fn is_feasible(&self) -> bool {
        self.violation == 0.0
    }

    /// Constraint domination (Deb et al. 2002, §VI, definition 1): the smaller violation wins, so feasible beats
    /// infeasible; at equal violations, no value is worse and one is better.
    ///
    /// The paper leaves two equally violating candidates incomparable; here their values decide.
    pub fn dominates(&self, other: &Self) -> bool {
        if self.violation != other.violation {
            return self.violation < other.violation;
        }
        let mut better = false;
        for (mine, theirs) in self.values.iter().zip(&other.values) {
            if mine > theirs {
                return false;
            }
            better |= mine < theirs;
        }
        better
    }
}

/// As stored, before the checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    values: Vec<f64>,
    violation: f64,
}

impl TryFrom<Unchecked> for Objectives {
    type Error = EvolutionError;

    fn try_from(stored: Unchecked) -> Result<Self> {
        Self::new(stored.values, stored.violation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives(values: &[f64], violation: f64) -> Objectives {
        Objectives::new(values.to_vec(), violation).expect("valid")
    }

    #[test]
    fn domination_needs_one_better_value_and_none_worse() {
        let [a, b, c] = [[1.0, 2.0], [1.0, 3.0], [0.5, 4.0]].map(|values| objectives(&values, 0.0));
        assert!(a.dominates(&b) && !b.dominates(&a));
        assert!(!a.dominates(&c) && !c.dominates(&a));
        assert!(!a.dominates(&a));
    }

    #[test]
    fn violation_comes_before_values() {
        let feasible = objectives(&[9.0, 9.0], 0.0);
        let slight = objectives(&[1.0, 1.0], 0.1);
        let gross = objectives(&[0.0, 0.0], 0.2);
        let failed = Objectives::failed(2).expect("two objectives");
        assert!(feasible.dominates(&slight) && slight.dominates(&gross) && gross.dominates(&failed));
        assert!(objectives(&[0.0, 1.0], 0.1).dominates(&slight));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        assert!(matches!(
            Objectives::feasible(vec![1.0, f64::NAN]),
            Err(EvolutionError::NotFinite { quantity: "objective", index: 1, .. })
        ));
        assert!(Objectives::feasible(vec![f64::INFINITY]).is_err());
        assert!(Objectives::new(vec![1.0], f64::NAN).is_err());
        assert_eq!(Objectives::new(vec![1.0], -1.0), Err(EvolutionError::NegativeViolation(-1.0)));
        assert_eq!(Objectives::feasible(vec![]), Err(EvolutionError::NoObjectives));
        let stored = serde_json::from_str::<Objectives>(r#"{"values":[1.0],"violation":-1.0}"#);
        assert!(stored.is_err());
    }

    #[test]
    fn every_bit_survives_storage() {
        for before in [objectives(&[0.1 + 0.2, 1e-300, -0.0], 1.0 / 3.0), Objectives::failed(3).expect("three")] {
            let text = serde_json::to_string(&before).expect("serialises");
            assert_eq!(before, serde_json::from_str(&text).expect("parses"));
        }
    }
}
