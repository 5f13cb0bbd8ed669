use std::ops::Range;

use burn::tensor::{Device, Tensor};
use tnas_graph::{Graph, Op, RuntimeError, Weight, WeightError};

use crate::{Value, ops, segmented::Tapes};

/// Where a running graph finds its weights.
pub trait WeightSource {
    /// Stored shape and elements of a tensor, on the device of the run.
    fn flat(&self, name: &str) -> Option<(&[usize], Tensor<1>)>;

    /// A weight as a node uses it: checked, and sliced where it is elastic.
    fn weight(&self, weight: &Weight) -> Result<Value, WeightError> {
        let (stored, flat) = self.flat(&weight.name).ok_or_else(|| WeightError::Missing(weight.name.clone()))?;
        let ranges = weight.ranges(stored).ok_or_else(|| WeightError::Shape {
            name: weight.name.clone(),
            expected: weight.shape.clone(),
            found: stored.to_vec(),
        })?;
        let value = Value::F1(flat).reshape(stored);
        if stored == weight.shape {
            return Ok(value);
        }
        Ok(ops::slice_axes(value, &ranges))
    }

    /// Where runs are recorded, if they are: see [`crate::Leaves::in_segments`].
    #[doc(hidden)]
    fn tapes(&self) -> Option<&Tapes> {
        None
    }
}

/// Runs a graph once. Values are dropped after their last use. `device` is where the weights and inputs are.
///
/// Leaves that run [in segments](crate::Leaves::in_segments) keep what they need to do so again for the backward pass.
pub fn execute(
    graph: &Graph,
    weights: &dyn WeightSource,
    inputs: Vec<Value>,
    device: &Device,
) -> Result<Vec<Value>, RuntimeError> {
    check_inputs(graph, &inputs)?;
    if let Some(tapes) = weights.tapes() {
        return tapes.run(graph, weights, inputs, device);
    }
    let mut run = Run::new(graph);
    for (input, value) in graph.inputs.iter().zip(inputs) {
        run.values[input.value.index()] = Some(value);
    }
    run.nodes(0..graph.nodes.len(), weights, device)?;
    run.outputs()
}

/// A graph of which some nodes have run.
pub(crate) struct Run<'a> {
    graph: &'a Graph,
    last: Vec<usize>,
    uses: Vec<usize>,
    /// By value; those dropped or not made yet are none.
    pub values: Vec<Option<Value>>,
}

impl<'a> Run<'a> {
    /// Nothing is there yet, inputs neither.
    pub fn new(graph: &'a Graph) -> Self {
        let values = vec![None; graph.value_count()];
        Self { graph, last: graph.last_uses(), uses: graph.use_counts(), values }
    }

    /// Runs consecutive nodes.
    pub fn nodes(
        &mut self,
        nodes: Range<usize>,
        weights: &dyn WeightSource,
        device: &Device,
    ) -> Result<(), RuntimeError> {
        let Self { graph, last, uses, values } = self;
        let mut skip = false;
        for index in nodes.clone() {
            if std::mem::take(&mut skip) {
                continue;
            }
            let node = &graph.nodes[index];
            // GroupNorm whose only reader is the SiLU that follows runs as one operation.
            let next = graph.nodes.get(index + 1).filter(|next| {
                index + 1 < nodes.end
                    && matches!(node.op, Op::GroupNorm { .. })
                    && next.op == Op::Silu
                    && next.inputs == [node.output]
                    && uses[node.output.index()] == 1
            });
            let mut arguments = Vec::with_capacity(node.inputs.len());
            for (position, input) in node.inputs.iter().enumerate() {
                let again = node.inputs[position + 1..].contains(input);
                let slot = &mut values[input.index()];
                let value = if last[input.index()] == index && !again { slot.take() } else { slot.clone() };
                arguments.push(value.ok_or_else(|| missing(&node.name))?);
            }
            let result = ops::run(&node.op, next.is_some(), arguments, weights, device)?;
            let output = next.map_or(node.output, |next| next.output);
            skip = next.is_some();
            if uses[output.index()] > 0 {
                values[output.index()] = Some(result);
            }
        }
        Ok(())
    }

    /// The graph's outputs.
    pub fn outputs(&self) -> Result<Vec<Value>, RuntimeError> {
        let output = |output: &tnas_graph::Output| {
            self.values[output.value.index()].clone().ok_or_else(|| missing(&output.name))
        };
        self.graph.outputs.iter().map(output).collect()
    }
}

fn check_inputs(graph: &Graph, inputs: &[Value]) -> Result<(), RuntimeError> {
    if graph.inputs.len() != inputs.len() {
        let (expected, found) = (vec![graph.inputs.len()], vec![inputs.len()]);
        return Err(RuntimeError::Input { name: "(number of inputs)".into(), expected, found });
    }
    for (input, value) in graph.inputs.iter().zip(inputs) {
        let (expected, found) = (graph.shape(input.value).to_vec(), value.shape());
        if expected != found {
            return Err(RuntimeError::Input { name: input.name.clone(), expected, found });
        }
    }
    Ok(())
}

pub(crate) fn missing(name: &str) -> RuntimeError {
    RuntimeError::Backend { runtime: "burn".into(), message: format!("a value read by {name} was dropped") }
}
