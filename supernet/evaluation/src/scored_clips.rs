use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Features and predictions of each clip of a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoredClips {
    /// The evaluator's features.
    pub features: Vec<Vec<f64>>,
    /// Predicted value of each label, clip by clip.
    pub predicted: Vec<BTreeMap<String, String>>,
    /// Whether the predicted value is the right one, by label; nothing where it is not known what it should be.
    pub right: BTreeMap<String, Vec<Option<bool>>>,
    /// Mean frame difference.
    pub frame_difference: Vec<f64>,
    /// Warp error.
    pub warp_error: Vec<f64>,
    /// Distance to the nearest training clip.
    pub nearest: Vec<f64>,
    /// Captions.
    pub captions: Vec<String>,
}

impl ScoredClips {
    /// Clips.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Adds others behind. A label that only one side has is not known of the other.
    pub fn extend(&mut self, other: Self) {
        let (here, more) = (self.len(), other.len());
        let labels: BTreeSet<String> = self.right.keys().chain(other.right.keys()).cloned().collect();
        for label in labels {
            let right = self.right.entry(label.clone()).or_insert_with(|| vec![None; here]);
            right.extend(other.right.get(&label).cloned().unwrap_or_else(|| vec![None; more]));
        }
        self.features.extend(other.features);
        self.predicted.extend(other.predicted);
        self.frame_difference.extend(other.frame_difference);
        self.warp_error.extend(other.warp_error);
        self.nearest.extend(other.nearest);
        self.captions.extend(other.captions);
    }
}
