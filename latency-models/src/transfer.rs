use serde::{Deserialize, Serialize};

use crate::{ArchFeatures, FitSettings, LatencyError, LatencyPredictor, Prediction, SpaceBlocks};

/// A predictor that learns from other measurements too: blocks on their own, and other devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferPredictor {
    /// Milliseconds of each slot's choices on their own; empty where they were not measured.
    pub blocks_ms: Vec<Vec<f64>>,
    /// Other devices whose measurements the prior is made from, the most agreeing first; empty where none is similar.
    pub sources: Vec<SourceAgreement>,
    /// What was learned with it.
    pub predictor: LatencyPredictor,
}

/// Another device on which architectures of the space were measured.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceDevice {
    /// The device, for people.
    pub device: String,
    /// Measured architectures.
    pub features: Vec<ArchFeatures>,
    /// Milliseconds of each.
    pub latency_ms: Vec<f64>,
}

/// How another device agrees with the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceAgreement {
    /// The device, for people.
    pub device: String,
    /// Spearman's correlation of what is predicted of it with what was measured on the target.
    pub agreement: f64,
}

/// What a predictor may learn from beside the target's measurements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Related<'a> {
    /// Blocks of the space.
    pub blocks: Option<&'a SpaceBlocks>,
    /// Milliseconds of each slot's choices on their own.
    pub blocks_ms: &'a [Vec<f64>],
    /// Other devices.
    pub sources: &'a [SourceDevice],
}

impl TransferPredictor {
    /// Learns from measured architectures of a space. Sources are left out where none agrees with what was measured.
    pub fn fit(
        related: Related<'_>,
        features: &[ArchFeatures],
        latency_ms: &[f64],
        settings: &FitSettings,
    ) -> Result<Self, LatencyError> {
        let with_blocks =
            |features: &[ArchFeatures]| features.iter().map(|f| enriched(related.blocks_ms, f)).collect();
        let enriched: Vec<ArchFeatures> = with_blocks(features);
        let of_source = |source: &SourceDevice| {
            let (device, latency_ms) = (source.device.clone(), source.latency_ms.clone());
            SourceDevice { device, features: with_blocks(&source.features), latency_ms }
        };
        let devices: Vec<SourceDevice> = related.sources.iter().map(of_source).collect();
        let (predictor, agreement) =
            LatencyPredictor::transfer(related.blocks, &devices, &enriched, latency_ms, settings)?;
        let pairs = devices.into_iter().zip(agreement);
        let mut sources: Vec<SourceAgreement> =
            pairs.map(|(source, agreement)| SourceAgreement { device: source.device, agreement }).collect();
        sources.sort_by(|a, b| b.agreement.total_cmp(&a.agreement).then_with(|| a.device.cmp(&b.device)));
        if !predictor.has_sources() {
            sources.clear();
        }
        Ok(Self { blocks_ms: related.blocks_ms.to_vec(), sources, predictor })
    }

    /// Predicts one architecture.
    pub fn predict(&self, features: &ArchFeatures) -> Prediction {
        self.predictor.predict(&enriched(&self.blocks_ms, features))
    }

    /// The expected milliseconds alone.
    pub fn mean_ms(&self, features: &ArchFeatures) -> f64 {
        self.predictor.mean_ms(&enriched(&self.blocks_ms, features))
    }
}

/// The features with the sum of their blocks' times, where those were measured.
fn enriched(blocks_ms: &[Vec<f64>], features: &ArchFeatures) -> ArchFeatures {
    let entry = |(row, &choice): (&Vec<f64>, &u16)| row.get(usize::from(choice)).copied().unwrap_or(0.0);
    let sum = || blocks_ms.iter().zip(&features.choices).map(entry).sum();
    ArchFeatures { blocks_ms: (!blocks_ms.is_empty()).then(sum), ..features.clone() }
}
