use serde::{Deserialize, Serialize};

use crate::error::{EvolutionError, Result, require_count};
use crate::hypervolume::hypervolume;
use crate::individual::Individual;
use crate::knee::knee;
use crate::order::lexicographic;

/// Every feasible candidate seen that no other seen one dominates.
///
/// Sorted by objective values, then by genome. Law: what it holds does not depend on the order of insertion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Individual<G>>", into = "Vec<Individual<G>>")]
#[serde(bound(serialize = "G: Clone + Serialize", deserialize = "G: Ord + Deserialize<'de>"))]
pub struct ParetoArchive<G> {
    members: Vec<Individual<G>>,
}

impl<G> Default for ParetoArchive<G> {
    fn default() -> Self {
        Self { members: Vec::new() }
    }
}

impl<G: Ord> ParetoArchive<G> {
    /// Takes a candidate if it is feasible and undominated, drops those that it dominates, and says whether it
    /// was taken. Equally good candidates stay side by side; one genome is held once.
    pub fn insert(&mut self, individual: Individual<G>) -> Result<bool> {
        let newcomer = &individual.objectives;
        if let Some(member) = self.members.first() {
            require_count(member.objectives.values().len(), newcomer.values().len())?;
        }
        let unwelcome =
            |member: &Individual<G>| member.objectives.dominates(newcomer) || member.genome == individual.genome;
        if !newcomer.is_feasible() || self.members.iter().any(unwelcome) {
            return Ok(false);
        }
        self.members.retain(|member| !newcomer.dominates(&member.objectives));
        let place = self.members.partition_point(|member| precedes(member, &individual));
        self.members.insert(place, individual);
        Ok(true)
    }

    /// The front, sorted by objective values.
    pub fn members(&self) -> &[Individual<G>] {
        &self.members
    }

    /// The volume that the front dominates below `reference_point`.
    pub fn hypervolume(&self, reference_point: &[f64]) -> Result<f64> {
        hypervolume(&self.values(), reference_point)
    }

    /// The member at the front's knee, if there is any member.
    pub fn knee(&self) -> Result<Option<&Individual<G>>> {
        Ok(knee(&self.values())?.map(|knee| &self.members[knee.index]))
    }

    fn values(&self) -> Vec<&[f64]> {
        self.members.iter().map(|member| member.objectives.values()).collect()
    }
}

fn precedes<G: Ord>(a: &Individual<G>, b: &Individual<G>) -> bool {
    let values = lexicographic(a.objectives.values(), b.objectives.values());
    values.then_with(|| a.genome.cmp(&b.genome)).is_lt()
}

impl<G> From<ParetoArchive<G>> for Vec<Individual<G>> {
    fn from(archive: ParetoArchive<G>) -> Self {
        archive.members
    }
}

impl<G: Ord> TryFrom<Vec<Individual<G>>> for ParetoArchive<G> {
    type Error = EvolutionError;

    /// The front of a list of candidates.
    fn try_from(candidates: Vec<Individual<G>>) -> Result<Self> {
        let mut archive = Self::default();
        for candidate in candidates {
            archive.insert(candidate)?;
        }
        Ok(archive)
    }
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::objectives::Objectives;
    use crate::variation::Rng;

    fn crowd(count: u32, dimension: usize, rng: &mut Rng) -> Vec<Individual<u32>> {
        let individual = |genome| {
            let values = (0..dimension).map(|_| f64::from(rng.random_range(0..30))).collect();
            let violation = f64::from(rng.random_range(-3_i32..2).max(0));
            Individual { genome, objectives: Objectives::new(values, violation).expect("valid") }
        };
        (0..count).map(individual).collect()
    }

    #[test]
    fn it_is_the_front_of_all_whatever_the_order() {
        let mut rng = Rng::seed_from_u64(3);
        for dimension in 1..=3 {
            let mut crowd = crowd(120, dimension, &mut rng);
            let free = |one: &&Individual<u32>| {
                one.objectives.is_feasible()
                    && !crowd.iter().any(|other| other.objectives.dominates(&one.objectives))
            };
            let mut front: Vec<u32> = crowd.iter().filter(free).map(|one| one.genome).collect();
            front.sort_unstable();

            let first = ParetoArchive::try_from(crowd.clone()).expect("one dimension");
            crowd.shuffle(&mut rng);
            assert_eq!(first, ParetoArchive::try_from(crowd).expect("one dimension"));
            assert!(first.members().windows(2).all(|pair| precedes(&pair[0], &pair[1])));
            let mut genomes: Vec<u32> = first.members().iter().map(|one| one.genome).collect();
            genomes.sort_unstable();
            assert_eq!(genomes, front);
        }
    }

    #[test]
    fn hypervolume_never_falls_when_it_grows() {
        let mut rng = Rng::seed_from_u64(4);
        for dimension in 2..=4 {
            let mut archive = ParetoArchive::default();
            let mut before = 0.0;
            for individual in crowd(60, dimension, &mut rng) {
                archive.insert(individual).expect("one dimension");
                let after = archive.hypervolume(&vec![30.0; dimension]).expect("finite");
                assert!(after >= before, "{after} after {before}"); // Whole numbers: exact sums.
                before = after;
            }
            assert!(before > 0.0);
        }
    }

    #[test]
    fn other_dimensions_and_known_genomes_are_not_taken() {
        let individual = |genome, values: &[f64]| {
            let objectives = Objectives::feasible(values.to_vec()).expect("valid");
            Individual { genome, objectives }
        };
        let mut archive = ParetoArchive::default();
        assert_eq!(archive.insert(individual(1, &[1.0, 2.0])), Ok(true));
        assert_eq!(archive.insert(individual(1, &[2.0, 1.0])), Ok(false));
        assert_eq!(archive.insert(individual(2, &[1.0, 2.0])), Ok(true));
        let error = EvolutionError::ObjectiveCount { expected: 2, found: 1 };
        assert_eq!(archive.insert(individual(3, &[0.0])), Err(error));
    }

    #[test]
    fn storage_keeps_it() {
        let archive = ParetoArchive::try_from(crowd(50, 2, &mut Rng::seed_from_u64(6))).expect("one dimension");
        let text = serde_json::to_string(&archive).expect("serialises");
        assert_eq!(archive, serde_json::from_str(&text).expect("parses"));
    }
}
