use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Genome, SearchSpace};

/// Upper bounds that a candidate must keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Milliseconds on the target device.
    pub latency_ms: Option<f64>,
    /// Weights of the denoiser.
    pub parameters: Option<f64>,
    /// Multiply-accumulates of a call.
    pub macs: Option<f64>,
    /// Bytes of weights and live activations, counted.
    pub peak_memory_bytes: Option<f64>,
    /// Bytes of the process that runs it, predicted from measured peaks.
    pub process_memory_bytes: Option<f64>,
}

/// What a candidate uses of each limited quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Milliseconds on the target device.
    pub latency_ms: f64,
    /// Weights of the denoiser.
    pub parameters: f64,
    /// Multiply-accumulates of a call.
    pub macs: f64,
    /// Bytes of weights and live activations, counted.
    pub peak_memory_bytes: f64,
    /// Bytes of the process that runs it, predicted from measured peaks.
    pub process_memory_bytes: f64,
}

/// Whether any candidate keeps the limits, told before a search.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This one does.
    Feasible(Genome),
    /// None was found; the nearest that was.
    Infeasible {
        /// The candidate that oversteps least.
        nearest: Genome,
        /// For each overstepped quantity: its least value found anywhere in the space, and the limit.
        least: BTreeMap<&'static str, (f64, f64)>,
    },
}

impl Limits {
    /// Sum of relative oversteps; 0 where every limit is kept.
    pub fn violation(&self, usage: &Usage) -> f64 {
        self.pairs(usage).iter().map(|&(_, value, limit)| ((value - limit) / limit).max(0.0)).sum()
    }

    /// Name, value and limit of each limited quantity.
    pub fn pairs(&self, usage: &Usage) -> Vec<(&'static str, f64, f64)> {
        let all = [
            ("latency_ms", usage.latency_ms, self.latency_ms),
            ("parameters", usage.parameters, self.parameters),
            ("macs", usage.macs, self.macs),
            ("peak_memory_bytes", usage.peak_memory_bytes, self.peak_memory_bytes),
            ("process_memory_bytes", usage.process_memory_bytes, self.process_memory_bytes),
        ];
        all.into_iter().filter_map(|(name, value, limit)| Some((name, value, limit?))).collect()
    }
}

/// Descends slot by slot towards the least violation, from the first choices and from the least of each limited quantity.
/// The least of one quantity is exact where it is a sum or a maximum over slots. Bounded to a few passes always, so that a
/// space of any size takes as many calls of `usage` as it has choices, times a small number.
pub fn verdict<E>(
    space: &SearchSpace,
    limits: &Limits,
    mut usage: impl FnMut(&[u16]) -> Result<Usage, E>,
) -> Result<Verdict, E> {
    let first: Genome = vec![0; space.slots().len()];
    let mut nearest = descend(space, first.clone(), |genome| Ok(limits.violation(&usage(genome)?)))?;
    let mut violation = limits.violation(&usage(&nearest)?);
    let mut least = Vec::new();
    let quantities = if violation > 0.0 { limits.pairs(&Usage::default()).len() } else { 0 };
    for index in 0..quantities {
        let value_of = |usage: Usage| limits.pairs(&usage)[index].1;
        let of_quantity = descend(space, first.clone(), |genome| Ok(value_of(usage(genome)?)))?;
        least.push(value_of(usage(&of_quantity)?));
        let found = descend(space, of_quantity, |genome| Ok(limits.violation(&usage(genome)?)))?;
        let smaller = limits.violation(&usage(&found)?);
        if smaller < violation {
            (nearest, violation) = (found, smaller);
        }
    }
    if violation == 0.0 {
        return Ok(Verdict::Feasible(nearest));
    }
    let pairs = limits.pairs(&usage(&nearest)?);
    let overstepped = pairs.into_iter().zip(least).filter(|((_, value, limit), _)| value > limit);
    let least = overstepped.map(|((name, _, limit), least)| (name, (least, limit))).collect();
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
    use super::*;
    use crate::{Slot, SlotInfo, SpaceFile, SpaceRule};

    #[test]
    fn says_before_a_search_what_is_possible() {
        let choices = vec!["conv1d".into(), "none".into(), "attn1d".into()];
        let file = SpaceFile { rules: vec![SpaceRule { slots: vec!["*".into()], choices }] };
        let info = |name| SlotInfo { slot: Slot::new(name), channels: 32, level: 0 };
        let space = SearchSpace::new(&["in", "down.0.0.r", "up.0.0.r"].map(info), &file).unwrap();
        // A slot costs 3, 1 or 2.
        let usage = |genome: &[u16]| {
            let cost: u16 = genome.iter().map(|&choice| [3, 1, 2][usize::from(choice)]).sum();
            Ok::<_, ()>(Usage { parameters: f64::from(cost), ..Usage::default() })
        };
        let slots = space.slots().len() as f64;
        let limits = |parameters| Limits { parameters: Some(parameters), ..Limits::default() };
        assert!(matches!(verdict(&space, &limits(slots), usage), Ok(Verdict::Feasible(_))));
        match verdict(&space, &limits(slots - 1.0), usage) {
            Ok(Verdict::Infeasible { nearest, least }) => {
                assert!(nearest.iter().all(|&choice| choice == 1));
                assert_eq!(least["parameters"], (slots, slots - 1.0));
            }
            other => panic!("{other:?}"),
        }
    }
}
