use std::collections::BTreeMap;

use thiserror::Error;

use crate::{Op, Weight};

/// A static-shape list of operations in execution order.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// What the caller gives.
    pub inputs: Vec<Input>,
    /// Operations; each makes one value from earlier ones.
    pub nodes: Vec<Node>,
    /// What the caller gets.
    pub outputs: Vec<Output>,
    pub(crate) values: Vec<ValueInfo>,
}

/// Index of a value (an input or a node's result) within its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(crate) usize);

/// Element type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float (the run's precision policy may compute in less).
    F32,
    /// 64-bit integer: token ids.
    I64,
}

/// A named input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name in exported files.
    pub name: String,
    /// The value that it defines.
    pub value: ValueId,
}

/// A named output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Name in exported files.
    pub name: String,
    /// The value that it shows.
    pub value: ValueId,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Module path, e.g. `down_blocks.0.resnets.1.norm1`; unique within the graph.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// The values that it reads.
    pub inputs: Vec<ValueId>,
    /// The value that it makes.
    pub output: ValueId,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValueInfo {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
}

/// Why a graph is not well formed.
#[derive(Debug, Error, PartialEq)]
pub enum GraphError {
    /// Shapes that the operation cannot take.
    #[error("build node {node}: {op} cannot take {shapes:?}: {reason}")]
    Shape {
        /// Module path.
        node: String,
        /// Operation.
        op: &'static str,
        /// Shapes of its inputs.
        shapes: Vec<Vec<usize>>,
        /// What was expected.
        reason: String,
    },
    /// One weight name used with two different shapes or rules.
    #[error("build the graph: weight {name} is used as {first:?} and as {second:?}")]
    WeightConflict {
        /// Weight name.
        name: String,
        /// Shape of the first use.
        first: Vec<usize>,
        /// Shape of the second.
        second: Vec<usize>,
    },
}

impl Graph {
    /// Shape of a value.
    pub fn shape(&self, value: ValueId) -> &[usize] {
        &self.values[value.0].shape
    }

    /// Element type of a value.
    pub fn dtype(&self, value: ValueId) -> Dtype {
        self.values[value.0].dtype
    }

    /// Number of values; ids run from 0 to it.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// The weights in order of first use, each once.
    pub fn weights(&self) -> Vec<&Weight> {
        let mut seen = std::collections::BTreeSet::new();
        let all = self.nodes.iter().flat_map(|node| node.op.weights());
        all.filter(|weight| seen.insert(weight.name.as_str())).collect()
    }

    /// For each value the index of the last node that reads it; outputs and unread values map to `usize::MAX`.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![usize::MAX; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                last[input.0] = index;
            }
        }
        for output in &self.outputs {
            last[output.value.0] = usize::MAX;
        }
        last
    }

    /// How many nodes and outputs read each value.
    pub fn use_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.values.len()];
        let reads = self.nodes.iter().flat_map(|node| &node.inputs).chain(self.outputs.iter().map(|o| &o.value));
        for value in reads {
            counts[value.0] += 1;
        }
        counts
    }

    pub(crate) fn check_weights(&self) -> Result<(), GraphError> {
        let mut seen: BTreeMap<&str, &Weight> = BTreeMap::new();
        for weight in self.nodes.iter().flat_map(|node| node.op.weights()) {
            if let Some(first) = seen.insert(&weight.name, weight)
                && (first.shape != weight.shape || first.elastic != weight.elastic)
            {
                return Err(GraphError::WeightConflict {
                    name: weight.name.clone(),
                    first: first.shape.clone(),
                    second: weight.shape.clone(),
                });
            }
        }
        Ok(())
    }
}

impl ValueId {
    /// Position of the value in tables of length [`Graph::value_count`].
    pub fn index(self) -> usize {
        self.0
    }
}
