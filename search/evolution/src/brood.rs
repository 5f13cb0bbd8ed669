use rand::RngExt;

use crate::history::History;
use crate::individual::Individual;
use crate::ranking::Ranking;
use crate::settings::Nsga2Settings;
use crate::variation::{Genome, Rng, Variation};

/// The candidates of one generation while they are collected: none twice, none evaluated before.
pub(crate) struct Brood<'a, G> {
    settings: &'a Nsga2Settings,
    history: &'a History<G>,
    variation: &'a dyn Variation<G>,
    rng: &'a mut Rng,
    candidates: Vec<G>,
}

impl<'a, G: Genome> Brood<'a, G> {
    pub(crate) fn new(
        settings: &'a Nsga2Settings,
        history: &'a History<G>,
        variation: &'a dyn Variation<G>,
        rng: &'a mut Rng,
    ) -> Self {
        Self { settings, history, variation, rng, candidates: Vec::new() }
    }

    /// The first generation: every seed, then samples up to the size of the population.
    pub(crate) fn founders(mut self, seeds: &[G]) -> Vec<G> {
        for seed in seeds {
            self.offer(seed.clone());
        }
        while self.wants_more() && self.sample() {}
        self.candidates
    }

    /// A later generation: children, or samples where the parents have nothing new; fewer than the population when
    /// both fail.
    pub(crate) fn offspring(mut self, parents: &[Individual<G>]) -> Vec<G> {
        let evaluations: Vec<_> = parents.iter().map(|parent| &parent.evaluation).collect();
        let ranking = Ranking::new(&evaluations);
        while self.wants_more() && (self.child(parents, &ranking) || self.sample()) {}
        self.candidates
    }

    fn wants_more(&self) -> bool {
        self.candidates.len() < self.settings.population
    }

    fn child(&mut self, parents: &[Individual<G>], ranking: &Ranking) -> bool {
        !parents.is_empty()
            && (0..self.settings.duplicate_attempts).any(|_| {
                let [mother, father] = [(); 2].map(|()| &parents[ranking.tournament(self.rng)].genome);
                let child = self.mate(mother, father);
                self.offer(child)
            })
    }

    fn mate(&mut self, mother: &G, father: &G) -> G {
        let crossed = self.rng.random_bool(self.settings.crossover_rate);
        let child = if crossed { self.variation.crossover(mother, father, self.rng) } else { mother.clone() };
        let mutated = self.rng.random_bool(self.settings.mutation_rate);
        // A copy of a parent is known already: only mutation can make it a candidate.
        if mutated || child == *mother || child == *father {
            self.variation.mutate(&child, self.rng)
        } else {
            child
        }
    }

    fn sample(&mut self) -> bool {
        (0..self.settings.duplicate_attempts).any(|_| {
            let genome = self.variation.sample(self.rng);
            self.offer(genome)
        })
    }

    /// Takes a genome if it is new.
    fn offer(&mut self, genome: G) -> bool {
        let new = !self.history.contains(&genome) && !self.candidates.contains(&genome);
        if new {
            self.candidates.push(genome);
        }
        new
    }
}
