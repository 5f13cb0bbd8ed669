use serde::{Deserialize, Serialize};

use crate::{ArchFeatures, LatencyPredictor, correlation::spearman, prior::MOST_HINTS};

/// What other measurements tell of an architecture before it is measured itself: blocks on their own, and other devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hints {
    /// Milliseconds of each slot's choices on their own; empty where they were not measured.
    pub blocks_ms: Vec<Vec<f64>>,
    /// Other devices, the most agreeing first.
    pub sources: Vec<Source>,
}

/// Another device, as far as it is like this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The device, for people.
    pub device: String,
    /// Spearman's correlation of what it predicts with what was measured here.
    pub agreement: f64,
    /// What was learned of it.
    pub predictor: LatencyPredictor,
}

/// A source that agrees less is not similar.
pub const LEAST_AGREEMENT: f64 = 0.5;

impl Hints {
    /// Keeps the sources that agree with what was measured here, at most three beside the blocks; one that is not similar
    /// would only add noise.
    pub fn similar(
        blocks_ms: Vec<Vec<f64>>,
        candidates: Vec<(String, LatencyPredictor)>,
        features: &[ArchFeatures],
        latency_ms: &[f64],
    ) -> Self {
        let source = |(device, predictor): (String, LatencyPredictor)| {
            let predicted: Vec<f64> = features.iter().map(|features| predictor.mean_ms(features)).collect();
            Source { device, agreement: spearman(&predicted, latency_ms), predictor }
        };
        let mut sources: Vec<Source> =
            candidates.into_iter().map(source).filter(|source| source.agreement >= LEAST_AGREEMENT).collect();
        sources.sort_by(|a, b| b.agreement.total_cmp(&a.agreement).then_with(|| a.device.cmp(&b.device)));
        sources.truncate(MOST_HINTS - 1);
        Self { blocks_ms, sources }
    }

    /// The features with what is told of them.
    pub fn tell(&self, features: &ArchFeatures) -> ArchFeatures {
        let mut hints_ms: Vec<f64> = self.sources.iter().map(|source| source.predictor.mean_ms(features)).collect();
        if !self.blocks_ms.is_empty() {
            let entry = |(row, &choice): (&Vec<f64>, &u16)| row.get(usize::from(choice)).copied().unwrap_or(0.0);
            hints_ms.push(self.blocks_ms.iter().zip(&features.choices).map(entry).sum());
        }
        ArchFeatures { hints_ms, ..features.clone() }
    }

    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        self.blocks_ms.is_empty() && self.sources.is_empty()
    }
}
