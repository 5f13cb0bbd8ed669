use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tnas_graph::{Graph, node_cost};

/// What a predictor knows of an architecture before it is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchFeatures {
    /// Index of each slot's choice.
    pub choices: Vec<u16>,
    /// Multiply-accumulates of a call.
    pub macs: f64,
    /// Per kind of operation: multiply-accumulates, bytes moved, nodes.
    pub kinds: BTreeMap<String, [f64; 3]>,
}

impl ArchFeatures {
    /// Counts a graph.
    pub fn new(choices: &[u16], graph: &Graph) -> Self {
        let mut kinds: BTreeMap<String, [f64; 3]> = BTreeMap::new();
        let mut macs = 0.0;
        for node in &graph.nodes {
            let cost = node_cost(graph, node);
            let kind = kinds.entry(node.op.kind().to_string()).or_default();
            kind[0] += cost.macs as f64;
            kind[1] += cost.moved_bytes as f64;
            kind[2] += 1.0;
            macs += cost.macs as f64;
        }
        Self { choices: choices.to_vec(), macs, kinds }
    }

    /// Numbers of the prior: constant, work of the heavy kinds, bytes of the rest, launches.
    pub(crate) fn prior(&self) -> Vec<f64> {
        let of = |kind: &str, index: usize| self.kinds.get(kind).map_or(0.0, |k| k[index]);
        let heavy = ["Conv2d", "Linear", "Attention"];
        let rest: f64 =
            self.kinds.iter().filter(|(kind, _)| !heavy.contains(&kind.as_str())).map(|(_, k)| k[1]).sum();
        let launches: f64 = self.kinds.values().map(|k| k[2]).sum();
        let work = heavy.map(|kind| 1e-6 * of(kind, 0));
        let bytes: f64 = heavy.iter().map(|kind| of(kind, 1)).sum();
        [&[1.0][..], &work, &[1e-6 * bytes, 1e-6 * rest, 1e-2 * launches]].concat()
    }
}
