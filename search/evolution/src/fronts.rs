use std::borrow::Borrow;

use crate::evaluation::Evaluation;
use crate::order::lexicographic;

/// Splits candidates into fronts: the first is dominated by none, each next only by earlier ones. Indices ascend
/// within a front.
///
/// Efficient non-dominated sort with binary search (Zhang, Tian, Cheng & Jin 2015, ENS-BS): after a lexicographic
/// sort nobody is dominated by a later candidate, and a front that holds a dominator has one in every front before.
pub fn non_dominated_fronts<E: Borrow<Evaluation>>(evaluations: &[E]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..evaluations.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (evaluations[a].borrow(), evaluations[b].borrow());
        a.violation().total_cmp(&b.violation()).then_with(|| lexicographic(a.values(), b.values()))
    });

    let mut fronts: Vec<Vec<usize>> = Vec::new();
    for candidate in order {
        let dominated = |front: &Vec<usize>| {
            // Latest first: neighbours in the sorted order dominate more often.
            front.iter().rev().any(|&other| evaluations[other].borrow().dominates(evaluations[candidate].borrow()))
        };
        let place = fronts.partition_point(dominated);
        match fronts.get_mut(place) {
            Some(front) => front.push(candidate),
            None => fronts.push(vec![candidate]),
        }
    }
    for front in &mut fronts {
        front.sort_unstable();
    }
    fronts
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::variation::Rng;

    /// The slow, obvious twin: peel off what nothing left dominates.
    fn peeled(evaluations: &[Evaluation]) -> Vec<Vec<usize>> {
        let mut left: Vec<usize> = (0..evaluations.len()).collect();
        let mut fronts = Vec::new();
        while !left.is_empty() {
            let free = |&&i: &&usize| !left.iter().any(|&j| evaluations[j].dominates(&evaluations[i]));
            let front: Vec<usize> = left.iter().filter(free).copied().collect();
            left.retain(|i| !front.contains(i));
            fronts.push(front);
        }
        fronts
    }

    #[test]
    fn agrees_with_peeling() {
        let mut rng = Rng::seed_from_u64(1);
        for round in 0..200 {
            let [count, dimension] = [round % 60, 1 + round % 4];
            // Coarse values, so that ties and equal candidates are common.
            let mut draw = |top: u32| f64::from(rng.random_range(0..=top));
            let evaluations: Vec<Evaluation> = (0..count)
                .map(|_| {
                    let values = (0..dimension).map(|_| draw(6)).collect();
                    let violation = draw(4) - 2.0;
                    let feasible = violation <= 0.0;
                    if feasible { Evaluation::feasible(values) } else { Evaluation::infeasible(violation) }
                })
                .collect::<Result<_, _>>()
                .expect("finite");
            assert_eq!(non_dominated_fronts(&evaluations), peeled(&evaluations));
        }
    }
}
