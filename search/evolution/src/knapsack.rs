use serde::{Deserialize, Serialize};

use crate::error::{EvolutionError, Result};

/// One choice of a slot: what it costs and what it loses. Either may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it adds to the total cost.
    pub cost: f64,
    /// What it adds to the total loss.
    pub loss: f64,
}

/// One choice for every slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnapsackSolution {
    /// The sum of the choices' costs, in slot order.
    pub cost: f64,
    /// The sum of the choices' losses, in slot order.
    pub loss: f64,
    /// Per slot, the place of its choice in the slot's list.
    pub choices: Vec<usize>,
}

/// The multiple-choice knapsack, solved for every limit at once: the Pareto front of (total cost, total loss) over
/// all ways to take exactly one item per slot.
///
/// Dynamic programming over dominance-pruned states (Nemhauser & Ullmann 1969; with choices, Kellerer, Pferschy &
/// Pisinger 2004, ch. 11): a partial sum that another one beats in both cost and loss begins no front point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnapsackFront {
    solutions: Vec<KnapsackSolution>,
    cost_slack: f64,
}

impl KnapsackFront {
    /// Solves for slots given as lists of items.
    ///
    /// Real-valued sums can have exponentially long fronts. Where more than `max_states` partial sums remain after a
    /// slot, the range of their costs is divided into `max_states − 1` cells and each cell keeps its lowest loss (and
    /// the cheapest sum is kept as well). Totals stay those of real choices; the widths of all such cells sum up to
    /// [`cost_slack`](Self::cost_slack), so that for every way to choose, the front has one that loses no more and
    /// costs at most the slack more. A slack of 0 means that the front is exact.
    ///
    /// ```
    /// use tnas_evolution::{Item, KnapsackFront};
    ///
    /// let none = Item { cost: 0.0, loss: 1.0 };
    /// let slots = [vec![none, Item { cost: 3.0, loss: 0.2 }], vec![none, Item { cost: 2.0, loss: 0.6 }]];
    /// let front = KnapsackFront::solve(&slots, 1_000)?;
    /// assert_eq!(front.best_under(4.0).map(|best| &best.choices[..]), Some(&[1, 0][..]));
    /// # Ok::<(), tnas_evolution::EvolutionError>(())
    /// ```
    pub fn solve(slots: &[Vec<Item>], max_states: usize) -> Result<Self> {
        if max_states < 2 {
            let [name, expected] = ["max_states", "2 or more"];
            return Err(EvolutionError::Setting { name, value: max_states as f64, expected });
        }
        let mut cost_slack = 0.0;
        let mut layers = vec![vec![State { cost: 0.0, loss: 0.0, parent: 0, choice: 0 }]];
        for (slot, items) in slots.iter().enumerate() {
            check(slot, items)?;
            let (states, width) = thinned(extended(&layers[slot], items), max_states);
            cost_slack += width;
            layers.push(states);
        }
        let solutions = (0..layers[slots.len()].len()).map(|state| traced(&layers, state)).collect();
        Ok(Self { solutions, cost_slack })
    }

    /// The front, from the cheapest to the one with the lowest loss.
    pub fn solutions(&self) -> &[KnapsackSolution] {
        &self.solutions
    }

    /// How much dearer than necessary a solution may be; 0 when the front is exact.
    pub fn cost_slack(&self) -> f64 {
        self.cost_slack
    }

    /// The lowest loss whose cost does not exceed `limit`; none when even the cheapest does.
    pub fn best_under(&self, limit: f64) -> Option<&KnapsackSolution> {
        let affordable = self.solutions.partition_point(|solution| solution.cost <= limit);
        self.solutions[..affordable].last()
    }
}

/// A choice for the first slots, as a step from a state of the slot before.
#[derive(Clone, Copy)]
struct State {
    cost: f64,
    loss: f64,
    parent: usize,
    choice: usize,
}

fn check(slot: usize, items: &[Item]) -> Result<()> {
    if items.is_empty() {
        return Err(EvolutionError::EmptySlot { slot });
    }
    for item in items {
        for (quantity, value) in [("cost in slot", item.cost), ("loss in slot", item.loss)] {
            if !value.is_finite() {
                return Err(EvolutionError::NotFinite { quantity, index: slot, value });
            }
        }
    }
    Ok(())
}

/// Every state with every item, less what is dominated: costs rise strictly and losses fall strictly.
fn extended(states: &[State], items: &[Item]) -> Vec<State> {
    let with_item = |parent: usize, choice: usize| State {
        cost: states[parent].cost + items[choice].cost,
        loss: states[parent].loss + items[choice].loss,
        parent,
        choice,
    };
    let choices = |parent| (0..items.len()).map(move |choice| (parent, choice));
    let pairs = (0..states.len()).flat_map(choices);
    let mut sums: Vec<State> = pairs.map(|(parent, choice)| with_item(parent, choice)).collect();
    // A stable sort: among equal sums the earliest parent and choice stay.
    sums.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
    let mut front: Vec<State> = Vec::new();
    for sum in sums {
        if front.last().is_none_or(|last| sum.loss < last.loss) {
            front.push(sum);
        }
    }
    front
}

