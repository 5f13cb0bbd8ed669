use serde::{Deserialize, Serialize};

/// Edges of a cell, in the order of its slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiveEdges {
    /// Value of the operation that passes nothing on.
    pub(crate) none: f64,
    /// Feature and nodes of each edge.
    pub(crate) edges: Vec<(usize, [usize; 2])>,
}

impl LiveEdges {
    /// Bits of the edges from which the end is reached, and of those that also lie on a way from the start.
    pub(crate) fn of(&self, values: &[f64]) -> (u64, u64) {
        let passes = |feature: usize| values[feature] != self.none;
        let last = self.edges.iter().map(|(_, [_, to])| *to).max().unwrap_or(0);
        let (mut reached, mut reaching) = (1_u64, 1_u64 << last);
        // As often as there are nodes: no order of the edges is asked for.
        for _ in 0..=last {
            for (_, [from, to]) in self.edges.iter().filter(|edge| passes(edge.0)) {
                reached |= (reached >> from & 1) << to;
                reaching |= (reaching >> to & 1) << from;
            }
        }
        let (mut to_end, mut through) = (0, 0);
        for (index, &(feature, [from, to])) in self.edges.iter().enumerate() {
            let live = u64::from(passes(feature)) & (reaching >> to & 1);
            to_end |= live << index;
            through |= (live & (reached >> from & 1)) << index;
        }
        (to_end, through)
    }
}
