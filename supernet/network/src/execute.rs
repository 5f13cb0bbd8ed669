use burn::tensor::{Device, Tensor};
use tnas_graph::{Graph, Op, RuntimeError, ValueId, Weight, WeightError};

use crate::{Value, ops};

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
}

/// Runs a graph once. Values are dropped after their last use. `device` is where the weights and inputs are.
pub fn execute(
    graph: &Graph,
    weights: &dyn WeightSource,
    inputs: Vec<Value>,
    device: &Device,
) -> Result<Vec<Value>, RuntimeError> {
    check_inputs(graph, &inputs)?;
    let (last, uses) = (graph.last_uses(), graph.use_counts());
    let mut values: Vec<Option<Value>> = vec![None; graph.value_count()];
    for (input, value) in graph.inputs.iter().zip(inputs) {
        values[input.value.index()] = Some(value);
    }
    let mut skip = 0;
    for (index, node) in graph.nodes.iter().enumerate() {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        // GEGLU's four nodes run as one operation.
        if let Some(out) = gated_by(graph, index, &uses) {
            let slot = &mut values[node.inputs[0].index()];
            let last = last[node.inputs[0].index()] <= index + 1;
            let value = if last { slot.take() } else { slot.clone() };
            values[out.index()] = Some(ops::gated(value.ok_or_else(|| missing(&node.name))?));
            skip = 3;
            continue;
        }
        // GroupNorm whose only reader is the SiLU that follows runs as one operation.
        let next = graph.nodes.get(index + 1).filter(|next| {
            matches!(node.op, Op::GroupNorm { .. })
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
    let output =
        |output: &tnas_graph::Output| values[output.value.index()].clone().ok_or_else(|| missing(&output.name));
    graph.outputs.iter().map(output).collect()
}

/// Where the halves of a value, the GELU of the second and their product follow each other and nothing else reads the
/// three between: the product.
fn gated_by(graph: &Graph, index: usize, uses: &[usize]) -> Option<ValueId> {
    let [value, gate, gelu, product] = graph.nodes.get(index..index + 4)? else { return None };
    let (&Op::Slice { axis, start: 0, end }, &Op::Slice { axis: same, start, end: whole }) = (&value.op, &gate.op)
    else {
        return None;
    };
    let shape = graph.shape(*value.inputs.first()?);
    let halves = axis == same && axis + 1 == shape.len() && start == end && whole == 2 * end && shape[axis] == whole;
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

fn missing(name: &str) -> RuntimeError {
    RuntimeError::Backend { runtime: "burn".into(), message: format!("a value read by {name} was dropped") }
}
