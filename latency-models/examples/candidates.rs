//! Candidates that are predicted in a second without building graphs, and how long limits take to be checked on a space of
//! 10^20 candidates.
//!
//!     cargo run --release -p tnas-latency --example candidates

mod made_space;

use std::{convert::Infallible, time::Instant};

use made_space::{SLOTS, blocks, model, space};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tnas_latency::CandidateModel;
use tnas_space::{Limits, Verdict, verdict};

fn main() {
    let space = space();
    let (blocks, mut rng) = (blocks(), ChaCha8Rng::seed_from_u64(1));
    println!("{:.0e} candidates in {SLOTS} slots", space.cardinality());
    for measured in [50, 100, 300] {
        let candidates = CandidateModel::new(&model(&blocks, measured, &mut rng), blocks.clone());
        let genomes: Vec<Vec<u16>> =
            (0..20_000).map(|_| (0..SLOTS).map(|_| rng.random_range(0..10)).collect()).collect();
        let speed = |value: &dyn Fn(&[u16]) -> f64| {
            let start = Instant::now();
            let sum: f64 = genomes.iter().map(|genome| value(genome)).sum();
            assert!(sum.is_finite());
            genomes.len() as f64 / start.elapsed().as_secs_f64()
        };
        let (means, sigmas) = (speed(&|g| candidates.mean_ms(g)), speed(&|g| candidates.sigma_ms(g)));
        println!("learned from {measured}: {means:.0} means a second, {sigmas:.0} deviations a second");
        for latency_ms in [1.0, 1000.0] {
            let limits = Limits::new([("latency_ms".to_string(), latency_ms), ("parameters".to_string(), 1e5)]);
            let start = Instant::now();
            let found = verdict(&space, &limits, |genome| {
                let upper_ms = candidates.mean_ms(genome) + 2.0 * candidates.sigma_ms(genome);
                Ok::<_, Infallible>(vec![upper_ms, candidates.cost(genome).parameters as f64])
            });
            let feasible = matches!(found, Ok(Verdict::Feasible(_)));
            println!(
                "  at most {latency_ms} ms, feasible: {feasible}, after {:.1} ms",
                1e3 * start.elapsed().as_secs_f64()
            );
        }
    }
}
