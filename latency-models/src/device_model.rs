use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    Accuracy, ArchFeatures, Fingerprint, FitSettings, Hints, LatencyError, LatencyPredictor, MemoryPredictor,
    Prediction, Quantity, SpaceBlocks, file,
};

/// What was learned of a device, as it is saved: the predictor, where its numbers are from, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceModel {
    /// Layout of the file.
    pub format_version: u32,
    /// The device.
    pub fingerprint: Fingerprint,
    /// The clock that was learned.
    pub quantity: Quantity,
    /// On architectures left out of the fit, where there were some.
    pub accuracy: Option<Accuracy>,
    /// The predictor, with what it is told.
    pub latency: ToldPredictor,
    /// Peak memory, where it was measured.
    pub memory: Option<MemoryPredictor>,
}

/// A predictor that is told what other measurements say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToldPredictor {
    /// What others say.
    pub hints: Hints,
    /// What was learned with it.
    pub predictor: LatencyPredictor,
}

impl ToldPredictor {
    /// Learns from measured architectures of a space.
    pub fn fit(
        hints: Hints,
        blocks: Option<&SpaceBlocks>,
        features: &[ArchFeatures],
        latency_ms: &[f64],
        settings: &FitSettings,
    ) -> Result<Self, LatencyError> {
        let told: Vec<ArchFeatures> = features.iter().map(|features| hints.tell(features)).collect();
        let predictor = LatencyPredictor::fit_in(blocks, &told, latency_ms, settings)?;
        Ok(Self { hints, predictor })
    }

    /// Predicts one architecture.
    pub fn predict(&self, features: &ArchFeatures) -> Prediction {
        self.predictor.predict(&self.hints.tell(features))
    }

    /// The expected milliseconds alone.
    pub fn mean_ms(&self, features: &ArchFeatures) -> f64 {
        if self.hints.is_empty() {
            return self.predictor.mean_ms(features);
        }
        self.predictor.mean_ms(&self.hints.tell(features))
    }
}

impl DeviceModel {
    /// The layout that this version writes.
    pub const FORMAT_VERSION: u32 = 2;

    /// Writes pretty JSON, whole or not at all; the same model gives the same bytes.
    pub fn save(&self, path: &Path) -> Result<(), LatencyError> {
        let fail = |message: String| LatencyError::Predictor { path: path.into(), message };
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| fail(error.to_string()))?;
        bytes.push(b'\n');
        file::replace(path, &bytes).map_err(|error| fail(error.to_string()))
    }

    /// Reads and checks it.
    pub fn read(path: &Path) -> Result<Self, LatencyError> {
        let fail = |message: String| LatencyError::Predictor { path: path.into(), message };
        let bytes = fs::read(path).map_err(|error| fail(error.to_string()))?;
        file::check_version(&bytes, Self::FORMAT_VERSION..=Self::FORMAT_VERSION).map_err(fail)?;
        serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))
    }
}
