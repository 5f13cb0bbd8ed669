use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use tnas_record::{ObjectiveName, ObjectiveNames, ObjectiveSet, ObjectiveValues, PerObjective};

/// The point that hypervolumes are taken to: a value of each objective that every candidate of interest is better than.
///
/// Written by name, `{ loss = 0.1, latency_ms = 60 }`. Two plain numbers, `[0.1, 60]`, are a loss and milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "NamedOrListed")]
pub struct ReferencePoint(PerObjective);

/// The two ways of writing it.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum NamedOrListed {
    /// A value of each objective, by name.
    Named(PerObjective),
    /// A loss and milliseconds.
    Listed([f64; 2]),
}

impl ReferencePoint {
    /// Values by name, where all of them are known objectives' and finite.
    pub fn of(values: &ObjectiveValues) -> Option<Self> {
        let named = values.iter().map(|(name, &value)| Some((ObjectiveName::try_from(name.clone()).ok()?, value)));
        PerObjective::new(named.collect::<Option<Vec<_>>>()?).ok().map(Self)
    }

    /// A value of each objective, by name.
    pub fn values(&self) -> ObjectiveValues {
        self.0.values()
    }

    /// Whether it has a value of each of these objectives, and of no other.
    pub fn is_of(&self, objectives: &ObjectiveSet) -> bool {
        let values = self.values();
        values.len() == objectives.count() && objectives.iter().all(|one| values.contains_key(&*one.name))
    }
}

impl<'de> Deserialize<'de> for ReferencePoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Point)
    }
}

struct Point;

impl<'de> Visitor<'de> for Point {
    type Value = ReferencePoint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with a number for each objective, or a loss and milliseconds")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ReferencePoint, A::Error> {
        PerObjective::deserialize(MapAccessDeserializer::new(map)).map(ReferencePoint)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ReferencePoint, A::Error> {
        let mut numbers = Vec::new();
        while let Some(number) = list.next_element::<f64>()? {
            numbers.push(number);
        }
        let names = ObjectiveNames::default();
        if numbers.len() != names.iter().len() {
            return Err(A::Error::invalid_length(numbers.len(), &self));
        }
        PerObjective::new(names.iter().zip(numbers)).map(ReferencePoint).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_a_loss_and_milliseconds() {
        let read = |text: &str| serde_json::from_str::<ReferencePoint>(text);
        let named = read(r#"{"latency_ms": 60, "loss": 0.1}"#).expect("known names");
        assert_eq!(read("[0.1, 60]").expect("two numbers"), named);
        let text = serde_json::to_string(&named).expect("serialises");
        assert_eq!(text, r#"{"loss":0.1,"latency_ms":60.0}"#);
        assert_eq!(read(&text).expect("parses"), named);
        assert!(read("[0.1]").is_err() && read("[0.1, 60, 3]").is_err() && read(r#"{"los": 1}"#).is_err());
    }
}
