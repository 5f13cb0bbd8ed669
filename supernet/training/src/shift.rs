use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tnas_schedulers::shift_time;

use crate::SettingError;

/// Shift of times towards noise, t' = s·t / (1 + (s − 1)·t): a number s, or `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// This s; 1 is none.
    By(f32),
    /// s = √(rows · columns / 32²) of what the network sees, latents or pixels (Esser et al. 2024, §5.3.2, against the 32 × 32
    /// latents of their base resolution): an image of more elements needs more noise to hide as much.
    Auto,
}

/// Rows and columns at which [`Shift::Auto`] shifts nothing.
const BASE: usize = 32;

impl Default for Shift {
    fn default() -> Self {
        Self::By(1.0)
    }
}

impl Shift {
    /// s for samples of so many rows and columns.
    pub fn factor(self, height: usize, width: usize) -> f32 {
        match self {
            Self::By(factor) => factor,
            Self::Auto => (((height * width) as f64).sqrt() / BASE as f64) as f32,
        }
    }

    /// t' of a time of the unit interval.
    pub(crate) fn shift(self, t: f32, [_, _, height, width]: [usize; 4]) -> f32 {
        shift_time(t, self.factor(height, width))
    }

    /// What is wrong with it, if anything.
    pub fn check(self) -> Result<(), SettingError> {
        match self {
            Self::By(factor) if !(factor > 0.0 && factor.is_finite()) => {
                let reason = format!("= {factor} must be above 0 (1 shifts nothing), or \"auto\"");
                Err(SettingError::new("shift", reason))
            }
            _ => Ok(()),
        }
    }
}

impl JsonSchema for Shift {
    fn schema_name() -> Cow<'static, str> {
        "Shift".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Shift of times towards noise, a number above 0 (1 shifts nothing), or \"auto\".",
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": "auto"}]
        })
    }
}

impl Serialize for Shift {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::By(factor) => serializer.serialize_f32(*factor),
            Self::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for Shift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrAuto)
    }
}

struct NumberOrAuto;

impl de::Visitor<'_> for NumberOrAuto {
    type Value = Shift;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number above 0 or \"auto\"")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Shift, E> {
        Ok(Shift::By(value as f32))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Shift, E> {
        Ok(Shift::By(value as f32))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Shift, E> {
        Ok(Shift::By(value as f32))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Shift, E> {
        if value == "auto" { Ok(Shift::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(value), &self)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_time_has_s_times_the_ratio_of_noise_to_data() {
        for shift in [Shift::By(0.5), Shift::By(1.0), Shift::By(3.0), Shift::Auto] {
            let shape = [4, 8, 64, 96];
            let s = f64::from(shift.factor(64, 96));
            for t in [0.0625f32, 0.25, 0.5, 0.875] {
                let shifted = f64::from(shift.shift(t, shape));
                let expected = s * f64::from(t) / (1.0 - f64::from(t));
                assert!((shifted / (1.0 - shifted) / expected - 1.0).abs() < 1e-5, "{shift:?} {t}");
            }
        }
    }

    #[test]
    fn auto_grows_with_the_side() {
        assert_eq!([16, 32, 64, 128].map(|side| Shift::Auto.factor(side, side)), [0.5, 1.0, 2.0, 4.0]);
        assert_eq!(Shift::Auto.factor(16, 64), 1.0);
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for (shift, text) in [(Shift::By(1.0), "1.0"), (Shift::By(2.5), "2.5"), (Shift::Auto, "\"auto\"")] {
            assert_eq!(serde_json::to_string(&shift).unwrap(), text);
            assert_eq!(serde_json::from_str::<Shift>(text).unwrap(), shift);
        }
        assert_eq!(serde_json::from_str::<Shift>("3").unwrap(), Shift::By(3.0));
        let error = serde_json::from_str::<Shift>("\"automatic\"").unwrap_err().to_string();
        assert!(error.contains("a number above 0 or \"auto\""), "{error}");
        assert!(
            Shift::By(0.0).check().unwrap_err().to_string().contains("shift = 0") && Shift::Auto.check().is_ok()
        );
    }
}
