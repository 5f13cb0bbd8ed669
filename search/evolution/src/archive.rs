use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::error::{EvolutionError, Result, require_count};
use crate::hypervolume::hypervolume;
use crate::knee::knee;
use crate::objectives::Objectives;
use crate::order::lexicographic;

/// Every candidate offered that no other offered one dominates: the Pareto front.
///
/// Sorted by objective values, then by genome. Invariant: what it holds does not depend on the order of insertion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Member<G>>", into = "Vec<Member<G>>")]
#[serde(bound(serialize = "G: Clone + Serialize", deserialize = "G: Ord + Deserialize<'de>"))]
pub struct ParetoArchive<G> {
    members: Vec<Member<G>>,
}

/// A member of a front. Only feasible candidates have objectives, so only they can be members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member<G> {
    /// The genome, or whatever stands for the candidate.
    pub genome: G,
    /// Its objectives.
    pub objectives: Objectives,
}

impl<G> Default for ParetoArchive<G> {
    fn default() -> Self {
        Self { members: Vec::new() }
    }
}

impl<G: Ord> ParetoArchive<G> {
    /// Takes a candidate if it is undominated, drops those that it dominates, and says whether it was taken. Equally good
    /// candidates are kept together; one genome is held once.
    pub fn insert(&mut self, genome: G, objectives: Objectives) -> Result<bool> {
        if let Some(member) = self.members.first() {
            require_count(member.objectives.values().len(), objectives.values().len())?;
        }
        let refuses = |member: &Member<G>| member.objectives.dominates(&objectives) || member.genome == genome;
        if self.members.iter().any(refuses) {
            return Ok(false);
        }
        self.members.retain(|member| !objectives.dominates(&member.objectives));
        let newcomer = Member { genome, objectives };
        let place = self.members.partition_point(|member| order(member, &newcomer).is_lt());
        self.members.insert(place, newcomer);
        Ok(true)
    }

    /// The front, sorted by objective values.
    pub fn members(&self) -> &[Member<G>] {
        &self.members
    }

    /// The volume that the front dominates below `reference_point`.
    pub fn hypervolume(&self, reference_point: &[f64]) -> Result<f64> {
        hypervolume(&self.values(), reference_point)
    }

    /// The member at the front's knee, if there is any member.
    pub fn knee(&self) -> Result<Option<&Member<G>>> {
        Ok(knee(&self.values())?.map(|knee| &self.members[knee.index]))
    }

    fn values(&self) -> Vec<&[f64]> {
        self.members.iter().map(|member| member.objectives.values()).collect()
    }
}

fn order<G: Ord>(a: &Member<G>, b: &Member<G>) -> Ordering {
    let values = lexicographic(a.objectives.values(), b.objectives.values());
    values.then_with(|| a.genome.cmp(&b.genome))
}

impl<G> From<ParetoArchive<G>> for Vec<Member<G>> {
    fn from(archive: ParetoArchive<G>) -> Self {
        archive.members
    }
}

impl<G: Ord> TryFrom<Vec<Member<G>>> for ParetoArchive<G> {
    type Error = EvolutionError;

    /// The front of a list of candidates.
    fn try_from(candidates: Vec<Member<G>>) -> Result<Self> {
        let mut archive = Self::default();
        for Member { genome, objectives } in candidates {
            archive.insert(genome, objectives)?;
        }
        Ok(archive)
    }
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::variation::Rng;

    fn member(genome: u32, values: Vec<f64>) -> Member<u32> {
        Member { genome, objectives: Objectives::new(values).expect("finite") }
    }

    fn crowd(count: u32, dimension: usize, rng: &mut Rng) -> Vec<Member<u32>> {
        let mut draw = || f64::from(rng.random_range(0..30));
        (0..count).map(|genome| member(genome, (0..dimension).map(|_| draw()).collect())).collect()
    }

    #[test]
    fn it_is_the_front_of_all_whatever_the_order() {
        let mut rng = Rng::seed_from_u64(3);
        for dimension in 1..=4 {
            let mut crowd = crowd(120, dimension, &mut rng);
            let free = |one: &&Member<u32>| !crowd.iter().any(|other| other.objectives.dominates(&one.objectives));
            let mut front: Vec<u32> = crowd.iter().filter(free).map(|one| one.genome).collect();
            front.sort_unstable();

            let first = ParetoArchive::try_from(crowd.clone()).expect("one dimension");
            crowd.shuffle(&mut rng);
            assert_eq!(first, ParetoArchive::try_from(crowd).expect("one dimension"));
            assert!(first.members().windows(2).all(|pair| order(&pair[0], &pair[1]).is_lt()));
            let mut genomes: Vec<u32> = first.members().iter().map(|one| one.genome).collect();
            genomes.sort_unstable();
            assert_eq!(genomes, front);
        }
    }

    #[test]
    fn another_objective_takes_no_trade_off_of_the_others_away() {
        let mut rng = Rng::seed_from_u64(5);
        for dimension in 1..=3 {
            let more = crowd(150, dimension + 1, &mut rng);
            let fewer = |one: &Member<u32>| member(one.genome, one.objectives.values()[..dimension].to_vec());
            let front = ParetoArchive::try_from(more.iter().map(fewer).collect::<Vec<_>>()).expect("one dimension");
            let wider = ParetoArchive::try_from(more).expect("one dimension");
            let kept: Vec<&[f64]> =
                wider.members().iter().map(|one| &one.objectives.values()[..dimension]).collect();
            assert!(front.members().iter().all(|one| kept.contains(&one.objectives.values())));
        }
    }

    #[test]
    fn hypervolume_never_falls_when_it_grows() {
        let mut rng = Rng::seed_from_u64(4);
        for dimension in 1..=4 {
            let mut archive = ParetoArchive::default();
            let mut before = 0.0;
            for Member { genome, objectives } in crowd(60, dimension, &mut rng) {
                archive.insert(genome, objectives).expect("one dimension");
                let after = archive.hypervolume(&vec![30.0; dimension]).expect("finite");
                assert!(after >= before, "{after} after {before}"); // Whole numbers: exact sums.
                before = after;
            }
            assert!(before > 0.0);
        }
    }

    #[test]
    fn other_dimensions_and_known_genomes_are_not_taken() {
        let mut archive = ParetoArchive::default();
        let objectives = |values: &[f64]| Objectives::new(values.to_vec()).expect("finite");
        assert_eq!(archive.insert(1, objectives(&[1.0, 2.0])), Ok(true));
        assert_eq!(archive.insert(1, objectives(&[2.0, 1.0])), Ok(false));
        assert_eq!(archive.insert(2, objectives(&[1.0, 2.0])), Ok(true));
        let error = EvolutionError::ObjectiveCount { expected: 2, found: 1 };
        assert_eq!(archive.insert(3, objectives(&[0.0])), Err(error));
    }

    #[test]
    fn storage_keeps_it() {
        let archive = ParetoArchive::try_from(crowd(50, 2, &mut Rng::seed_from_u64(6))).expect("one dimension");
        let text = serde_json::to_string(&archive).expect("serialises");
        assert_eq!(archive, serde_json::from_str(&text).expect("parses"));
    }
}
