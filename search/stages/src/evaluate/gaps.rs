//! How much of what plain sampling loses in few steps is won back, by kernel MMD.

use tnas_evaluation::{Measures, Metric, Resampled};
use tnas_record::{FewSteps, StudentGain};

use crate::recorded;

/// A gap that is not this many standard errors wide is none to close.
const ERRORS: f64 = 2.0;

/// Role of a model's arm in the comparison of few steps with many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first model in many steps.
    Many,
    /// The first model in few steps.
    Plain(usize),
    /// A model that was trained to few steps.
    Student(usize),
}

/// For each number of few steps, most first: the gap between the first model in few steps and in many, and the fraction of it
/// that each student closes, (plain − student) / (plain − many), over paired resamples.
pub fn gaps(rows: &[(Role, &str, &Measures)]) -> Vec<FewSteps> {
    let distance = |role: Role| {
        rows.iter().find(|(found, ..)| *found == role).and_then(|(_, _, row)| row.get(&Metric::KernelMmd))
    };
    let mut steps: Vec<usize> = rows
        .iter()
        .filter_map(|(role, ..)| if let Role::Plain(steps) = role { Some(*steps) } else { None })
        .collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    let of = |steps: usize| -> Option<FewSteps> {
        let (many, plain) = (distance(Role::Many)?, distance(Role::Plain(steps))?);
        let gap = plain.minus(many);
        let spread = gap.spread();
        let wide = spread.estimate > ERRORS * spread.standard_error;
        let of_steps = rows.iter().filter(|(role, ..)| *role == Role::Student(steps));
        let students = of_steps.filter_map(|(_, name, measures)| {
            let won = plain.minus(measures.get(&Metric::KernelMmd)?);
            let closed = wide.then(|| recorded::spread(ratio(&won, &gap).spread()));
            Some(StudentGain { arm: (*name).into(), won: recorded::spread(won.spread()), closed })
        });
        Some(FewSteps { steps, gap: recorded::spread(spread), beyond_2_errors: wide, students: students.collect() })
    };
    steps.into_iter().filter_map(of).collect()
}

fn ratio(one: &Resampled, other: &Resampled) -> Resampled {
    let values = one.values.iter().zip(&other.values).map(|(a, b)| a / b).collect();
    Resampled { estimate: one.estimate / other.estimate, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures(estimate: f64, values: [f64; 3]) -> Measures {
        Measures::from([(Metric::KernelMmd, Resampled { estimate, values: values.to_vec() })])
    }

    #[test]
    fn a_student_as_near_as_many_steps_closes_all_and_one_half_way_half() {
        let many = measures(1.0, [0.9, 1.0, 1.1]);
        let plain = measures(3.0, [2.9, 3.0, 3.1]);
        let half = measures(2.0, [1.9, 2.0, 2.1]);
        let near = measures(1.05, [0.9, 1.0, 1.3]);
        let rows = [
            (Role::Many, "many", &many),
            (Role::Plain(1), "1", &near),
            (Role::Plain(4), "4", &plain),
            (Role::Student(4), "equal", &many),
            (Role::Student(4), "half", &half),
            (Role::Student(1), "other", &half),
        ];
        let found = gaps(&rows);
        assert_eq!((found[0].steps, found[1].steps), (4, 1));
        let closed = |row: usize, student: usize| found[row].students[student].closed.map(|closed| closed.estimate);
        assert!((closed(0, 0).unwrap() - 1.0).abs() < 1e-9 && (closed(0, 1).unwrap() - 0.5).abs() < 1e-9);
        // No fraction of a gap that may be none.
        assert_eq!((found[1].beyond_2_errors, closed(1, 0)), (false, None));
        assert!(found[1].students[0].won.estimate < 0.0);
        assert!(gaps(&rows[1..]).is_empty());
    }
}
