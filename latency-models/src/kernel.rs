use serde::{Deserialize, Serialize};

/// How alike two architectures' residuals are, as a function of the number of slots in which they differ.
///
/// `table²` times the fraction of equal slots is Bayesian ridge regression on one-hot (slot, choice) (Rasmussen & Williams
/// 2006, §2.1); `pairs²` times a curve of it speaks of slots together; `alike²` times the mean likeness of their blocks, where
/// blocks are known, lets the table's entries learn from each other. In units of the noise, which is 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    pub table: f64,
    pub pairs: f64,
    pub shape: Shape,
    #[serde(default)]
    pub alike: f64,
}

/// Curve of the interactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// Fraction of equal slots, squared: all pairs, nothing higher.
    Pairs,
    /// exp(−differences/2): interactions of any order, near architectures alike.
    Near,
    /// exp(−2·fraction of different slots): smoother.
    Smooth,
}

pub(crate) const SHAPES: [Shape; 3] = [Shape::Pairs, Shape::Near, Shape::Smooth];

impl Kernel {
    /// Value for each number of different slots.
    pub(crate) fn by_distance(&self, slots: usize) -> Vec<f64> {
        (0..=slots).map(|different| self.table_part(different, slots) + self.pair_part(different, slots)).collect()
    }

    /// The interactions alone.
    pub(crate) fn pairs_by_distance(&self, slots: usize) -> Vec<f64> {
        (0..=slots).map(|different| self.pair_part(different, slots)).collect()
    }

    /// What one equal slot adds to the table's part.
    pub(crate) fn per_equal_slot(&self, slots: usize) -> f64 {
        self.table.powi(2) / slots.max(1) as f64
    }

    /// What each pair of blocks that are wholly alike adds.
    pub(crate) fn per_alike_pair(&self, slots: usize) -> f64 {
        self.alike.powi(2) / slots.max(1) as f64
    }

    fn table_part(&self, different: usize, slots: usize) -> f64 {
        self.per_equal_slot(slots) * (slots - different) as f64
    }

    fn pair_part(&self, different: usize, slots: usize) -> f64 {
        let (d, share) = (different as f64, different as f64 / slots.max(1) as f64);
        let curve = match self.shape {
            Shape::Pairs => (1.0 - share).powi(2),
            Shape::Near => (-0.5 * d).exp(),
            Shape::Smooth => (-2.0 * share).exp(),
        };
        self.pairs.powi(2) * curve
    }
}

/// Number of slots with different choices.
pub(crate) fn distance(a: &[u16], b: &[u16]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}