/// At most `limit` of the states, and the width of the cells of cost that were merged (0 if none were).
fn thinned(states: Vec<State>, limit: usize) -> (Vec<State>, f64) {
    let [first, .., last] = states[..] else { return (states, 0.0) };
    if states.len() <= limit {
        return (states, 0.0);
    }
    let cells = limit - 1;
    let width = (last.cost - first.cost) / cells as f64;
    let cell = |state: &State| (((state.cost - first.cost) / width) as usize).min(cells - 1);
    let mut kept = vec![first];
    for pair in states[1..].windows(2) {
        // Losses fall as costs rise: a cell's lowest loss is its last state.
        if cell(&pair[0]) != cell(&pair[1]) {
            kept.push(pair[0]);
        }
    }
    kept.push(last);
    (kept, width)
}

/// The choices that led to a final state.
fn traced(layers: &[Vec<State>], state: usize) -> KnapsackSolution {
    let slots = layers.len() - 1;
    let State { cost, loss, .. } = layers[slots][state];
    let mut choices = vec![0; slots];
    let mut at = state;
    for slot in (0..slots).rev() {
        let State { parent, choice, .. } = layers[slot + 1][at];
        choices[slot] = choice;
        at = parent;
    }
    KnapsackSolution { cost, loss, choices }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::variation::Rng;

    /// Up to four items a slot; what costs more tends to lose less, so that fronts are long.
    fn instance(slots: usize, grid: i32, rng: &mut Rng) -> Vec<Vec<Item>> {
        let mut draw = |low: i32| f64::from(rng.random_range(low..=grid)) * 0.1;
        let mut item = || {
            let cost = draw(-5);
            Item { cost, loss: 0.3 * draw(-grid) - cost }
        };
        (0..slots).map(|slot| (0..=slot % 4).map(|_| item()).collect()).collect()
    }

    /// The slow, obvious twin: every way to choose.
    fn all_sums(slots: &[Vec<Item>]) -> Vec<[f64; 2]> {
        slots.iter().fold(vec![[0.0, 0.0]], |sums, items| {
            let with = |[cost, loss]: [f64; 2]| items.iter().map(move |item| [cost + item.cost, loss + item.loss]);
            sums.into_iter().flat_map(with).collect()
        })
    }

    fn front_of(sums: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let beats = |a: &[f64; 2], b: &[f64; 2]| a[0] <= b[0] && a[1] <= b[1] && a != b;
        let mut front: Vec<[f64; 2]> =
            sums.iter().filter(|sum| !sums.iter().any(|other| beats(other, sum))).copied().collect();
        front.sort_by(|a, b| a[0].total_cmp(&b[0]));
        front.dedup();
        front
    }

    #[test]
    fn agrees_with_enumeration() {
        let mut rng = Rng::seed_from_u64(1);
        for round in 0..60 {
            // A coarse grid brings ties, a fine one long fronts.
            let slots = instance(round % 8, if round % 2 == 0 { 9 } else { 100_000 }, &mut rng);
            let solved = KnapsackFront::solve(&slots, 100_000).expect("valid");
            let found: Vec<[f64; 2]> = solved.solutions().iter().map(|s| [s.cost, s.loss]).collect();
            assert_eq!(found, front_of(&all_sums(&slots)));
            assert_eq!(solved.cost_slack(), 0.0);
            assert_totals(&solved, &slots);
        }
    }

    fn assert_totals(front: &KnapsackFront, slots: &[Vec<Item>]) {
        for solution in front.solutions() {
            let items = solution.choices.iter().zip(slots).map(|(&choice, items)| items[choice]);
            let [cost, loss] = items.fold([0.0, 0.0], |[cost, loss], item| [cost + item.cost, loss + item.loss]);
            assert_eq!([cost, loss], [solution.cost, solution.loss]);
        }
    }

    #[test]
    fn merging_keeps_its_promise() {
        let mut rng = Rng::seed_from_u64(2);
        for max_states in [2, 3, 6, 12] {
            let slots = instance(8, 100_000, &mut rng);
            let merged = KnapsackFront::solve(&slots, max_states).expect("valid");
            assert!(merged.solutions().len() <= max_states);
            assert!(merged.cost_slack() > 0.0);
            assert_totals(&merged, &slots);
            for [cost, loss] in front_of(&all_sums(&slots)) {
                let best = merged.best_under(cost + merged.cost_slack() + 1e-9).expect("the cheapest is kept");
                assert!(best.loss <= loss);
            }
        }
    }

    #[test]
    fn the_limit_is_kept_and_may_be_unmeetable() {
        let slots = instance(6, 1_000, &mut Rng::seed_from_u64(3));
        let sums = all_sums(&slots);
        let front = KnapsackFront::solve(&slots, 10_000).expect("valid");
        for limit in (-20..80).map(f64::from) {
            let affordable = sums.iter().filter(|sum| sum[0] <= limit).map(|sum| sum[1]);
            let lowest = affordable.min_by(f64::total_cmp);
            assert_eq!(front.best_under(limit).map(|best| best.loss), lowest);
        }
        assert!(front.best_under(-100.0).is_none() && front.best_under(f64::NAN).is_none());
    }

    #[test]
    fn what_cannot_be_filled_is_refused() {
        let item = Item { cost: 1.0, loss: 1.0 };
        assert_eq!(KnapsackFront::solve(&[vec![item], vec![]], 9), Err(EvolutionError::EmptySlot { slot: 1 }));
        let broken = Item { loss: f64::NAN, ..item };
        let error = KnapsackFront::solve(&[vec![item], vec![item, broken]], 9);
        assert!(matches!(error, Err(EvolutionError::NotFinite { quantity: "loss in slot", index: 1, .. })));
        assert!(KnapsackFront::solve(&[vec![item]], 1).is_err());
        assert_eq!(KnapsackFront::solve(&[], 9).expect("nothing to choose").solutions().len(), 1);
    }
}
