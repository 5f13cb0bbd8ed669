//! Candidates that are predicted in a second without building graphs, and how long limits take to be checked on a space of
//! 10^20 candidates.
//!
//!     cargo run --release -p tnas-latency --example candidates

use std::{convert::Infallible, time::Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tnas_graph::{Dtype, Graph, GraphBuilder, Init};
use tnas_latency::{
    CandidateModel, DeviceModel, Fingerprint, FitSettings, Quantity, Related, SpaceBlocks, TransferPredictor,
};
use tnas_space::{Limits, SearchSpace, Slot, SlotInfo, SpaceFile, SpaceRule, Verdict, verdict};

const SLOTS: usize = 20;
const CHOICES: [&str; 10] = [
    "none",
    "conv1d(k=3)",
    "conv1d(k=5)",
    "conv1d(k=7)",
    "attn1d(heads=1)",
    "attn1d(heads=2)",
    "attn1d(heads=4)",
    "shift",
    "conv3d(k=3)",
    "linear3d(heads=2)",
];

fn block(width: usize, choice: usize) -> Graph {
    let mut g = GraphBuilder::new();
    let x = g.input("x", &[8, width, 16, 16], Dtype::F32);
    let mut y = x;
    if choice > 0 {
        y = g.conv2d("a", x, 4 * choice, [3, 1], [1, 1], [1, 0], Init::FanIn);
        y = g.silu("b", y);
        y = g.conv2d("c", y, width, [1, 1], [1, 1], [0, 0], Init::FanIn);
        y = g.add("d", x, y);
    }
    g.finish(&[("y", y)]).expect("a block is a graph")
}

fn blocks() -> SpaceBlocks {
    let row = |slot: usize| (0..CHOICES.len()).map(|choice| block(8 * (1 + slot % 3), choice)).collect();
    let rows: Vec<Vec<Graph>> = (0..SLOTS).map(row).collect();
    SpaceBlocks::new(&block(8, 1), &rows)
}

fn model(blocks: &SpaceBlocks, measured: usize, rng: &mut ChaCha8Rng) -> DeviceModel {
    let genomes = (0..measured).map(|_| (0..SLOTS).map(|_| rng.random_range(0..10)).collect::<Vec<u16>>());
    let features: Vec<_> =
        genomes.map(|genome| blocks.features("", &genome).expect("a genome of the space")).collect();
    let latency_ms: Vec<f64> =
        features.iter().map(|f| (5.0 + 2e-7 * f.macs as f64) * rng.random_range(0.98..1.02)).collect();
    let related = Related { blocks: Some(blocks), ..Related::default() };
    let latency =
        TransferPredictor::fit(related, &features, &latency_ms, &FitSettings::default()).expect("enough rows");
    DeviceModel {
        format_version: DeviceModel::FORMAT_VERSION,
        fingerprint: Fingerprint::here("made", "1", 1),
        quantity: Quantity::Cpu,
        accuracy: None,
        latency,
        memory: None,
    }
}

fn main() {
    let info = |slot: usize| SlotInfo { slot: Slot::new(format!("down.{slot}.0.r")), channels: 32, level: 0 };
    let infos: Vec<SlotInfo> = (0..SLOTS).map(info).collect();
    let choices = CHOICES.map(String::from).to_vec();
    let file = SpaceFile { rules: vec![SpaceRule { slots: vec!["*".into()], choices }] };
    let space = SearchSpace::new(&infos, &file).expect("a space");
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
