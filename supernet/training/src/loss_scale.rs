use std::collections::BTreeMap;

use burn::tensor::Tensor;
use tnas_network::{Compute, Leaves};

use crate::TrainError;

/// Factor of a loss in f16 at first, and the largest.
const LARGEST: u64 = 1 << 14;

/// Updates without overflow after which it is doubled again.
const GROWS_AFTER: u64 = 200;

/// Names of the notes that keep it, and the updates since it last changed.
const SCALE: &str = "loss scale";
const SINCE: &str = "steps at this loss scale";

/// Dynamic loss scaling (Micikevicius et al. 2018, §3.2): a loss in f16 is multiplied by a factor before the backward pass, and its
/// gradients are divided by it, so that small gradients do not vanish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LossScale {
    factor: u64,
    since: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: 1, since: 0 }
    }
}

impl LossScale {
    /// The scale that the notes keep; none where the loss is not in f16.
    pub fn of(compute: Compute, notes: &BTreeMap<String, u64>) -> Option<Self> {
        let noted = |name: &str, default| notes.get(name).copied().unwrap_or(default);
        (compute == Compute::F16).then(|| Self { factor: noted(SCALE, LARGEST), since: noted(SINCE, 0) })
    }

    /// Whether losses are multiplied at all.
    pub fn is_scaled(self) -> bool {
        self.factor > 1
    }

    /// Halves it where gradients overflowed, doubles it after many updates where none did.
    pub fn adjust(&mut self, overflowed: bool) {
        let Self { factor, since } = *self;
        *self = match (overflowed, since + 1) {
            (true, _) => Self { factor: (factor / 2).max(1), since: 0 },
            (false, GROWS_AFTER..) => Self { factor: (factor * 2).min(LARGEST), since: 0 },
            (false, since) => Self { factor, since },
        };
    }

    /// Writes it to the notes.
    pub fn note(self, notes: &mut BTreeMap<String, u64>) {
        notes.extend([(SCALE.into(), self.factor), (SINCE.into(), self.since)]);
    }

    /// Gradients of a loss by name.
    pub fn backward(self, leaves: &Leaves, loss: Tensor<1>) -> Result<BTreeMap<String, Tensor<1>>, TrainError> {
        if !self.is_scaled() {
            return Ok(leaves.backward(loss)?);
        }
        let factor = self.factor as f64;
        let gradients = leaves.backward(loss.mul_scalar(factor))?;
        Ok(gradients.into_iter().map(|(name, x)| (name, x.div_scalar(factor))).collect())
    }
}
