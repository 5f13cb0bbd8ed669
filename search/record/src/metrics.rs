use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{FormatVersion, summary::file_at};

/// A line of `metrics.jsonl` or `times.jsonl`: figures of one step of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricLine {
    /// Version of the line.
    pub format_version: FormatVersion<1>,
    /// Stage.
    pub stage: String,
    /// Steps done.
    pub step: u64,
    /// Figures by name.
    pub values: BTreeMap<String, LoggedNumber>,
}

file_at!(1, MetricLine);

/// A number that may be infinite or undefined, bit for bit: JSON has no word for those, so they are `"inf"`, `"-inf"` and
/// `"nan"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedNumber(pub f64);

impl Serialize for LoggedNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => serializer.serialize_f64(number),
            number if number.is_nan() => serializer.serialize_str("nan"),
            number if number > 0.0 => serializer.serialize_str("inf"),
            _ => serializer.serialize_str("-inf"),
        }
    }
}

impl<'de> Deserialize<'de> for LoggedNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let number = match value.as_str() {
            None => value.as_f64(),
            Some("nan") => Some(f64::NAN),
            Some("inf") => Some(f64::INFINITY),
            Some("-inf") => Some(f64::NEG_INFINITY),
            Some(_) => None,
        };
        number.map(Self).ok_or_else(|| D::Error::custom(format!("{value} is no number")))
    }
}

impl JsonSchema for LoggedNumber {
    fn schema_name() -> Cow<'static, str> {
        "LoggedNumber".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "number" }, { "enum": ["nan", "inf", "-inf"] }] })
    }
}
