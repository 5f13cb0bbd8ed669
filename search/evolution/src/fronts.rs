use std::borrow::Borrow;

use crate::objectives::Objectives;
use crate::order::lexicographic;

/// Splits candidates into fronts: the first is dominated by none, each next only by earlier ones. Indices ascend
/// within a front.
///
/// Efficient non-dominated sort with binary search (Zhang, Tian, Cheng & Jin 2015, ENS-BS): after a lexicographic
/// sort nobody is dominated by a later candidate, and a front that holds a dominator has one in every front before.
pub fn non_dominated_fronts<O: Borrow<Objectives>>(objectives: &[O]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..objectives.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (objectives[a].borrow(), objectives[b].borrow());
        a.violation().total_cmp(&b.violation()).then_with(|| lexicographic(a.values(), b.values()))
    });

    let mut fronts: Vec<Vec<usize>> = Vec::new();
    for candidate in order {
        let dominated = |front: &Vec<usize>| {
            // Latest first: neighbours in the sorted order dominate more often.
            front.iter().rev().any(|&other| objectives[other].borrow().dominates(objectives[candidate].borrow()))
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
    fn peeled(objectives: &[Objectives]) -> Vec<Vec<usize>> {
        let mut left: Vec<usize> = (0..objectives.len()).collect();
        let mut fronts = Vec::new();
        while !left.is_empty() {
            let free = |&&i: &&usize| !left.iter().any(|&j| objectives[j].dominates(&objectives[i]));
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
            let objectives: Vec<Objectives> = (0..count)
                .map(|_| {
                    let values = (0..dimension).map(|_| draw(6)).collect();
                    Objectives::new(values, (draw(4) - 2.0).max(0.0)).expect("valid")
                })
                .collect();
            assert_eq!(non_dominated_fronts(&objectives), peeled(&objectives));
        }
    }
}
