use serde::{Deserialize, Serialize};

/// A place where one of some choices stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    /// Features of a row that tell the choice.
    pub(crate) features: Vec<usize>,
    /// Values of its features, by choice; the last is "not there" where it has a depth.
    pub(crate) levels: Vec<Vec<f64>>,
    /// Feature that says how many slots are there, and how many must be for this one.
    pub(crate) depth: Option<(usize, f64)>,
}

/// Value of a feature whose slot is not there.
pub(crate) const NOT_THERE: f64 = -1e12;

impl Slot {
    /// A slot whose feature is the index of its choice.
    pub(crate) fn of_index(feature: usize, choices: usize) -> Self {
        Self {
            features: vec![feature],
            levels: (0..choices).map(|choice| vec![choice as f64]).collect(),
            depth: None,
        }
    }

    /// Index of what stands there; 0 for what was never seen.
    pub(crate) fn choice(&self, values: &[f64]) -> u16 {
        let there = self.depth.is_none_or(|(feature, least)| values[feature] >= least);
        let is = |level: &Vec<f64>| match there {
            true => level.iter().zip(&self.features).all(|(l, &f)| *l == values[f]),
            false => level.iter().all(|l| *l == NOT_THERE),
        };
        self.levels.iter().position(is).unwrap_or(0) as u16
    }
}
