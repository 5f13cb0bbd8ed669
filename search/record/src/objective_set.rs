use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Objective, ObjectiveError, ObjectiveNames};

/// Values by the names of their objectives.
pub type ObjectiveValues = BTreeMap<String, f64>;

/// The objectives of a study in its order, at least one, none twice. Values go by name everywhere; an optimiser sees vectors in
/// this order, all of them minimised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<Objective>", into = "Vec<Objective>")]
#[schemars(with = "Vec<Objective>")]
pub struct ObjectiveSet {
    objectives: Vec<Objective>,
}

impl ObjectiveSet {
    /// Known objectives, or a program's own.
    pub fn new(objectives: Vec<Objective>) -> Result<Self, ObjectiveError> {
        if objectives.is_empty() {
            return Err(ObjectiveError::None);
        }
        for (place, Objective { name, .. }) in objectives.iter().enumerate() {
            if objectives[..place].iter().any(|before| before.name == *name) {
                return Err(ObjectiveError::Twice { name: name.to_string() });
            }
        }
        Ok(Self { objectives })
    }

    pub(crate) fn of_names(names: &ObjectiveNames) -> Self {
        Self { objectives: names.iter().map(|name| name.objective().clone()).collect() }
    }

    /// The objectives, in the study's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Objective> {
        self.objectives.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.objectives.len()
    }

    /// The first one: what the best of a front is the best of, where no other is named.
    pub fn first(&self) -> &Objective {
        &self.objectives[0]
    }

    /// The objective of a name, where it is one of them.
    pub fn get(&self, name: &str) -> Option<&Objective> {
        self.iter().find(|objective| objective.name == name)
    }

    /// Minimised numbers in the study's order, or the name of the first objective that has no value.
    pub fn vector(&self, values: &ObjectiveValues) -> Result<Vec<f64>, &str> {
        let number = |objective: &Objective| values.get(&*objective.name).map(|&value| objective.oriented(value));
        self.iter().map(|objective| number(objective).ok_or(&*objective.name)).collect()
    }

    /// The values that [`vector`](Self::vector) made numbers of.
    pub fn values(&self, vector: &[f64]) -> ObjectiveValues {
        let value = |(objective, &number): (&Objective, &f64)| (objective.to_string(), objective.oriented(number));
        self.iter().zip(vector).map(value).collect()
    }

    /// Every two of them, the earlier one first.
    pub fn pairs(&self) -> impl Iterator<Item = (&Objective, &Objective)> {
        let later = move |place: usize| self.objectives[place + 1..].iter();
        self.iter().enumerate().flat_map(move |(place, one)| later(place).map(move |other| (one, other)))
    }
}

impl Default for ObjectiveSet {
    fn default() -> Self {
        ObjectiveNames::default().set()
    }
}

impl TryFrom<Vec<Objective>> for ObjectiveSet {
    type Error = ObjectiveError;

    fn try_from(objectives: Vec<Objective>) -> Result<Self, ObjectiveError> {
        Self::new(objectives)
    }
}

impl From<ObjectiveSet> for Vec<Objective> {
    fn from(set: ObjectiveSet) -> Self {
        set.objectives
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OBJECTIVES, Source};

    fn three() -> ObjectiveSet {
        let sharpness = Objective::minimised("sharpness", "sharpness", "", Source::Scored).maximised();
        ObjectiveSet::new(vec![sharpness, OBJECTIVES[1].clone(), OBJECTIVES[0].clone()]).expect("three")
    }

    #[test]
    fn vectors_are_minimised_and_come_back() {
        let values: ObjectiveValues =
            [("loss", 0.5), ("sharpness", 2.0), ("latency_ms", 30.0)].map(|(name, x)| (name.into(), x)).into();
        assert_eq!(three().vector(&values), Ok(vec![-2.0, 30.0, 0.5]));
        assert_eq!(three().values(&[-2.0, 30.0, 0.5]), values);
        assert_eq!(ObjectiveSet::default().vector(&values), Ok(vec![0.5, 30.0]));
        assert_eq!(three().vector(&ObjectiveValues::new()), Err("sharpness"));
    }

    #[test]
    fn pairs_are_all_twos_in_order() {
        let set = three();
        let names: Vec<(&str, &str)> = set.pairs().map(|(a, b)| (&*a.name, &*b.name)).collect();
        assert_eq!(names, [("sharpness", "latency_ms"), ("sharpness", "loss"), ("latency_ms", "loss")]);
        assert_eq!(ObjectiveSet::default().pairs().count(), 1);
    }

    #[test]
    fn storage_keeps_a_set_and_refuses_none() {
        let text = serde_json::to_string(&three()).expect("serialises");
        assert_eq!(serde_json::from_str::<ObjectiveSet>(&text).expect("parses"), three());
        assert!(serde_json::from_str::<ObjectiveSet>("[]").is_err());
    }
}
