use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::{Choice, Genotype, SlotInfo, SpaceError};

/// A candidate as the searcher sees it: the index of each slot's choice, in the backbone's order of slots.
pub type Genome = Vec<u16>;

/// Which choices each slot of a backbone has.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpace {
    slots: Vec<SlotChoices>,
}

/// The choices of one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotChoices {
    /// The slot.
    pub info: SlotInfo,
    /// Its choices; the first is what a slot without a rule has: `none`.
    pub choices: Vec<Choice>,
}

/// A search space as written in TOML.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceFile {
    /// Rules; the first that matches a slot gives its choices.
    pub rules: Vec<SpaceRule>,
}

/// Choices for the slots that match a pattern.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceRule {
    /// Patterns of slots, `*` for any run of characters.
    pub slots: Vec<String>,
    /// Choices, e.g. `none` or `conv1d(k=3)+attn1d(heads=4)`.
    pub choices: Vec<String>,
}

impl SearchSpace {
    /// Reads a space for the slots of a backbone. A pattern that matches no slot is an error, but for `mid.…` where the backbone
    /// has no middle block: a space serves backbones with and without.
    pub fn new(infos: &[SlotInfo], file: &SpaceFile) -> Result<Self, SpaceError> {
        let middle = infos.iter().any(|info| info.slot.as_str().starts_with("mid."));
        for pattern in file.rules.iter().flat_map(|rule| &rule.slots) {
            let without_middle = pattern.starts_with("mid.") && !middle;
            if !without_middle && !infos.iter().any(|info| info.slot.matches(pattern)) {
                let known: Vec<&str> = infos.iter().map(|info| info.slot.as_str()).collect();
                let (what, slots) = ("a rule".into(), known.join(", "));
                return Err(SpaceError::Slot { what, slot: pattern.clone(), slots });
            }
        }
        let slot_choices = |info: &SlotInfo| -> Result<SlotChoices, SpaceError> {
            let covers = |rule: &&SpaceRule| rule.slots.iter().any(|pattern| info.slot.matches(pattern));
            let choices = match file.rules.iter().find(covers) {
                None => vec![Choice::none()],
                Some(rule) => parse_choices(rule)?,
            };
            Ok(SlotChoices { info: info.clone(), choices })
        };
        Ok(Self { slots: infos.iter().map(slot_choices).collect::<Result<_, _>>()? })
    }

    /// The slots in order.
    pub fn slots(&self) -> &[SlotChoices] {
        &self.slots
    }

    /// How many genotypes there are.
    pub fn cardinality(&self) -> f64 {
        self.slots.iter().map(|slot| slot.choices.len() as f64).product()
    }

    /// The genotype of a genome.
    pub fn genotype(&self, genome: &[u16]) -> Genotype {
        let choice = |(slot, &index): (&SlotChoices, &u16)| {
            (slot.info.slot.clone(), slot.choices.get(usize::from(index)).cloned().unwrap_or_default())
        };
        Genotype::new(self.slots.iter().zip(genome).map(choice))
    }

    /// The genome of a genotype, or an error where a slot does not have its choice.
    pub fn genome(&self, genotype: &Genotype) -> Result<Genome, SpaceError> {
        for (slot, choice) in genotype.insertions() {
            if !self.slots.iter().any(|known| known.info.slot == *slot) {
                let known: Vec<&str> = self.slots.iter().map(|known| known.info.slot.as_str()).collect();
                let (what, slots) = (choice.to_string(), known.join(", "));
                return Err(SpaceError::Slot { what, slot: slot.to_string(), slots });
            }
        }
        let index = |slot: &SlotChoices| {
            let wanted = genotype.choice(&slot.info.slot);
            slot.choices.iter().position(|choice| *choice == wanted).map(|index| index as u16).ok_or_else(|| {
                let known: Vec<String> = slot.choices.iter().map(Choice::to_string).collect();
                let text = format!("{}={wanted}", slot.info.slot);
                SpaceError::Parse { text, message: format!("the space has {} there", known.join(", ")) }
            })
        };
        self.slots.iter().map(index).collect()
    }

    /// Every genome, where there are at most `limit`.
    pub fn enumerate(&self, limit: usize) -> Option<Vec<Genome>> {
        if self.cardinality() > limit as f64 {
            return None;
        }
        let extend = |front: Vec<Genome>, slot: &SlotChoices| -> Vec<Genome> {
            let choices = 0..slot.choices.len() as u16;
            front.iter().flat_map(|genome| choices.clone().map(move |c| [&genome[..], &[c]].concat())).collect()
        };
        Some(self.slots.iter().fold(vec![Vec::new()], extend))
    }

