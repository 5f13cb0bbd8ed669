//! Training that keeps the values between segments of a graph alone.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use burn::tensor::{Device, Gradients, Tensor};
use tnas_graph::{Graph, RuntimeError, Segment};

use crate::{
    Compute, Leaves, Value, WeightSource, accumulate,
    execute::{Run, Runner},
    ops,
};

/// The runs of a step that the backward pass will do again, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tapes(RefCell<Vec<Tape>>);

/// One run of a graph.
#[derive(Clone, Debug)]
struct Tape {
    graph: Graph,
    segments: Vec<Segment>,
    /// Whether gradients reach each value between segments.
    reached: Vec<bool>,
    /// What segments that are computed again read, by value, on the plain device.
    kept: BTreeMap<usize, Value>,
    /// Inputs as they were given, those that gradients reach.
    inputs: Vec<(usize, Value)>,
    /// Outputs as the caller got them.
    outputs: Vec<(usize, Value)>,
}

/// The leaves' weights on the plain device.
struct Plain<'a>(&'a dyn WeightSource);

impl WeightSource for Plain<'_> {
    fn flat(&self, name: &str) -> Option<(&[usize], Tensor<1>)> {
        self.0.flat(name).map(|(shape, flat)| (shape, flat.inner()))
    }

    fn compute(&self) -> Compute {
        self.0.compute()
    }
}

impl Runner for Tapes {
    /// Runs a graph without tracking; its outputs are leaves of their own.
    fn run(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        inputs: Vec<Value>,
        device: &Device,
    ) -> Result<Vec<Value>, RuntimeError> {
        let tracked = |name: &str| weights.flat(name).is_some_and(|(_, flat)| flat.is_tracked());
        let mut tape = Tape::new(graph, &inputs, tracked);
        let plain = device.clone().inner();
        let mut run = Run::new(graph);
        for (input, value) in graph.inputs.iter().zip(inputs) {
            run.values[input.value.index()] = Some(value.inner());
        }
        for segment in &tape.segments {
            // A segment that no gradient reaches is not computed again.
            if tape.reaches(segment) {
                let read =
                    segment.inputs.iter().filter_map(|id| Some((id.index(), run.values[id.index()].clone()?)));
                tape.kept.extend(read);
            }
            run.nodes(segment.nodes.clone(), &Plain(weights), &plain)?;
        }
        let reached = |id: usize| tape.reached[id];
        let leaf = |(output, value): (&tnas_graph::Output, Value)| {
            let id = output.value.index();
            (id, if reached(id) { value.leaf(device) } else { value.constant_for(device) })
        };
        let outputs: Vec<(usize, Value)> = graph.outputs.iter().zip(run.outputs()?).map(leaf).collect();
        tape.outputs.clone_from(&outputs);
        if outputs.iter().any(|&(id, _)| reached(id)) {
            self.0.borrow_mut().push(tape);
        }
        Ok(outputs.into_iter().map(|(_, value)| value).collect())
    }
}

impl Tapes {
    /// Adds the gradients of all recorded runs, the last first, to those that a loss's own backward pass found.
    pub fn backward(
        &self,
        leaves: &Leaves,
        mut found: Gradients,
        sums: &mut BTreeMap<String, Tensor<1>>,
    ) -> Result<(), RuntimeError> {
        let mut tapes = self.0.take();
        // Gradients of each run's outputs, so far.
        let mut of_outputs: Vec<Vec<Option<Value>>> = tapes.iter().map(|tape| tape.collect(&mut found)).collect();
        drop(found);
        while let (Some(tape), Some(gradients)) = (tapes.pop(), of_outputs.pop()) {
            let Some(seed) = tape.backward(leaves, gradients, sums)? else { continue };
            // What was given to this run may depend on weights, and on runs before it.
            let mut more = seed.backward();
            accumulate(sums, leaves.gradients(&mut more));
            for (earlier, gradients) in tapes.iter().zip(&mut of_outputs) {
                for (sum, more) in gradients.iter_mut().zip(earlier.collect(&mut more)) {
                    *sum = plus(sum.take(), more);
                }
            }
        }
        Ok(())
    }
}

