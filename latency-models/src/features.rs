use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tnas_graph::{Graph, cost, node_cost};

/// What a predictor knows of an architecture before it is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchFeatures {
    /// Architecture.
    pub arch_id: String,
    /// Index of each slot's choice.
    pub choices: Vec<u16>,
    /// Multiply-accumulates of a call.
    pub macs: u64,
    /// Bytes that its operations read and write.
    pub moved_bytes: u64,
    /// Operations that compute, views excepted.
    pub launches: u64,
    /// Bytes of its weights, in f32.
    pub parameter_bytes: u64,
    /// Largest sum of live activations.
    pub peak_activation_bytes: u64,
    /// The same per kind of operation.
    pub per_kind: BTreeMap<String, KindCost>,
    /// Sum of its blocks' milliseconds, each measured on its own, where they were.
    #[serde(default)]
    pub blocks_ms: Option<f64>,
}

/// Work of all operations of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindCost {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes read and written.
    pub moved_bytes: u64,
    /// Operations.
    pub count: u64,
}

impl ArchFeatures {
    /// Counts a graph.
    pub fn new(arch_id: &str, choices: &[u16], graph: &Graph) -> Self {
        let total = cost(graph);
        let mut per_kind: BTreeMap<String, KindCost> = BTreeMap::new();
        for node in &graph.nodes {
            let cost = node_cost(graph, node);
            let kind = per_kind.entry(node.op.kind().to_string()).or_default();
            kind.macs += cost.macs;
            kind.moved_bytes += cost.moved_bytes;
            kind.count += 1;
        }
        Self {
            arch_id: arch_id.into(),
            choices: choices.to_vec(),
            macs: total.macs,
            moved_bytes: total.moved_bytes,
            launches: total.launches,
            parameter_bytes: 4 * total.parameters,
            peak_activation_bytes: total.peak_activation_bytes,
            per_kind,
            blocks_ms: None,
        }
    }

    /// Bytes that some kinds of operation read and write.
    pub(crate) fn bytes_of(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|&kind| self.per_kind.get(kind)).map(|kind| kind.moved_bytes).sum()
    }

    /// Multiply-accumulates of some kinds of operation.
    pub(crate) fn macs_of(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|&kind| self.per_kind.get(kind)).map(|kind| kind.macs).sum()
    }
}

#[cfg(test)]
mod tests {
    use tnas_graph::{Dtype, GraphBuilder, Init};

    use super::*;

    #[test]
    fn kinds_sum_to_the_whole() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[1, 3, 8, 8], Dtype::F32);
        let y = g.conv2d("c", x, 16, [3, 3], [1, 1], [1, 1], Init::FanIn);
        let y = g.reshape("r", y, &[16, 64]);
        let y = g.linear("l", y, 4, false, Init::FanIn);
        let graph = g.finish(&[("y", y)]).unwrap();
        let features = ArchFeatures::new("a", &[1, 0], &graph);
        assert_eq!(features.per_kind.values().map(|kind| kind.macs).sum::<u64>(), features.macs);
        assert_eq!(features.per_kind.values().map(|kind| kind.moved_bytes).sum::<u64>(), features.moved_bytes);
        assert_eq!(features.macs_of(&["Linear", "MatMul"]), 64 * 16 * 4);
        assert_eq!(features.launches, 2);
        assert_eq!(features.per_kind["Reshape"].count, 1);
    }
}
