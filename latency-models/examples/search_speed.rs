//! Processor time of a search of 100,000 candidates outside the network: predictor, limits and NSGA-II. Losses are made.
//!
//!     cargo run --release -p tnas-latency --example search_speed

mod made_space;

use std::time::Duration;

use cpu_time::ProcessTime;
use made_space::{blocks, model, space};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tnas_evolution::{Evaluation, Nsga2, Nsga2Settings, Rng, Variation};
use tnas_latency::CandidateModel;
use tnas_space::{Genome, SearchSpace};

const CANDIDATES: usize = 100_000;

struct SpaceVariation<'a>(&'a SearchSpace);

impl Variation<Genome> for SpaceVariation<'_> {
    fn sample(&self, rng: &mut Rng) -> Genome {
        self.0.sample(rng)
    }

    fn mutate(&self, genome: &Genome, rng: &mut Rng) -> Genome {
        self.0.mutate(genome, 0.1, rng)
    }

    fn crossover(&self, mother: &Genome, father: &Genome, rng: &mut Rng) -> Genome {
        self.0.crossover(mother, father, rng)
    }
}

/// A search of made losses; processor time of predictions and of everything.
fn search(space: &SearchSpace, candidates: &CandidateModel, population: usize) -> [Duration; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let losses: Vec<Vec<f64>> = space
        .slots()
        .iter()
        .map(|slot| slot.choices.iter().map(|_| rng.random_range(-1.0..0.0)).collect())
        .collect();
    // So that about half of the space keeps the limit.
    let mut times: Vec<f64> = (0..101).map(|_| candidates.mean_ms(&space.sample(&mut rng))).collect();
    times.sort_by(f64::total_cmp);
    let limit_ms = times[50];
    let settings =
        Nsga2Settings { population, generations: (CANDIDATES / population) as u32, ..Nsga2Settings::default() };
    let started = ProcessTime::now();
    let mut predicting = Duration::ZERO;
    let mut evolution = Nsga2::new(settings, 1, Vec::new()).expect("settings");
    while let Some(asked) = evolution.ask(&SpaceVariation(space)) {
        let began = ProcessTime::now();
        let evaluate = |genome: &Genome| {
            let (mean_ms, cost) = (candidates.mean_ms(genome), candidates.cost(genome));
            let over = (mean_ms + candidates.sigma_ms(genome)) / limit_ms - 1.0;
            if over > 0.0 || cost.parameters > 1_000_000 {
                return Evaluation::infeasible(over.max(1e-9)).expect("a violation");
            }
            let loss = genome.iter().zip(&losses).map(|(&choice, row)| row[usize::from(choice)]).sum();
            Evaluation::feasible(vec![loss, mean_ms]).expect("numbers")
        };
        let evaluations = asked.iter().map(evaluate).collect();
        predicting += began.elapsed();
        evolution.tell(asked, evaluations).expect("evaluations of those asked for");
    }
    let all = started.elapsed();
    println!(
        "  population {population}: {} candidates, front of {}: {:.2} s, {:.2} s of it predictions and limits",
        evolution.history().len(),
        evolution.history().archive().members().len(),
        all.as_secs_f64(),
        predicting.as_secs_f64()
    );
    [predicting, all]
}

fn main() {
    let (space, blocks, mut rng) = (space(), blocks(), ChaCha8Rng::seed_from_u64(1));
    println!("{:.0e} candidates, {CANDIDATES} searched; processor time of one core", space.cardinality());
    for measured in [50, 300] {
        println!("learned from {measured} measurements");
        let candidates = CandidateModel::new(&model(&blocks, measured, &mut rng), blocks.clone());
        for population in [24, 100, 400] {
            search(&space, &candidates, population);
        }
    }
}
