use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::ParetoArchive;
use crate::error::{EvolutionError, Result, require_count};
use crate::evaluation::Evaluation;
use crate::individual::Individual;

/// Everything evaluated so far, and the Pareto front of it.
///
/// Stored as a list of individuals sorted by genome; the front is found again when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Individual<G>>", into = "Vec<Individual<G>>")]
#[serde(bound(serialize = "G: Clone + Serialize", deserialize = "G: Clone + Ord + Deserialize<'de>"))]
pub struct History<G> {
    evaluations: BTreeMap<G, Evaluation>,
    archive: ParetoArchive<G>,
    objective_count: Option<usize>,
}

impl<G> Default for History<G> {
    fn default() -> Self {
        Self { evaluations: BTreeMap::new(), archive: ParetoArchive::default(), objective_count: None }
    }
}

impl<G: Clone + Ord> History<G> {
    /// Records an evaluation. A genome is evaluated once, and all have the same number of objectives.
    pub fn insert(&mut self, individual: Individual<G>) -> Result<()> {
        let Individual { genome, evaluation } = individual;
        if let (Some(expected), Some(objectives)) = (self.objective_count, evaluation.objectives()) {
            require_count(expected, objectives.values().len())?;
        }
        if self.contains(&genome) {
            return Err(EvolutionError::AlreadyEvaluated { index: self.len() });
        }
        if let Some(objectives) = evaluation.objectives() {
            self.objective_count = Some(objectives.values().len());
            self.archive.insert(genome.clone(), objectives.clone())?;
        }
        self.evaluations.insert(genome, evaluation);
        Ok(())
    }

    /// What came of a genome, if it was evaluated.
    pub fn get(&self, genome: &G) -> Option<&Evaluation> {
        self.evaluations.get(genome)
    }

    /// Whether a genome was evaluated.
    pub fn contains(&self, genome: &G) -> bool {
        self.evaluations.contains_key(genome)
    }

    /// All evaluations, sorted by genome.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&G, &Evaluation)> {
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

    /// The number of objectives, once a feasible candidate was evaluated.
    pub fn objective_count(&self) -> Option<usize> {
        self.objective_count
    }

    /// The feasible, undominated part of it.
    pub fn archive(&self) -> &ParetoArchive<G> {
        &self.archive
    }
}

impl<G> From<History<G>> for Vec<Individual<G>> {
    fn from(history: History<G>) -> Self {
        let individual = |(genome, evaluation)| Individual { genome, evaluation };
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
        let evaluation = Evaluation::feasible(values.to_vec()).expect("finite");
        Individual { genome: genome.to_owned(), evaluation }
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
