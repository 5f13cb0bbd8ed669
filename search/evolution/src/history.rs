use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::ParetoArchive;
use crate::error::{EvolutionError, Result, require_count};
use crate::individual::Individual;
use crate::objectives::Objectives;

/// Everything evaluated so far, and the Pareto front of it.
///
/// Stored as a list of individuals sorted by genome; the front is found again when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Individual<G>>", into = "Vec<Individual<G>>")]
#[serde(bound(serialize = "G: Clone + Serialize", deserialize = "G: Clone + Ord + Deserialize<'de>"))]
pub struct History<G> {
    evaluations: BTreeMap<G, Objectives>,
    archive: ParetoArchive<G>,
}

impl<G> Default for History<G> {
    fn default() -> Self {
        Self { evaluations: BTreeMap::new(), archive: ParetoArchive::default() }
    }
}

impl<G: Clone + Ord> History<G> {
    /// Records an evaluation. A genome is evaluated once, and all have the same number of objectives.
    pub fn insert(&mut self, individual: Individual<G>) -> Result<()> {
        if let Some(expected) = self.objective_count() {
            require_count(expected, individual.objectives.values().len())?;
        }
        if self.contains(&individual.genome) {
            return Err(EvolutionError::AlreadyEvaluated { index: self.len() });
        }
        self.archive.insert(individual.clone())?;
        self.evaluations.insert(individual.genome, individual.objectives);
        Ok(())
    }

    /// What a genome was worth, if it was evaluated.
    pub fn get(&self, genome: &G) -> Option<&Objectives> {
        self.evaluations.get(genome)
    }

    /// Whether a genome was evaluated.
    pub fn contains(&self, genome: &G) -> bool {
        self.evaluations.contains_key(genome)
    }

    /// All evaluations, sorted by genome.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&G, &Objectives)> {
        self.evaluations.iter()
    }

    /// The number of evaluations.
    pub fn len(&self) -> usize {
        self.evaluations.len()
    }

    /// Whether nothing was evaluated yet.
    pub fn is_empty(&self) -> bool {
        self.evaluations.is_empty()
    }

    /// The number of objectives, once something was evaluated.
    pub fn objective_count(&self) -> Option<usize> {
        self.evaluations.values().next().map(|objectives| objectives.values().len())
    }

    /// The feasible, undominated part of it.
    pub fn archive(&self) -> &ParetoArchive<G> {
        &self.archive
    }
}

impl<G> From<History<G>> for Vec<Individual<G>> {
    fn from(history: History<G>) -> Self {
        let individual = |(genome, objectives)| Individual { genome, objectives };
        history.evaluations.into_iter().map(individual).collect()
    }
}

impl<G: Clone + Ord> TryFrom<Vec<Individual<G>>> for History<G> {
    type Error = EvolutionError;

    fn try_from(individuals: Vec<Individual<G>>) -> Result<Self> {
        let mut history = Self::default();
        for individual in individuals {
            history.insert(individual)?;
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn individual(genome: &str, values: &[f64]) -> Individual<String> {
        let objectives = Objectives::feasible(values.to_vec()).expect("valid");
        Individual { genome: genome.to_owned(), objectives }
    }

    #[test]
    fn a_genome_is_recorded_once_and_dimensions_agree() {
        let mut history = History::default();
        assert_eq!(history.insert(individual("a", &[1.0, 2.0])), Ok(()));
        let error = EvolutionError::AlreadyEvaluated { index: 1 };
        assert_eq!(history.insert(individual("a", &[0.0, 0.0])), Err(error));
        let error = EvolutionError::ObjectiveCount { expected: 2, found: 3 };
        assert_eq!(history.insert(individual("b", &[0.0; 3])), Err(error));
        assert_eq!((history.len(), history.archive().members().len()), (1, 1));
    }

    #[test]
    fn storage_keeps_it_and_refuses_contradictions() {
        let list = vec![individual("a", &[1.0, 2.0]), individual("b", &[2.0, 1.0]), individual("c", &[3.0, 3.0])];
        let history = History::try_from(list.clone()).expect("consistent");
        let text = serde_json::to_string(&history).expect("serialises");
        assert_eq!(history, serde_json::from_str(&text).expect("parses"));

        let twice = serde_json::to_string(&[&list[..], &list[..1]].concat()).expect("serialises");
        assert!(serde_json::from_str::<History<String>>(&twice).is_err());
    }
}
