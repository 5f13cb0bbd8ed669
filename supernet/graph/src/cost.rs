use std::collections::BTreeMap;

use crate::{Dtype, Graph, Node, Op};

/// What a graph costs, counted and not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Elements of its weights, each counted once.
    pub parameters: u64,
    /// Multiply-accumulates of convolutions, linear layers, products and attention.
    pub macs: u64,
    /// Of these, attention's own products q·kᵀ and scores·v, which published counts often leave out.
    pub attention_macs: u64,
    /// Bytes that the nodes read and write, in f32.
    pub moved_bytes: u64,
    /// Largest sum of live activations while running node by node, in f32.
    pub peak_activation_bytes: u64,
    /// Number of nodes that compute (views excepted).
    pub launches: u64,
}

/// What one node costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCost {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes read and written: inputs, weights, output.
    pub moved_bytes: u64,
}

/// Cost of a whole graph; what is beyond counting, of a hostile config, is the largest number.
pub fn cost(graph: &Graph) -> Cost {
    let weights: BTreeMap<_, _> = graph.weights().iter().map(|w| (w.name.clone(), w.elements() as u64)).collect();
    let nodes = graph.nodes.iter().map(|node| node_cost(graph, node));
    let total = nodes.fold(NodeCost::default(), |sum, node| NodeCost {
        macs: sum.macs.saturating_add(node.macs),
        moved_bytes: sum.moved_bytes.saturating_add(node.moved_bytes),
    });
    let attention = graph.nodes.iter().filter(|node| matches!(node.op, Op::Attention { .. }));
    Cost {
        parameters: weights.values().sum(),
        macs: total.macs,
        attention_macs: attention.fold(0, |sum: u64, node| sum.saturating_add(node_cost(graph, node).macs)),
        moved_bytes: total.moved_bytes,
        peak_activation_bytes: peak_activation_bytes(graph),
        launches: graph.nodes.iter().filter(|node| !is_view(&node.op)).count() as u64,
    }
}

/// Cost of one node.
pub fn node_cost(graph: &Graph, node: &Node) -> NodeCost {
    let output = elements(graph.shape(node.output));
    let input = |index: usize| graph.shape(node.inputs[index]);
    let macs = match &node.op {
        Op::Conv2d { weight, .. } => output.saturating_mul(elements(&weight.shape[1..])),
        Op::Linear { weight, .. } => output.saturating_mul(weight.shape[1] as u64),
        Op::MatMul => output.saturating_mul(input(0).last().copied().unwrap_or(1) as u64),
        // q·kᵀ and scores·v.
        Op::Attention { .. } => {
            let (q, k) = (input(0), input(1));
            let depths = q[3] as u64 + input(2)[3] as u64;
            elements(&q[..3]).saturating_mul(k[2] as u64).saturating_mul(depths)
        }
        Op::GroupNorm { .. }
        | Op::LayerNorm { .. }
        | Op::Silu
        | Op::Gelu
        | Op::QuickGelu
        | Op::Relu
        | Op::Tanh
        | Op::Sigmoid
        | Op::Softmax
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Affine { .. }
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::ResizeNearest { .. }
        | Op::AvgPool2d { .. }
        | Op::Mean { .. }
        | Op::Embedding { .. }
        | Op::Constant { .. }
        | Op::Parameter { .. }
        | Op::Sinusoid { .. } => 0,
    };
    if is_view(&node.op) {
        return NodeCost { macs, moved_bytes: 0 };
    }
    let reads: u64 = node.inputs.iter().map(|&value| bytes(graph, value)).sum();
    let weights: u64 = node.op.weights().iter().map(|w| 4 * w.elements() as u64).sum();
    NodeCost { macs, moved_bytes: reads + weights + bytes(graph, node.output) }
}

/// Largest sum of live activations when every value is dropped after its last use. Views share their source.
pub fn peak_activation_bytes(graph: &Graph) -> u64 {
    // A view's bytes are its source's: the owner of each value is the value that holds the memory.
    let mut owner: Vec<usize> = (0..graph.value_count()).collect();
    for node in &graph.nodes {
        if is_view(&node.op) {
            owner[node.output.index()] = owner[node.inputs[0].index()];
        }
    }
    let mut last = vec![0; graph.value_count()];
    for (value, &use_index) in graph.last_uses().iter().enumerate() {
        let until = if use_index == usize::MAX { unread_until(graph, value) } else { use_index };
        last[owner[value]] = last[owner[value]].max(until);
    }
    let mut live: u64 = graph.inputs.iter().map(|input| bytes(graph, input.value)).sum();
    let mut peak = live;
    for (index, node) in graph.nodes.iter().enumerate() {
        if owner[node.output.index()] == node.output.index() {
            live += bytes(graph, node.output);
        }
        peak = peak.max(live);
        let mut dying: Vec<usize> = node.inputs.iter().map(|value| owner[value.index()]).collect();
        dying.push(owner[node.output.index()]);
        dying.sort_unstable();
        dying.dedup();
        for value in dying.into_iter().filter(|&value| last[value] == index) {
            live -= 4 * elements(graph.shape(crate::ValueId(value)));
        }
    }
    peak
}

/// Outputs live to the end; a value that nobody reads dies where it is made.
fn unread_until(graph: &Graph, value: usize) -> usize {
    if graph.outputs.iter().any(|output| output.value.index() == value) {
        return usize::MAX;
    }
    graph.nodes.iter().position(|node| node.output.index() == value).unwrap_or(usize::MAX)
}

fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape { .. })
}

fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &length| product.saturating_mul(length as u64))
}

fn bytes(graph: &Graph, value: crate::ValueId) -> u64 {
    // Integers are counted as the four bytes that they take on a device.
    match graph.dtype(value) {
        Dtype::F32 | Dtype::I64 => 4 * elements(graph.shape(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GraphBuilder, Init};

    #[test]
    fn counts_of_a_convolution_and_a_linear_layer() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 3, 8, 8], Dtype::F32);
        let y = g.conv2d("c", x, 4, [3, 3], [2, 2], [1, 1], Init::FanIn);
        let y = g.reshape("r", y, &[2, 64]);
        let y = g.linear("l", y, 5, true, Init::FanIn);
        let graph = g.finish(&[("y", y)]).unwrap();
        let cost = cost(&graph);
        assert_eq!(cost.parameters, 4 * 27 + 4 + 5 * 64 + 5);
        assert_eq!(cost.macs, (2 * 4 * 16 * 27 + 2 * 5 * 64) as u64);
        assert_eq!(cost.launches, 2);
        // Input (384) and the convolution's result (128) live together.
        assert_eq!(cost.peak_activation_bytes, 4 * (384 + 128));
    }

    #[test]
    fn attention_counts_both_products() {
        let mut g = GraphBuilder::new();
        let q = g.input("q", &[2, 4, 10, 8], Dtype::F32);
        let k = g.input("k", &[2, 4, 6, 8], Dtype::F32);
        let y = g.attention("a", q, k, k, false);
        let graph = g.finish(&[("y", y)]).unwrap();
        assert_eq!(cost(&graph).macs, 2 * 4 * 10 * 6 * 16);
    }

    #[test]
    fn a_skip_connection_keeps_its_value_alive() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[1, 1, 10, 10], Dtype::F32);
        let a = g.silu("a", x);
        let b = g.silu("b", a);
        let c = g.silu("c", b);
        let y = g.add("d", a, c);
        let graph = g.finish(&[("y", y)]).unwrap();
        assert_eq!(peak_activation_bytes(&graph), 3 * 400);
    }
}
