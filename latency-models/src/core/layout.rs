use serde::{Deserialize, Serialize};

use super::{live_edges::LiveEdges, slot::Slot};

/// What an encoder knows of the features of a row.
#[derive(Default)]
pub(crate) struct Layout {
    /// Places for choices.
    pub(crate) slots: Vec<Slot>,
    /// Whether slots may have one list of choices.
    pub(crate) share_choices: bool,
    /// Edges of a cell.
    pub(crate) live: Option<LiveEdges>,
    /// Counted work.
    pub(crate) work: Work,
    /// Features that are amounts.
    pub(crate) amounts: Vec<usize>,
    /// Products of features.
    pub(crate) terms: Vec<Vec<usize>>,
    /// Whether (slot, choice) that no row has keep their column.
    pub(crate) keep_table: bool,
}

/// Counted work of a row, by kind of work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// None is counted.
    #[default]
    Unknown,
    /// Features of the row.
    Features(Vec<usize>),
    /// A sum over slots: `[slot][choice][kind]`.
    Slots(Vec<Vec<Vec<f64>>>),
}

/// A number of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    pub(crate) group: Group,
    /// In the table: slot · choices + choice.
    pub(crate) cell: usize,
    pub(crate) mean: f64,
    pub(crate) scale: f64,
}

/// Kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    /// (slot, choice).
    Table,
    /// Counted work of one kind, relative to its mean.
    Work,
    /// An amount, or a product of amounts.
    Amount,
    /// (edge, operation) where the edge reaches the end, or lies on a way through.
    Live,
    /// Two slots' choices, two amounts, or a choice and an amount.
    Pair,
}

impl Work {
    /// Kinds of work.
    pub(crate) fn kinds(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Features(features) => features.len(),
            Self::Slots(slots) => slots.iter().flatten().next().map_or(0, Vec::len),
        }
    }

    /// Follows a slot's choices into a longer list.
    pub(crate) fn reorder(&mut self, slot: usize, from: &[Vec<f64>], to: &[Vec<f64>]) {
        let kinds = self.kinds();
        let Self::Slots(slots) = self else { return };
        let old = |level: &Vec<f64>| from.iter().position(|known| known == level);
        slots[slot] =
            to.iter().map(|level| old(level).map_or(vec![0.0; kinds], |i| slots[slot][i].clone())).collect();
    }
}
