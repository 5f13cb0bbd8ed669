use nalgebra::{DMatrix, DVector};

use crate::{
    LatencyPredictor, SpaceBlocks, TransferPredictor, core::Encoding, graph_encoder, uncertainty::distance,
};

/// A predictor over a space's genomes, compiled: everything that is a sum over slots is counted once per (slot, choice), so
/// that no graph is built and a candidate costs an addition a slot and a look at each architecture learned from.
#[derive(Clone, Debug)]
pub struct CandidatePredictor {
    /// Relative latency.
    mean: SlotSums,
    /// Relative latency by which errors grow.
    level: SlotSums,
    /// Kernel with each architecture learned from, and numbers whose squares sum to the kernel with itself.
    kernel: SlotSums,
    learned: Learned,
    least_level: f64,
    unit_ms: f64,
    floor_ms: f64,
}

/// What was learned from.
#[derive(Clone, Debug)]
struct Learned {
    genomes: Vec<Vec<u16>>,
    /// Kernel of the interactions by number of different slots, and the weight of each genome; empty where there are none.
    by_distance: Vec<f64>,
    weights: Vec<f64>,
    /// Inverse Cholesky factor of the kernel, lower triangle.
    whitening: DMatrix<f64>,
    constant_variance: f64,
    noise: f64,
    widening: f64,
}

/// Numbers that are each a constant and one summand per (slot, choice).
#[derive(Clone, Debug)]
struct SlotSums {
    base: Vec<f64>,
    entries: Vec<Vec<Vec<f64>>>,
}

/// Counted work of the network with empty slots, and of each slot's choices.
struct SpaceWork {
    base: Vec<f64>,
    blocks: Vec<Vec<Vec<f64>>>,
}

impl CandidatePredictor {
    /// Counts what is a sum.
    pub fn new(model: &TransferPredictor, blocks: &SpaceBlocks) -> Self {
        let predictor = &model.predictor;
        let (encoding, fitted) = (predictor.encoding(), &predictor.model);
        let work = SpaceWork::new(blocks, &model.blocks_ms);
        let sums = |constant: f64, weights: &DVector<f64>| {
            let mut sums = SlotSums::new(encoding, &DMatrix::from_columns(std::slice::from_ref(weights)), &work);
            sums.base[0] += constant;
            sums
        };
        let (level_constant, level_weights) = fitted.level.linear(&fitted.priors);
        Self {
            mean: sums(1.0 + fitted.constant, &fitted.weights),
            level: sums(1.0 + level_constant, &level_weights),
            kernel: SlotSums::new(encoding, &fitted.kernel_roots(), &work),
            learned: Learned::new(predictor),
            least_level: crate::core::LEAST_LEVEL,
            unit_ms: fitted.unit_ms,
            floor_ms: fitted.floor_ms,
        }
    }

    /// Expected milliseconds of a genome; a choice that the space does not have adds nothing.
    pub fn mean_ms(&self, genome: &[u16]) -> f64 {
        let sum = self.mean.first(genome) + self.learned.interactions(genome);
        (sum * self.unit_ms).max(self.floor_ms)
    }

    /// Standard deviation, in milliseconds, of a measurement from [`Self::mean_ms`].
    pub fn sigma_ms(&self, genome: &[u16]) -> f64 {
        let sums = self.kernel.of(genome);
        let level = self.level.first(genome).max(self.least_level);
        self.learned.deviation(genome, &sums, level) * self.unit_ms
    }
}

impl Learned {
    fn new(predictor: &LatencyPredictor) -> Self {
        let model = &predictor.model;
        let near = &model.near;
        let has_near = !near.amplitudes.is_empty();
        // One-hot rows with d different slots are at squared distance 2·d.
        let at = |different: usize| near.sum(2.0 * different as f64 * near.shrink);
        Self {
            genomes: predictor.genomes(),
            by_distance: if has_near { (0..=predictor.slots()).map(at).collect() } else { Vec::new() },
            weights: near.weights.as_slice().to_vec(),
            whitening: model.process.whitening.clone(),
            constant_variance: model.process.settings.kernels[0],
            noise: model.process.settings.noise,
            widening: model.process.widening,
        }
    }

    fn interactions(&self, genome: &[u16]) -> f64 {
        if self.by_distance.is_empty() {
            return 0.0;
        }
        let rows = self.genomes.iter().zip(&self.weights);
        rows.map(|(row, weight)| weight * self.by_distance[distance(row, genome)]).sum()
    }

