use burn::tensor::FloatDType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Device;

/// What the network's operations of a training step compute in; weights, sums over steps and losses are f32.
///
/// Embeddings of times, norms and softmaxes of their own stay in f32, as autocast keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16: f32's range with 8 bits of precision.
    Bf16,
    /// IEEE half precision: 11 bits, at most 65504; its losses are scaled.
    F16,
}

/// A device does not compute so.
#[derive(Debug, Error)]
#[error("compute in {compute} on the device {device}: it lacks that arithmetic; set compute = \"f32\"")]
pub struct ComputeError {
    /// What was asked.
    pub compute: &'static str,
    /// The device.
    pub device: String,
}

impl Compute {
    /// Whether it is the default, which is then not written: a stage's settings read as they did before.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    pub(crate) fn dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }

    /// An error where the device lacks arithmetic in it.
    pub fn check(self, device: &Device) -> Result<(), ComputeError> {
        if self == Self::F32 || device.supports_dtype(self.dtype()) {
            return Ok(());
        }
        let compute = if self == Self::Bf16 { "bf16" } else { "f16" };
        Err(ComputeError { compute, device: format!("{device:?}") })
    }
}
