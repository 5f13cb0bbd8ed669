use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Accuracy, Fingerprint, LatencyError, MemoryPredictor, Quantity, TransferPredictor, file};

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
    /// The predictor.
    pub latency: TransferPredictor,
    /// Peak memory, where it was measured.
    pub memory: Option<MemoryPredictor>,
}

impl DeviceModel {
    /// The layout that this version writes.
    pub const FORMAT_VERSION: u32 = 3;

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