    /// A genome with every slot drawn evenly.
    pub fn sample(&self, rng: &mut impl Rng) -> Genome {
        self.slots.iter().map(|slot| rng.random_range(0..slot.choices.len()) as u16).collect()
    }

    /// Redraws one open slot at random, and each other with the given probability.
    pub fn mutate(&self, genome: &[u16], rate: f64, rng: &mut impl Rng) -> Genome {
        let open: Vec<usize> = (0..self.slots.len()).filter(|&i| self.slots[i].choices.len() > 1).collect();
        let mut child = genome.to_vec();
        if open.is_empty() {
            return child;
        }
        let always = open[rng.random_range(0..open.len())];
        for slot in open {
            if slot == always || rng.random_bool(rate) {
                // Another choice than the present one.
                let choices = self.slots[slot].choices.len() as u16;
                let step = rng.random_range(1..choices);
                child[slot] = (child[slot] + step) % choices;
            }
        }
        child
    }

    /// Takes each slot from either parent.
    pub fn crossover(&self, a: &[u16], b: &[u16], rng: &mut impl Rng) -> Genome {
        a.iter().zip(b).map(|(&a, &b)| if rng.random_bool(0.5) { a } else { b }).collect()
    }

    /// A small set of genomes in which every (slot, choice) occurs.
    pub fn covering(&self) -> Vec<Genome> {
        let longest = self.slots.iter().map(|slot| slot.choices.len()).max().unwrap_or(1);
        let genome = |i: usize| self.slots.iter().map(|slot| (i % slot.choices.len()) as u16).collect();
        (0..longest).map(genome).collect()
    }
}

fn parse_choices(rule: &SpaceRule) -> Result<Vec<Choice>, SpaceError> {
    let fail = |text: &str, message: &str| SpaceError::Parse { text: text.into(), message: message.into() };
    let choices: Vec<Choice> = rule.choices.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    if choices.is_empty() || choices.len() > usize::from(u16::MAX) {
        return Err(fail(&rule.slots.join(" "), "a rule needs at least one choice, e.g. \"none\""));
    }
    for (index, choice) in choices.iter().enumerate() {
        if choices[..index].contains(choice) {
            return Err(fail(&rule.choices[index], "the choice is listed twice"));
        }
    }
    Ok(choices)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::Slot;

    fn slots() -> Vec<SlotInfo> {
        let names = ["in", "down.0.0.r", "down.1.0.r", "mid.0.r", "mid.0.a", "up.0.0.r", "up.1.0.r"];
        names.map(|name| SlotInfo { slot: Slot::new(name), channels: 16, level: 0 }).into()
    }

    fn space() -> SearchSpace {
        let rules = vec![
            SpaceRule { slots: vec!["down.*".into()], choices: vec!["none".into(), "conv1d".into()] },
            SpaceRule {
                slots: vec!["mid.*.a".into()],
                choices: vec!["none".into(), "attn1d".into(), "attn3d".into()],
            },
        ];
        SearchSpace::new(&slots(), &SpaceFile { rules }).unwrap()
    }

    #[test]
    fn counts_what_it_enumerates() {
        let space = space();
        let all = space.enumerate(1000).unwrap();
        assert_eq!(all.len() as f64, space.cardinality());
        assert_eq!(space.cardinality(), 12.0);
        let ids: std::collections::BTreeSet<_> = all.iter().map(|g| space.genotype(g).arch_id()).collect();
        assert_eq!(ids.len(), 12);
        for genome in all {
            assert_eq!(space.genome(&space.genotype(&genome)).unwrap(), genome);
        }
    }

    #[test]
    fn variation_stays_inside_and_moves() {
        let space = space();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..200 {
            let (a, b) = (space.sample(&mut rng), space.sample(&mut rng));
            let child = space.mutate(&a, 0.1, &mut rng);
            assert_ne!(child, a);
            assert!(space.genome(&space.genotype(&child)).is_ok());
            let child = space.crossover(&a, &b, &mut rng);
            assert!(child.iter().zip(a.iter().zip(&b)).all(|(c, (a, b))| c == a || c == b));
        }
    }

    #[test]
    fn a_rule_for_no_slot_is_an_error_that_lists_them() {
        let rules = vec![SpaceRule { slots: vec!["dwn.*".into()], choices: vec!["none".into()] }];
        let message = SearchSpace::new(&slots(), &SpaceFile { rules }).unwrap_err().to_string();
        assert!(message.contains("dwn.*") && message.contains("down.0.0.r"), "{message}");
    }
}
