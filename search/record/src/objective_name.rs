use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OBJECTIVES, Objective, ObjectiveError, ObjectiveSet, ObjectiveValues};

/// Name of a known objective, as settings give it. Names have the order of [`OBJECTIVES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("enum" = known_names()))]
pub struct ObjectiveName {
    place: usize,
}

/// Names of [`OBJECTIVES`], for schemas.
fn known_names() -> Vec<String> {
    OBJECTIVES.iter().map(|known| known.name.to_string()).collect()
}

impl ObjectiveName {
    /// What it names.
    pub fn objective(self) -> &'static Objective {
        &OBJECTIVES[self.place]
    }

    /// The name itself.
    pub fn as_str(self) -> &'static str {
        &self.objective().name
    }
}

impl TryFrom<String> for ObjectiveName {
    type Error = ObjectiveError;

    fn try_from(name: String) -> Result<Self, ObjectiveError> {
        let place = OBJECTIVES.iter().position(|known| known.name == name);
        place.map(|place| Self { place }).ok_or(ObjectiveError::Unknown { name })
    }
}

impl From<ObjectiveName> for String {
    fn from(name: ObjectiveName) -> Self {
        name.as_str().into()
    }
}

impl fmt::Display for ObjectiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ObjectiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Names of a study's objectives: at least one, none twice. Loss and latency where a study names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<ObjectiveName>", into = "Vec<ObjectiveName>")]
#[schemars(with = "Vec<ObjectiveName>", extend("minItems" = 1, "uniqueItems" = true))]
pub struct ObjectiveNames {
    names: Vec<ObjectiveName>,
}

impl ObjectiveNames {
    /// The names, in the study's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ObjectiveName> {
        self.names.iter().copied()
    }

    /// The objectives themselves.
    pub fn set(&self) -> ObjectiveSet {
        ObjectiveSet::of_names(self)
    }
}

impl Default for ObjectiveNames {
    fn default() -> Self {
        let known = |name: &str| OBJECTIVES.iter().position(|known| known.name == name);
        let names = ["loss", "latency_ms"].into_iter().filter_map(known);
        Self { names: names.map(|place| ObjectiveName { place }).collect() }
    }
}

impl TryFrom<Vec<ObjectiveName>> for ObjectiveNames {
    type Error = ObjectiveError;

    fn try_from(names: Vec<ObjectiveName>) -> Result<Self, ObjectiveError> {
        if names.is_empty() {
            return Err(ObjectiveError::None);
        }
        let twice = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name));
        match twice {
            Some((_, name)) => Err(ObjectiveError::Twice { name: name.to_string() }),
            None => Ok(Self { names }),
        }
    }
}

impl From<ObjectiveNames> for Vec<ObjectiveName> {
    fn from(names: ObjectiveNames) -> Self {
        names.names
    }
}

/// A finite number for some of the known objectives, as settings give it: limits, bounds, a reference point. In the order of
/// [`OBJECTIVES`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<ObjectiveName, f64>", into = "BTreeMap<ObjectiveName, f64>")]
#[schemars(with = "BTreeMap<String, f64>", extend("propertyNames" = {"enum": known_names()}))]
pub struct PerObjective {
    numbers: BTreeMap<ObjectiveName, f64>,
}

impl PerObjective {
    /// Numbers by name, the last where a name comes twice.
    pub fn new(numbers: impl IntoIterator<Item = (ObjectiveName, f64)>) -> Result<Self, ObjectiveError> {
        Self::try_from(numbers.into_iter().collect::<BTreeMap<_, _>>())
    }

    /// Each name with its number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ObjectiveName, f64)> {
        self.numbers.iter().map(|(&name, &number)| (name, number))
    }

    /// The number of an objective, where there is one.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(known, _)| known.as_str() == name).map(|(_, number)| number)
    }

    /// Whether there is no number at all.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The numbers by name.
    pub fn values(&self) -> ObjectiveValues {
        self.iter().map(|(name, number)| (name.to_string(), number)).collect()
    }
}

impl TryFrom<BTreeMap<ObjectiveName, f64>> for PerObjective {
    type Error = ObjectiveError;

    fn try_from(numbers: BTreeMap<ObjectiveName, f64>) -> Result<Self, ObjectiveError> {
        match numbers.iter().find(|(_, number)| !number.is_finite()) {
            Some((name, _)) => Err(ObjectiveError::NotFinite { name: name.to_string() }),
            None => Ok(Self { numbers }),
        }
    }
}

impl From<PerObjective> for BTreeMap<ObjectiveName, f64> {
    fn from(this: PerObjective) -> Self {
        this.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_wrong_ones_are_refused() {
        let names: ObjectiveNames = serde_json::from_str(r#"["macs", "loss"]"#).expect("known");
        assert_eq!(serde_json::to_string(&names).expect("serialises"), r#"["macs","loss"]"#);
        for (text, expected) in [
            ("[]", "at least one"),
            (r#"["loss", "macs", "loss"]"#, "`loss` twice"),
            (r#"["loss", "latency"]"#, "unknown objective `latency`"),
        ] {
            let message = serde_json::from_str::<ObjectiveNames>(text).expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_study_that_names_nothing_searches_loss_and_latency() {
        let names: Vec<&str> = ObjectiveNames::default().iter().map(ObjectiveName::as_str).collect();
        assert_eq!(names, ["loss", "latency_ms"]);
    }

    #[test]
    fn numbers_are_found_by_name() {
        let limits: PerObjective = serde_json::from_str(r#"{"macs": 2e9, "latency_ms": 30}"#).expect("known");
        assert_eq!(
            [limits.get("macs"), limits.get("latency_ms"), limits.get("loss")],
            [Some(2e9), Some(30.0), None]
        );
        let order: Vec<&str> = limits.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["latency_ms", "macs"]);
        assert!(serde_json::from_str::<PerObjective>(r#"{"latency": 30}"#).is_err());
    }
}
