use std::collections::BTreeMap;

use rand::SeedableRng;

use crate::brood::Brood;
use crate::error::{EvolutionError, Result, require_count};
use crate::evaluation::Evaluation;
use crate::history::History;
use crate::individual::Individual;
use crate::ranking::Ranking;
use crate::settings::Nsga2Settings;
use crate::stop::{StallClock, StopReason};
use crate::variation::{Genome, Rng, Variation};

/// NSGA-II (Deb et al. 2002) with constraint domination, by ask and tell.
///
/// Invariants: no genome is asked for twice over the whole history. Equal settings, seeds and evaluations give equal
/// searches, for any order in which the evaluations of a generation come. A search that was stored and loaded, even with candidates
/// out, continues bit for bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Nsga2<G> {
    pub(crate) settings: Nsga2Settings,
    pub(crate) seeds: Vec<G>,
    pub(crate) rng: Rng,
    pub(crate) generation: u32,
    pub(crate) history: History<G>,
    pub(crate) population: Vec<Individual<G>>,
    pub(crate) pending: Option<Vec<G>>,
    pub(crate) stall_clock: StallClock,
    pub(crate) stop_reason: Option<StopReason>,
}

impl<G: Genome> Nsga2<G> {
    /// A search that has evaluated nothing. All `seeds` are part of the first generation.
    pub fn new(settings: Nsga2Settings, seed: u64, seeds: Vec<G>) -> Result<Self> {
        settings.check()?;
        Ok(Self {
            settings,
            seeds,
            rng: Rng::seed_from_u64(seed),
            generation: 0,
            history: History::default(),
            population: Vec::new(),
            pending: None,
            stall_clock: StallClock::default(),
            stop_reason: None,
        })
    }

    /// The candidates to evaluate next, all of them new; none when the search has stopped. Until their evaluations are there,
    /// the same ones are given again.
    pub fn ask(&mut self, variation: &dyn Variation<G>) -> Option<Vec<G>> {
        if self.pending.is_none() && self.stop_reason.is_none() {
            let brood = Brood::new(&self.settings, &self.history, variation, &mut self.rng);
            let candidates = match self.generation {
                0 => brood.founders(&self.seeds),
                _ => brood.offspring(&self.population),
            };
            if candidates.is_empty() {
                self.stop_reason = Some(StopReason::SpaceExhausted);
            } else {
                self.pending = Some(candidates);
            }
        }
        self.pending.clone()
    }

    /// Takes the evaluations of all candidates that are out, in any order, and lets the best survive. An error
    /// leaves the search as it was.
    pub fn tell(&mut self, candidates: Vec<G>, evaluations: Vec<Evaluation>) -> Result<()> {
        self.check_dimensions(&evaluations)?;
        let offspring = self.evaluated(candidates, evaluations)?;
        for individual in &offspring {
            self.history.insert(individual.clone())?;
        }
        let pool = self.population.drain(..).chain(offspring).collect();
        self.population = survivors(pool, self.settings.population);
        self.pending = None;
        self.generation += 1;
        self.stop_reason = self.stop()?;
        Ok(())
    }

    /// Evaluates everything known again, from its evaluation so far: for use after a predictor behind the
    /// objectives was corrected. The best of the whole history become the population.
    pub fn revise(&mut self, mut score: impl FnMut(&G, &Evaluation) -> Evaluation) -> Result<()> {
        let mut history = History::default();
        for (genome, before) in self.history.iter() {
            let evaluation = score(genome, before);
            if let (Some(expected), Some(objectives)) = (self.history.objective_count(), evaluation.objectives()) {
                require_count(expected, objectives.values().len())?;
            }
            history.insert(Individual { genome: genome.clone(), evaluation })?;
        }
        self.history = history;
        let pool = Vec::from(self.history.clone());
        self.population = survivors(pool, self.settings.population);
        self.stall_clock = StallClock::default();
        Ok(())
    }

    /// Allows `generations` more from here, whatever stopped the search before.
    pub fn extend(&mut self, generations: u32) {
        self.settings.generations = self.generation.saturating_add(generations).max(1);
        self.stall_clock = StallClock::default();
        self.stop_reason = self.generation_limit();
    }

    /// The survivors, best first: by front, then by crowding distance.
    pub fn population(&self) -> &[Individual<G>] {
        &self.population
    }

    /// Everything evaluated, with its Pareto archive.
    pub fn history(&self) -> &History<G> {
        &self.history
    }

    /// The number of generations evaluated.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Why the search has stopped, if it has.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stop_reason
    }

    /// What it runs with.
    pub fn settings(&self) -> &Nsga2Settings {
        &self.settings
    }

    fn check_dimensions(&self, evaluations: &[Evaluation]) -> Result<()> {
        let stall = self.settings.hypervolume_stall.as_ref().map(|stall| stall.reference_point.len());
        let mut counts = evaluations.iter().filter_map(|one| Some(one.objectives()?.values().len())).peekable();
        let Some(expected) = self.history.objective_count().or(stall).or(counts.peek().copied()) else {
            return Ok(());
        };
        counts.try_for_each(|count| require_count(expected, count))
    }

    /// The evaluated candidates in the order in which they were asked for.
    fn evaluated(&self, candidates: Vec<G>, evaluations: Vec<Evaluation>) -> Result<Vec<Individual<G>>> {
        let pending = self.pending.as_ref().ok_or(EvolutionError::NothingAsked)?;
        let asked = pending.len();
        if candidates.len() != asked || evaluations.len() != asked {
            let (candidates, evaluations) = (candidates.len(), evaluations.len());
            return Err(EvolutionError::EvaluationCount { asked, candidates, evaluations });
        }
        let mut by_genome = BTreeMap::new();
        for (index, (genome, evaluation)) in candidates.into_iter().zip(evaluations).enumerate() {
            if !pending.contains(&genome) || by_genome.insert(genome, evaluation).is_some() {
                return Err(EvolutionError::UnknownCandidate { index });
            }
        }
        let taken = pending.iter().filter_map(|genome| by_genome.remove_entry(genome));
        Ok(taken.map(|(genome, evaluation)| Individual { genome, evaluation }).collect())
    }

    fn stop(&mut self) -> Result<Option<StopReason>> {
        let Some(rule) = &self.settings.hypervolume_stall else { return Ok(self.generation_limit()) };
        let hypervolume = self.history.archive().hypervolume(&rule.reference_point)?;
        let stalled = self.stall_clock.tick(hypervolume, rule);
        Ok(self.generation_limit().or(stalled))
    }

    fn generation_limit(&self) -> Option<StopReason> {
        let limit = self.settings.generations;
        (self.generation >= limit).then_some(StopReason::GenerationLimit(limit))
    }
}

/// The best `count` of a pool, best first.
fn survivors<G: Genome>(pool: Vec<Individual<G>>, count: usize) -> Vec<Individual<G>> {
    let evaluations: Vec<&Evaluation> = pool.iter().map(|individual| &individual.evaluation).collect();
    Ranking::new(&evaluations).survivors(count).into_iter().map(|index| pool[index].clone()).collect()
}
