//! A made search space of 10^20 candidates over made blocks, and a predictor of a made device.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tnas_graph::{Dtype, Graph, GraphBuilder, Init};
use tnas_latency::{DeviceModel, Fingerprint, FitSettings, Quantity, Related, SpaceBlocks, TransferPredictor};
use tnas_space::{SearchSpace, Slot, SlotInfo, SpaceFile, SpaceRule};

/// Slots of the space.
pub const SLOTS: usize = 20;
/// Choices of each slot.
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

/// The block of a choice at a slot of so many channels.
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

/// The blocks of every slot.
pub fn blocks() -> SpaceBlocks {
    let row = |slot: usize| (0..CHOICES.len()).map(|choice| block(8 * (1 + slot % 3), choice)).collect();
    let rows: Vec<Vec<Graph>> = (0..SLOTS).map(row).collect();
    SpaceBlocks::new(&block(8, 1), &rows)
}

/// A predictor fitted on so many made measurements.
pub fn model(blocks: &SpaceBlocks, measured: usize, rng: &mut ChaCha8Rng) -> DeviceModel {
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

/// Every choice in every slot.
pub fn space() -> SearchSpace {
    let info = |slot: usize| SlotInfo { slot: Slot::new(format!("down.{slot}.0.r")), channels: 32, level: 0 };
    let infos: Vec<SlotInfo> = (0..SLOTS).map(info).collect();
    let choices = CHOICES.map(String::from).to_vec();
    let file = SpaceFile { rules: vec![SpaceRule { slots: vec!["*".into()], choices }] };
    SearchSpace::new(&infos, &file).expect("a space")
}