impl Tape {
    fn new(graph: &Graph, inputs: &[Value], tracked: impl Fn(&str) -> bool) -> Self {
        let segments = graph.segments();
        let mut reached = vec![false; graph.value_count()];
        let given: Vec<(usize, Value)> = graph
            .inputs
            .iter()
            .zip(inputs)
            .filter(|(_, value)| value.is_tracked())
            .map(|(input, value)| (input.value.index(), value.clone()))
            .collect();
        for &(id, _) in &given {
            reached[id] = true;
        }
        for segment in &segments {
            let nodes = &graph.nodes[segment.nodes.clone()];
            let trains = nodes.iter().flat_map(|node| node.op.weights()).any(|weight| tracked(&weight.name));
            if trains || segment.inputs.iter().any(|id| reached[id.index()]) {
                for id in &segment.outputs {
                    reached[id.index()] = true;
                }
            }
        }
        let (kept, outputs) = (BTreeMap::new(), Vec::new());
        Self { graph: graph.clone(), segments, reached, kept, inputs: given, outputs }
    }

    /// Whether gradients reach anything that a segment makes.
    fn reaches(&self, segment: &Segment) -> bool {
        segment.outputs.iter().any(|id| self.reached[id.index()])
    }

    /// Gradients of the outputs.
    fn collect(&self, gradients: &mut Gradients) -> Vec<Option<Value>> {
        self.outputs.iter().map(|(_, leaf)| leaf.take_gradient(gradients)).collect()
    }

    /// Computes each segment again and takes its gradients. Returns Σ input · gradient over the inputs that gradients reach.
    fn backward(
        mut self,
        leaves: &Leaves,
        of_outputs: Vec<Option<Value>>,
        sums: &mut BTreeMap<String, Tensor<1>>,
    ) -> Result<Option<Tensor<1>>, RuntimeError> {
        let mut gradients: Vec<Option<Value>> = vec![None; self.graph.value_count()];
        for ((id, _), gradient) in std::mem::take(&mut self.outputs).into_iter().zip(of_outputs) {
            gradients[id] = plus(gradients[id].take(), gradient);
        }
        while let Some(segment) = self.segments.pop() {
            self.segment(&segment, leaves, &mut gradients, sums)?;
            let needed: BTreeSet<usize> =
                self.segments.iter().flat_map(|segment| segment.inputs.iter().map(|id| id.index())).collect();
            self.kept.retain(|id, _| needed.contains(id));
        }
        let products = self.inputs.iter().filter_map(|(id, value)| Some(product(value, gradients[*id].take()?)));
        Ok(products.reduce(|a, b| a + b))
    }

    fn segment(
        &self,
        segment: &Segment,
        leaves: &Leaves,
        gradients: &mut [Option<Value>],
        sums: &mut BTreeMap<String, Tensor<1>>,
    ) -> Result<(), RuntimeError> {
        let seeds: Vec<(usize, Value)> = segment
            .outputs
            .iter()
            .filter(|id| self.reached[id.index()])
            .filter_map(|id| Some((id.index(), gradients[id.index()].take()?)))
            .collect();
        if seeds.is_empty() {
            return Ok(());
        }
        let device = leaves.device();
        let nodes = &self.graph.nodes[segment.nodes.clone()];
        let names = nodes.iter().flat_map(|node| node.op.weights()).map(|weight| weight.name.as_str());
        let own = leaves.anew(names);
        let mut run = Run::new(&self.graph);
        let mut inputs = Vec::new();
        for id in segment.inputs.iter().map(|id| id.index()) {
            let Some(kept) = self.kept.get(&id).cloned() else { continue };
            let value = if self.reached[id] { kept.leaf(device) } else { kept.constant_for(device) };
            if self.reached[id] {
                inputs.push((id, value.clone()));
            }
            run.values[id] = Some(value);
        }
        run.nodes(segment.nodes.clone(), &own, device)?;
        let made = seeds.into_iter().filter_map(|(id, gradient)| Some(product(run.values[id].as_ref()?, gradient)));
        let Some(seed) = made.reduce(|a, b| a + b).filter(Tensor::is_tracked) else { return Ok(()) };
        drop(run);
        let mut found = seed.backward();
        accumulate(sums, own.gradients(&mut found));
        for (id, leaf) in inputs {
            gradients[id] = plus(gradients[id].take(), leaf.take_gradient(&mut found));
        }
        Ok(())
    }
}

/// Σ value · gradient: its backward pass begins with the gradient.
fn product(value: &Value, gradient: Value) -> Tensor<1> {
    let gradient = Tensor::from_inner(gradient.flat());
    (value.clone().flat() * gradient).sum()
}

fn plus(a: Option<Value>, b: Option<Value>) -> Option<Value> {
    match (a, b) {
        (Some(a), Some(b)) => Some(ops::add(a, b)),
        (a, b) => a.or(b),
    }
}
