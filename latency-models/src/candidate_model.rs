use tnas_graph::Cost;

use crate::{ArchFeatures, CandidatePredictor, DeviceModel, MemoryPredictor, SpaceBlocks};

/// What a device model says of a space's genomes, without building their graphs: latency, its uncertainty, counted cost and
/// peak memory of the process.
#[derive(Clone, Debug)]
pub struct CandidateModel {
    predictor: CandidatePredictor,
    memory: Option<MemoryPredictor>,
    blocks: SpaceBlocks,
    base: CandidateCost,
    /// What each slot's choice adds.
    added: Vec<Vec<CandidateCost>>,
}

/// Counted cost of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CandidateCost {
    /// Elements of its weights.
    pub parameters: u64,
    /// Multiply-accumulates of a call.
    pub macs: u64,
    /// Largest sum of live activations, in bytes of f32.
    pub peak_activation_bytes: u64,
}

impl From<&Cost> for CandidateCost {
    fn from(cost: &Cost) -> Self {
        let &Cost { parameters, macs, peak_activation_bytes, .. } = cost;
        Self { parameters, macs, peak_activation_bytes }
    }
}

impl CandidateModel {
    /// Counts what is a sum over slots.
    pub fn new(model: &DeviceModel, blocks: SpaceBlocks) -> Self {
        let base = blocks.base();
        let cost = |parameter_bytes: u64, macs: u64| CandidateCost {
            parameters: parameter_bytes / 4,
            macs,
            peak_activation_bytes: 0,
        };
        let block = |block: &crate::BlockFeatures| {
            cost(block.parameter_bytes, block.per_kind.values().map(|kind| kind.macs).sum())
        };
        Self {
            predictor: CandidatePredictor::new(&model.latency, &blocks),
            memory: model.memory,
            base: cost(base.parameter_bytes, base.macs),
            added: blocks.blocks().iter().map(|row| row.iter().map(block).collect()).collect(),
            blocks,
        }
    }

    /// Expected milliseconds of a genome.
    pub fn mean_ms(&self, genome: &[u16]) -> f64 {
        self.predictor.mean_ms(genome)
    }

    /// Standard deviation of a measurement from that, in milliseconds.
    pub fn sigma_ms(&self, genome: &[u16]) -> f64 {
        self.predictor.sigma_ms(genome)
    }

    /// Counted cost of a genome; a choice that the space does not have adds nothing.
    pub fn cost(&self, genome: &[u16]) -> CandidateCost {
        let added = self.added.iter().zip(genome).filter_map(|(row, &choice)| row.get(usize::from(choice)));
        let sum = added.fold(self.base, |sum, added| CandidateCost {
            parameters: sum.parameters + added.parameters,
            macs: sum.macs + added.macs,
            ..sum
        });
        CandidateCost { peak_activation_bytes: self.blocks.peak_activation_bytes(genome), ..sum }
    }

    /// Expected peak memory of the process in bytes, where peaks were measured.
    pub fn process_memory_bytes(&self, genome: &[u16]) -> Option<u64> {
        let CandidateCost { parameters, peak_activation_bytes, .. } = self.cost(genome);
        let parameter_bytes = 4 * parameters;
        let features = ArchFeatures { parameter_bytes, peak_activation_bytes, ..ArchFeatures::default() };
        Some(self.memory.as_ref()?.predicted_peak_bytes(&features))
    }
}
