use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;
use tnas_record::{OBJECTIVES, Objective, ObjectiveName, PerObjective};

/// How the winner is picked from the front.
///
/// `rule` is `knee`, `best` or `under`; any objective can be bounded by its name: `{ rule = "under", latency_ms = 30 }` is the best
/// loss at no more than 30 ms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WinnerRule {
    /// Which of the members that keep the bounds is picked.
    pub pick: Pick,
    /// What `best` and `under` pick the best of; the first of the study's objectives where not given.
    pub of: Option<ObjectiveName>,
    /// The worst values that the winner may have.
    pub bounds: PerObjective,
}

/// Which member of a front is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// The bend of the front.
    #[default]
    Knee,
    /// The best of one objective.
    Best,
    /// The best of one objective, within bounds on others.
    Under,
}

const PICKS: [(&str, Pick); 3] = [("knee", Pick::Knee), ("under", Pick::Under), ("best", Pick::Best)];

impl Serialize for WinnerRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let rule = PICKS.iter().find(|(_, pick)| *pick == self.pick).map_or("knee", |(name, _)| name);
        map.serialize_entry("rule", rule)?;
        if let Some(of) = self.of {
            map.serialize_entry("of", of.as_str())?;
        }
        for (name, bound) in self.bounds.iter() {
            map.serialize_entry(name.as_str(), &bound)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for WinnerRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Rule)
    }
}

impl JsonSchema for WinnerRule {
    fn schema_name() -> Cow<'static, str> {
        "WinnerRule".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({
            "description": "How the winner is picked from the front. Besides `rule` and `of`, each key is an objective with the \
                            worst value that the winner may have.",
            "type": "object",
            "properties": {
                "rule": {"type": "string", "enum": PICKS.map(|(name, _)| name)},
                "of": generator.subschema_for::<ObjectiveName>()
            },
            "required": ["rule"],
            "additionalProperties": false
        });
        if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
            let bound = |one: &Objective| (one.name.to_string(), json!({"type": "number"}));
            properties.extend(OBJECTIVES.iter().map(bound));
        }
        schema
    }
}

struct Rule;

impl<'de> Visitor<'de> for Rule {
    type Value = WinnerRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with a rule (knee, under or best) and bounds on objectives")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WinnerRule, A::Error> {
        let (mut pick, mut of, mut bounds) = (None, None, Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "rule" => pick = Some(read_pick::<A::Error>(&map.next_value::<String>()?)?),
                "of" => of = Some(map.next_value()?),
                _ => bounds.push((ObjectiveName::try_from(key).map_err(A::Error::custom)?, map.next_value()?)),
            }
        }
        let pick = pick.ok_or_else(|| A::Error::missing_field("rule"))?;
        if pick == Pick::Under && bounds.is_empty() {
            return Err(A::Error::custom("rule = \"under\" needs a bound, such as latency_ms = 30"));
        }
        let bounds = PerObjective::new(bounds).map_err(A::Error::custom)?;
        Ok(WinnerRule { pick, of, bounds })
    }
}

fn read_pick<E: Error>(name: &str) -> Result<Pick, E> {
    let found = PICKS.iter().find(|(known, _)| *known == name);
    found.map(|(_, pick)| *pick).ok_or_else(|| E::unknown_variant(name, &["knee", "under", "best"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_back_and_wrong_ones_are_refused() {
        let read = |text: &str| serde_json::from_str::<WinnerRule>(text);
        for text in [
            r#"{"rule":"knee"}"#,
            r#"{"rule":"best","of":"macs"}"#,
            r#"{"rule":"under","latency_ms":30.0}"#,
            r#"{"rule":"under","of":"latency_ms","loss":0.1,"parameters":2000000.0}"#,
        ] {
            let rule = read(text).expect("a rule");
            assert_eq!(serde_json::to_string(&rule).expect("serialises"), text);
        }
        for (text, expected) in [
            ("{}", "rule"),
            (r#"{"rule":"kne"}"#, "unknown variant `kne`"),
            (r#"{"rule":"under"}"#, "needs a bound"),
            (r#"{"rule":"under","latency":30}"#, "unknown objective `latency`"),
            (r#"{"rule":"best","of":"los"}"#, "unknown objective `los`"),
        ] {
            let message = read(text).expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
