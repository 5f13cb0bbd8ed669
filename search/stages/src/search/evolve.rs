use tnas_evolution::{Evaluation, Nsga2, Rng, Variation};
use tnas_space::{Genome, SearchSpace};

/// Chance that a slot other than the one always redrawn is redrawn too.
const MUTATION_RATE: f64 = 0.05;

/// Evaluates the candidates of a search: through a supernet, by training each of them, or from a table.
pub trait CandidateScorer {
    /// Evaluations of one generation's candidates, in their order: values of all objectives, oriented so that small ones are
    /// better, or by how much a candidate breaks the limits.
    fn evaluate(&mut self, candidates: &[Genome], generation: u32) -> anyhow::Result<Vec<Evaluation>>;

    /// Called after each generation with the whole state of the search, from which it can be continued.
    fn generation_done(&mut self, generation: u32, evolution: &Nsga2<Genome>) -> anyhow::Result<()> {
        let _ = (generation, evolution);
        Ok(())
    }
}

/// Runs a search over a space to the end of its budget. Equal settings, seeds and evaluations give an equal history.
pub fn evolve(
    mut evolution: Nsga2<Genome>,
    space: &SearchSpace,
    scorer: &mut impl CandidateScorer,
) -> anyhow::Result<Nsga2<Genome>> {
    let variation = SpaceVariation(space);
    while let Some(candidates) = evolution.ask(&variation) {
        let generation = evolution.generation();
        let evaluations = scorer.evaluate(&candidates, generation)?;
        evolution.tell(candidates, evaluations)?;
        scorer.generation_done(generation, &evolution)?;
    }
    Ok(evolution)
}

/// Sampling, mutation and crossover in a search space.
struct SpaceVariation<'a>(&'a SearchSpace);

impl Variation<Genome> for SpaceVariation<'_> {
    fn sample(&self, rng: &mut Rng) -> Genome {
        self.0.sample(rng)
    }

    fn mutate(&self, genome: &Genome, rng: &mut Rng) -> Genome {
        self.0.mutate(genome, MUTATION_RATE, rng)
    }

    fn crossover(&self, mother: &Genome, father: &Genome, rng: &mut Rng) -> Genome {
        self.0.crossover(mother, father, rng)
    }
}