    /// Of relative latency, with the noise of a measurement.
    fn deviation(&self, genome: &[u16], sums: &[f64], level: f64) -> f64 {
        let (cross, roots) = sums.split_at(self.genomes.len());
        let near = self.by_distance.first().copied().unwrap_or(0.0);
        let own = self.constant_variance + near + roots.iter().map(|root| root * root).sum::<f64>();
        let near = |row: &[u16]| self.by_distance.get(distance(row, genome)).copied().unwrap_or(0.0);
        let rows = cross.iter().zip(&self.genomes);
        let k: Vec<f64> = rows.map(|(cross, row)| self.constant_variance + cross + near(row)).collect();
        // L⁻¹·k by columns of the triangle, whose sums do not wait for each other.
        let mut whitened = vec![0.0; k.len()];
        for (j, k) in k.iter().enumerate() {
            let column = &self.whitening.as_slice()[j * whitened.len()..][j..whitened.len()];
            whitened[j..].iter_mut().zip(column).for_each(|(sum, w)| *sum += w * k);
        }
        let explained: f64 = whitened.iter().map(|w| w * w).sum();
        ((own - explained).max(0.0) + (self.noise * level).powi(2)).sqrt() * self.widening
    }
}

impl SlotSums {
    /// Of functions that are linear in encoded numbers, `[width, functions]`.
    fn new(encoding: &Encoding, functions: &DMatrix<f64>, work: &SpaceWork) -> Self {
        let folded: Vec<(f64, Vec<f64>)> =
            functions.column_iter().map(|weights| encoding.folded(weights.clone_owned().as_slice())).collect();
        let first = encoding.slots() * encoding.choices;
        let of_work = |weights: &[f64], work: &[f64]| -> f64 {
            weights[first..].iter().zip(work).map(|(weight, work)| weight * work).sum()
        };
        let entry = |slot: usize, choice: usize| {
            let cell = slot * encoding.choices + choice;
            let own = |weights: &[f64]| if choice < encoding.choices { weights[cell] } else { 0.0 };
            let blocks = &work.blocks[slot][choice];
            folded.iter().map(|(_, weights)| own(weights) + of_work(weights, blocks)).collect()
        };
        let slots = work.blocks.iter().enumerate().take(encoding.slots());
        Self {
            base: folded.iter().map(|(constant, weights)| constant + of_work(weights, &work.base)).collect(),
            entries: slots.map(|(slot, row)| (0..row.len()).map(|choice| entry(slot, choice)).collect()).collect(),
        }
    }

    fn first(&self, genome: &[u16]) -> f64 {
        let entries = self.entries.iter().zip(genome).filter_map(|(row, &choice)| row.get(usize::from(choice)));
        self.base[0] + entries.map(|entry| entry[0]).sum::<f64>()
    }

    fn of(&self, genome: &[u16]) -> Vec<f64> {
        let mut sums = self.base.clone();
        for entry in self.entries.iter().zip(genome).filter_map(|(row, &choice)| row.get(usize::from(choice))) {
            sums.iter_mut().zip(entry).for_each(|(sum, entry)| *sum += entry);
        }
        sums
    }
}

impl SpaceWork {
    fn new(blocks: &SpaceBlocks, blocks_ms: &[Vec<f64>]) -> Self {
        let known = (!blocks_ms.is_empty()).then_some(0.0);
        let empty = graph_encoder::work(blocks.base());
        let of_block = |slot: usize, choice: usize, block: &crate::BlockFeatures| -> Vec<f64> {
            let mut features = blocks.base().clone();
            features.add(block);
            let added = graph_encoder::work(&features).into_iter().zip(empty).map(|(with, without)| with - without);
            let ms = || blocks_ms.get(slot).and_then(|row| row.get(choice)).copied().unwrap_or(0.0);
            added.chain(known.map(|_| ms())).collect()
        };
        let row = |(slot, row): (usize, &Vec<crate::BlockFeatures>)| {
            row.iter().enumerate().map(|(choice, block)| of_block(slot, choice, block)).collect()
        };
        let blocks = blocks.blocks().iter().enumerate().map(row).collect();
        Self { base: empty.into_iter().chain(known).collect(), blocks }
    }
}
