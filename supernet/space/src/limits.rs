use std::collections::{BTreeMap, HashMap};

use crate::{Genome, SearchSpace};

/// Upper bounds of named quantities that a candidate must keep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits(Vec<Limit>);

/// An upper bound of one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The quantity's name, with its unit.
    pub name: String,
    /// Its largest value; not 0.
    pub most: f64,
}

/// Whether any candidate keeps the limits, found before a search.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This one does.
    Feasible(Genome),
    /// None was found; the nearest that was.
    Infeasible {
        /// The candidate that oversteps least.
        nearest: Genome,
        /// For each overstepped quantity: its least value found anywhere in the space, and the limit.
        least: BTreeMap<String, (f64, f64)>,
    },
}

impl Limits {
    /// Bounds by name. Their order is that of the values that are held against them.
    pub fn new(limits: impl IntoIterator<Item = (String, f64)>) -> Self {
        Self(limits.into_iter().map(|(name, most)| Limit { name, most }).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Limit> {
        self.0.iter()
    }

    /// Whether anything goes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sum of relative oversteps of values in the limits' order; 0 where every limit is kept.
    pub fn violation(&self, values: &[f64]) -> f64 {
        let overstep = |(limit, value): (&Limit, &f64)| ((value - limit.most) / limit.most.abs()).max(0.0);
        self.iter().zip(values).map(overstep).fold(0.0, |sum, overstep| sum + overstep)
    }
}

/// Descends slot by slot towards the least violation, from the space's baseline and from the least of each limited quantity.
/// The least of one quantity is exact where it is a sum or a maximum over slots. Bounded to a few passes always, so that a
/// space of any size takes as many calls of `values` as it has choices, times a small number.
///
/// `values` gives a genome's limited quantities in the limits' order; it is called once for each genome.
pub fn verdict<E>(
    space: &SearchSpace,
    limits: &Limits,
    mut values: impl FnMut(&[u16]) -> Result<Vec<f64>, E>,
) -> Result<Verdict, E> {
    let mut known: HashMap<Genome, Vec<f64>> = HashMap::new();
    // Descents meet the same genomes: each one's last pass changes nothing, and the next may start from there.
    let mut values = |genome: &[u16]| match known.get(genome) {
        Some(values) => Ok(values.clone()),
        None => {
            let found = values(genome)?;
            known.insert(genome.to_vec(), found.clone());
            Ok(found)
        }
    };
    let first = space.baseline();
    let mut nearest = descend(space, first.clone(), |genome| Ok(limits.violation(&values(genome)?)))?;
    let mut violation = limits.violation(&values(&nearest)?);
    let mut least = Vec::new();
    let quantities = if violation > 0.0 { limits.iter().count() } else { 0 };
    for place in 0..quantities {
        let of_quantity = descend(space, first.clone(), |genome| Ok(values(genome)?[place]))?;
        least.push(values(&of_quantity)?[place]);
        let found = descend(space, of_quantity, |genome| Ok(limits.violation(&values(genome)?)))?;
        let smaller = limits.violation(&values(&found)?);
        if smaller < violation {
            (nearest, violation) = (found, smaller);
        }
    }
    if violation == 0.0 {
        return Ok(Verdict::Feasible(nearest));
    }
    let found = limits.iter().zip(values(&nearest)?).zip(least);
    let overstepped = found.filter(|((limit, value), _)| *value > limit.most);
    let least = overstepped.map(|((limit, _), least)| (limit.name.clone(), (least, limit.most))).collect();
    Ok(Verdict::Infeasible { nearest, least })
}

fn descend<E>(
    space: &SearchSpace,
    mut genome: Genome,
    mut value: impl FnMut(&[u16]) -> Result<f64, E>,
) -> Result<Genome, E> {
    const PASSES: usize = 3;
    let mut best = value(&genome)?;
    for _ in 0..PASSES {
        let before = best;
        for slot in 0..genome.len() {
            let kept = genome[slot];
            let mut chosen = kept;
            for choice in (0..space.slots()[slot].choices.len() as u16).filter(|&choice| choice != kept) {
                genome[slot] = choice;
                let found = value(&genome)?;
                if found < best {
                    (best, chosen) = (found, choice);
                }
            }
            genome[slot] = chosen;
        }
        if best == before || best == 0.0 {
            break;
        }
    }
    Ok(genome)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Slot, SlotInfo, SpaceFile, SpaceRule};

    #[test]
    fn a_violation_is_the_sum_of_relative_oversteps() {
        let limits = Limits::new([("latency_ms".into(), 10.0), ("quality".into(), -4.0)]);
        assert_eq!(limits.violation(&[10.0, -4.0]), 0.0);
        assert_eq!(limits.violation(&[15.0, -5.0]), 0.5);
        assert_eq!(limits.violation(&[15.0, -3.0]), 0.75);
        assert!(Limits::default().violation(&[]).is_sign_positive());
    }

    #[test]
    fn says_before_a_search_what_is_possible() {
        let choices = vec!["conv1d".into(), "none".into(), "attn1d".into()];
        let file = SpaceFile { rules: vec![SpaceRule { slots: vec!["*".into()], choices }] };
        let info = |name| SlotInfo { slot: Slot::new(name), channels: 32, level: 0 };
        let space = SearchSpace::new(&["in", "down.0.0.r", "up.0.0.r"].map(info), &file).unwrap();
        // A slot costs 3, 1 or 2.
        let usage = |genome: &[u16]| {
            let cost: u16 = genome.iter().map(|&choice| [3, 1, 2][usize::from(choice)]).sum();
            Ok::<_, ()>(vec![1.0, f64::from(cost)])
        };
        let slots = space.slots().len() as f64;
        let limits = |parameters| Limits::new([("macs".into(), 1.0), ("parameters".into(), parameters)]);
        assert!(matches!(verdict(&space, &limits(slots), usage), Ok(Verdict::Feasible(_))));
        let mut asked = HashSet::new();
        let once = |genome: &[u16]| {
            assert!(asked.insert(genome.to_vec()), "{genome:?} is asked for twice");
            usage(genome)
        };
        match verdict(&space, &limits(slots - 1.0), once) {
            Ok(Verdict::Infeasible { nearest, least }) => {
                assert!(nearest.iter().all(|&choice| choice == 1));
                assert_eq!(least["parameters"], (slots, slots - 1.0));
            }
            other => panic!("{other:?}"),
        }
    }
}
