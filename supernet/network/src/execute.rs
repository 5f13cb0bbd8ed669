use std::ops::Range;

use burn::tensor::{Device, FloatDType, Tensor};
use tnas_graph::{Graph, Op, RuntimeError, ValueId, Weight, WeightError};

use crate::{Compute, Value, ops};

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

    /// What operations compute in.
    fn compute(&self) -> Compute {
        Compute::F32
    }

    /// Who runs graphs with these weights, where that is not [`execute`] itself: see [`crate::Leaves::in_segments`].
    #[doc(hidden)]
    fn runner(&self) -> Option<&dyn Runner> {
        None
    }
}

/// Runs graphs in place of [`execute`].
#[doc(hidden)]
pub trait Runner {
    /// The outputs of a graph whose inputs are checked.
    fn run(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        inputs: Vec<Value>,
        device: &Device,
    ) -> Result<Vec<Value>, RuntimeError>;
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
    let outputs = match weights.runner() {
        Some(runner) => runner.run(graph, weights, inputs, device)?,
        None => {
            let mut run = Run::new(graph);
            for (input, value) in graph.inputs.iter().zip(inputs) {
                run.values[input.value.index()] = Some(value);
            }
            run.nodes(0..graph.nodes.len(), weights, device)?;
            run.outputs()?
        }
    };
    Ok(outputs.into_iter().map(|output| output.cast(FloatDType::F32)).collect())
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
        let mut skip = 0;
        for index in nodes.clone() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let node = &graph.nodes[index];
            // GEGLU's four nodes run as one operation.
            if let Some(out) = gated_by(graph, index..nodes.end, uses) {
                let slot = &mut values[node.inputs[0].index()];
                let value = if last[node.inputs[0].index()] <= index + 1 { slot.take() } else { slot.clone() };
                values[out.index()] = Some(ops::gated(value.ok_or_else(|| missing(&node.name))?));
                skip = 3;
                continue;
            }
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
            skip = usize::from(next.is_some());
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

/// Where the halves of a value, the GELU of the second and their product follow each other and nothing else reads the
/// three between: the product.
fn gated_by(graph: &Graph, nodes: Range<usize>, uses: &[usize]) -> Option<ValueId> {
    let [value, gate, gelu, product, ..] = graph.nodes.get(nodes)? else { return None };
    let (&Op::Slice { axis, start: 0, end }, &Op::Slice { axis: same, start, end: whole }) = (&value.op, &gate.op)
    else {
        return None;
    };
    let shape = graph.shape(*value.inputs.first()?);
    let halves =
        axis == same && axis + 1 == shape.len() && start == end && whole == 2 * end && shape[axis] == whole;
    let chained = value.inputs == gate.inputs
        && gelu.op == Op::Gelu
        && gelu.inputs == [gate.output]
        && product.op == Op::Mul
        && product.inputs == [value.output, gelu.output];
    let alone = [value, gate, gelu].iter().all(|node| uses[node.output.index()] == 1);
    (halves && chained && alone && uses[product.output.index()] > 0).then_some(product.output)
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
