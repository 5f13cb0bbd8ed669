//! How the winner compares with another arm, objective by objective.

use std::collections::BTreeMap;

use tnas_evolution::Objectives;
use tnas_graph::Cost;
use tnas_latency::CandidateCost;
use tnas_record::{MeasuredRange, Objective, ObjectiveSet};
use tnas_training::{HeldOutLoss, Paired};

use crate::objectives::{Computation, Value};

/// Standard errors to either side of a difference that counts as none: 95 % of the normal distribution.
const SIGMAS: f64 = 1.96;

/// Measured objectives by name; empty where the target is not this machine.
pub(super) type Ranges = BTreeMap<String, MeasuredRange>;

/// What an arm is compared by.
#[derive(Clone, Copy)]
pub(super) struct Compared<'a> {
    /// Work of its whole network.
    pub cost: &'a Cost,
    /// Held-out loss of its trained model.
    pub loss: &'a HeldOutLoss,
    /// Its measured objectives.
    pub measured: &'a Ranges,
}

/// The range of a few values; none of none.
pub(super) fn range_of(mut values: Vec<f64>) -> Option<MeasuredRange> {
    values.sort_by(f64::total_cmp);
    let (&least, &most) = (values.first()?, values.last()?);
    Some(MeasuredRange { median: values[values.len() / 2], least, most })
}

/// Where a range stands against another, beyond the spread of both: −1 where it is smaller, 1 where it is larger.
fn against(one: &MeasuredRange, other: &MeasuredRange) -> i8 {
    if one.most < other.least {
        -1
    } else if other.most < one.least {
        1
    } else {
        0
    }
}

/// Which of two is smaller, beyond what chance explains: −1 the first, 1 the second.
fn sign(difference: f64, error: f64) -> i8 {
    if difference.abs() <= error { 0 } else { difference.signum() as i8 }
}

/// How the winner compares with another arm by each objective: −1 better, 1 worse, 0 equal within the errors.
pub(super) fn standing(objectives: &ObjectiveSet, winner: &Compared, other: &Compared) -> anyhow::Result<Vec<i8>> {
    let by = |objective: &Objective| {
        let smaller = match Computation::of(&objective.name)?.value {
            Value::HeldOutLoss => {
                let paired = Paired::new(winner.loss, other.loss);
                sign(paired.difference, SIGMAS * paired.standard_error)
            }
            Value::Counted(count) => {
                let counted = |cost: &Cost| count(&CandidateCost::from(cost)) as f64;
                sign(counted(winner.cost) - counted(other.cost), 0.0)
            }
            Value::Predicted { .. } => {
                let of = |one: &Compared| one.measured.get(&*objective.name).copied();
                of(winner).zip(of(other)).map_or(0, |(winner, other)| against(&winner, &other))
            }
        };
        Ok(objective.oriented(f64::from(smaller)) as i8)
    };
    objectives.iter().map(by).collect()
}

/// Better in one respect at least, and in none worse: it dominates the point that is equal in all.
pub(super) fn dominates(standing: &[i8]) -> anyhow::Result<bool> {
    let point = |of: fn(&i8) -> f64| Objectives::new(standing.iter().map(of).collect());
    Ok(point(|&sign| f64::from(sign))?.dominates(&point(|_| 0.0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domination_needs_a_gain_and_forbids_a_loss() {
        for (standing, expected) in [
            ([-1, 0], true),
            ([0, -1], true),
            ([-1, -1], true),
            ([0, 0], false),
            ([-1, 1], false),
            ([1, -1], false),
        ] {
            assert_eq!(dominates(&standing).expect("finite"), expected, "{standing:?}");
        }
        assert!(dominates(&[0, 0, -1, 0]).expect("finite") && !dominates(&[-1, 0, 1]).expect("finite"));
        assert_eq!([sign(-0.2, 0.1), sign(0.05, 0.1), sign(0.2, 0.1)], [-1, 0, 1]);
    }
}
