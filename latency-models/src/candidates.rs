use crate::{ArchFeatures, LatencyPredictor, SpaceBlocks, ToldPredictor};

/// A predictor over a space's genomes: the prior of each (slot, choice) and its entry of the table are counted once, so that
/// a candidate costs an addition a slot and, for interactions, a look at each architecture learned from.
#[derive(Clone, Debug)]
pub struct CandidatePredictor<'a> {
    predictor: &'a LatencyPredictor,
    base_prior_ms: f64,
    /// By slot and choice.
    entries: Vec<Vec<Entry>>,
    /// Fraction of each source, and the source.
    sources: Vec<(f64, CandidatePredictor<'a>)>,
}

/// What a slot's choice adds.
#[derive(Clone, Copy, Debug)]
struct Entry {
    prior_ms: f64,
    table_ms: f64,
}

impl<'a> CandidatePredictor<'a> {
    /// Counts what is a sum.
    pub fn new(model: &'a ToldPredictor, blocks: &SpaceBlocks) -> Self {
        let (hints, shares) = (&model.hints, &model.predictor.prior().per_hint);
        let alone = |source: &'a LatencyPredictor| Self::of(source, blocks, |_, _| 0.0);
        let sources = hints.sources.iter().zip(shares).map(|(source, &share)| (share, alone(&source.predictor)));
        // The blocks' hint stands after the sources'.
        let share = shares.get(hints.sources.len()).copied().unwrap_or(0.0);
        let hint_ms = |slot: usize, choice: usize| hints.blocks_ms.get(slot).and_then(|row| row.get(choice));
        let sources = sources.collect();
        let of_blocks =
            Self::of(&model.predictor, blocks, |slot, choice| share * hint_ms(slot, choice).unwrap_or(&0.0));
        Self { sources, ..of_blocks }
    }

    fn of(
        predictor: &'a LatencyPredictor,
        blocks: &SpaceBlocks,
        reported_ms: impl Fn(usize, usize) -> f64,
    ) -> Self {
        let prior_ms = |features: &ArchFeatures| predictor.prior().predict_ms(features);
        let base_prior_ms = prior_ms(blocks.base());
        let entry = |slot: usize, choice: usize| {
            let mut features = blocks.base().clone();
            features.add(&blocks.blocks()[slot][choice]);
            let table = predictor.table().get(slot).and_then(|row| row.get(choice));
            Entry {
                prior_ms: prior_ms(&features) - base_prior_ms + reported_ms(slot, choice),
                table_ms: table.copied().unwrap_or(0.0),
            }
        };
        let rows = blocks.blocks().iter().enumerate();
        let entries = rows.map(|(slot, row)| (0..row.len()).map(|choice| entry(slot, choice)).collect()).collect();
        Self { predictor, base_prior_ms, entries, sources: Vec::new() }
    }

    /// Expected milliseconds of a genome; a choice that the space does not have adds nothing.
    pub fn mean_ms(&self, choices: &[u16]) -> f64 {
        let told: f64 = self.sources.iter().map(|(share, source)| share * source.mean_ms(choices)).sum();
        let (mut prior_ms, mut table_ms) = (self.base_prior_ms + told, 0.0);
        for (row, &choice) in self.entries.iter().zip(choices) {
            if let Some(entry) = row.get(usize::from(choice)) {
                prior_ms += entry.prior_ms;
                table_ms += entry.table_ms;
            }
        }
        self.predictor.above_zero(prior_ms + table_ms + self.predictor.interactions_ms(choices), prior_ms)
    }
}
