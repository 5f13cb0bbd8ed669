//! Numbers that may be undefined: JSON has no NaN, so `null` stands for it.

use serde::{Deserialize, Deserializer};

/// A number, or NaN where the file has `null`. (serde_json writes NaN as `null`.)
pub(crate) fn or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The same in f32.
pub(crate) fn or_nan_f32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    Ok(Option::<f32>::deserialize(deserializer)?.unwrap_or(f32::NAN))
}
