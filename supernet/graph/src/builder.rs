use std::collections::BTreeMap;

use crate::{
    Dtype, Elastic, Graph, GraphError, Init, Input, Node, Op, Output, ValueId, Weight, graph::ValueInfo,
    infer_shape,
};

/// Adds nodes one at a time. The first error is kept and returned by [`GraphBuilder::finish`], so that
/// operators read as formulas.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    inputs: Vec<Input>,
    nodes: Vec<Node>,
    values: Vec<ValueInfo>,
    names: BTreeMap<String, usize>,
    error: Option<GraphError>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, shape: &[usize], dtype: Dtype) -> ValueId {
        let value = self.value(shape.to_vec(), dtype);
        self.inputs.push(Input { name: name.into(), value });
        value
    }

    /// Shape of a value made so far.
    pub fn shape(&self, value: ValueId) -> &[usize] {
        &self.values[value.index()].shape
    }

    /// Adds any operation. A name already used gets a number.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        let shapes: Vec<&[usize]> = inputs.iter().map(|&value| self.shape(value)).collect();
        let shape = match infer_shape(&op, &shapes) {
            Ok(shape) => shape,
            Err(reason) => {
                let shapes = shapes.into_iter().map(<[usize]>::to_vec).collect();
                let error = GraphError::Shape { node: name.into(), op: op.kind(), shapes, reason };
                self.error.get_or_insert(error);
                vec![1; inputs.first().map_or(1, |&value| self.shape(value).len())]
            }
        };
        let output = self.value(shape, Dtype::F32);
        let name = self.unique(name);
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    /// Closes the graph.
    pub fn finish(self, outputs: &[(&str, ValueId)]) -> Result<Graph, GraphError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let outputs = outputs.iter().map(|&(name, value)| Output { name: name.into(), value }).collect();
        let graph = Graph { inputs: self.inputs, nodes: self.nodes, outputs, values: self.values };
        graph.check_weights()?;
        Ok(graph)
    }

    /// Convolution with weights `<path>.weight` and `<path>.bias`; the same padding on both sides.
    #[allow(clippy::too_many_arguments)]
    pub fn conv2d(
        &mut self,
        path: &str,
        x: ValueId,
        out_channels: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        init: Init,
    ) -> ValueId {
        let channels = self.shape(x).get(1).copied().unwrap_or(1);
        let weight = Weight::new(format!("{path}.weight"), &[out_channels, channels, kernel[0], kernel[1]], init);
        let bias = Some(bias_of(path, out_channels, init));
        let padding = [padding[0], padding[1], padding[0], padding[1]];
        self.node(path, Op::Conv2d { weight, bias, stride, padding, groups: 1 }, &[x])
    }

    /// Linear layer with weights `<path>.weight` and, where asked, `<path>.bias`.
    pub fn linear(&mut self, path: &str, x: ValueId, out: usize, bias: bool, init: Init) -> ValueId {
        self.elastic_linear(path, x, out, bias, init, Elastic::Exact)
    }

    /// A linear layer that may use the first rows and columns of a larger stored weight.
    pub fn elastic_linear(
        &mut self,
        path: &str,
        x: ValueId,
        out: usize,
        bias: bool,
        init: Init,
        elastic: Elastic,
    ) -> ValueId {
        let inner = self.shape(x).last().copied().unwrap_or(1);
        let weight = Weight::new(format!("{path}.weight"), &[out, inner], init).with_elastic(elastic);
        let bias = bias.then(|| bias_of(path, out, init).with_elastic(elastic));
        self.node(path, Op::Linear { weight, bias }, &[x])
    }

    /// Group normalisation with weights `<path>.weight` and `<path>.bias`.
    pub fn group_norm(&mut self, path: &str, x: ValueId, groups: usize, eps: f32) -> ValueId {
        let channels = self.shape(x).get(1).copied().unwrap_or(1);
        let (weight, bias) = gain_of(path, channels);
        self.node(path, Op::GroupNorm { weight, bias, groups, eps }, &[x])
    }

    /// Layer normalisation over the last axis with weights `<path>.weight` and `<path>.bias`.
    pub fn layer_norm(&mut self, path: &str, x: ValueId, eps: f32) -> ValueId {
        let channels = self.shape(x).last().copied().unwrap_or(1);
        let (weight, bias) = gain_of(path, channels);
        self.node(path, Op::LayerNorm { weight, bias, eps }, &[x])
    }

    /// Scaled dot-product attention on `[N, heads, L, D]`, scale 1/√D.
    pub fn attention(&mut self, path: &str, q: ValueId, k: ValueId, v: ValueId, causal: bool) -> ValueId {
        let depth = self.shape(q).last().copied().unwrap_or(1);
        self.node(path, Op::Attention { scale: 1.0 / (depth as f32).sqrt(), causal }, &[q, k, v])
    }

    /// x·sigmoid(x).
    pub fn silu(&mut self, path: &str, x: ValueId) -> ValueId {
        self.node(path, Op::Silu, &[x])
    }

    /// Exact GELU.
    pub fn gelu(&mut self, path: &str, x: ValueId) -> ValueId {
        self.node(path, Op::Gelu, &[x])
    }

    /// max(x, 0).
    pub fn relu(&mut self, path: &str, x: ValueId) -> ValueId {
        self.node(path, Op::Relu, &[x])
    }

    /// Broadcasting sum.
    pub fn add(&mut self, path: &str, a: ValueId, b: ValueId) -> ValueId {
        self.node(path, Op::Add, &[a, b])
    }

    /// Broadcasting product.
    pub fn mul(&mut self, path: &str, a: ValueId, b: ValueId) -> ValueId {
        self.node(path, Op::Mul, &[a, b])
    }

    /// `x·scale + offset`.
    pub fn affine(&mut self, path: &str, x: ValueId, scale: f32, offset: f32) -> ValueId {
        self.node(path, Op::Affine { scale, offset }, &[x])
    }

    /// Another shape; nothing is added where it is the same.
    pub fn reshape(&mut self, path: &str, x: ValueId, shape: &[usize]) -> ValueId {
        if self.shape(x) == shape {
            return x;
        }
        self.node(path, Op::Reshape { shape: shape.to_vec() }, &[x])
    }

    /// Another order of axes; nothing is added where it is the same.
    pub fn transpose(&mut self, path: &str, x: ValueId, order: &[usize]) -> ValueId {
        if order.iter().copied().eq(0..order.len()) {
            return x;
        }
        self.node(path, Op::Transpose { order: order.to_vec() }, &[x])
    }

    /// Concatenation.
    pub fn concat(&mut self, path: &str, inputs: &[ValueId], axis: usize) -> ValueId {
        self.node(path, Op::Concat { axis }, inputs)
    }

    /// Part of an axis.
    pub fn slice(&mut self, path: &str, x: ValueId, axis: usize, start: usize, end: usize) -> ValueId {
        self.node(path, Op::Slice { axis, start, end }, &[x])
    }

    /// Fixed numbers.
    pub fn constant(&mut self, path: &str, shape: &[usize], data: Vec<f32>) -> ValueId {
        self.node(path, Op::Constant { shape: shape.to_vec(), data }, &[])
    }

    fn value(&mut self, shape: Vec<usize>, dtype: Dtype) -> ValueId {
        self.values.push(ValueInfo { shape, dtype });
        ValueId(self.values.len() - 1)
    }

    fn unique(&mut self, name: &str) -> String {
        let count = self.names.entry(name.into()).or_insert(0);
        *count += 1;
        if *count == 1 { name.into() } else { format!("{name}#{count}") }
    }
}

/// A bias starts like its weight: at zero where the layer starts at zero.
fn bias_of(path: &str, out: usize, init: Init) -> Weight {
    let init = if init == Init::FanIn { Init::FanIn } else { Init::Zeros };
    Weight::new(format!("{path}.bias"), &[out], init)
}

fn gain_of(path: &str, channels: usize) -> (Weight, Weight) {
    let weight = Weight::new(format!("{path}.weight"), &[channels], Init::Ones);
    (weight, Weight::new(format!("{path}.bias"), &[channels], Init::Zeros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_names_its_node() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 6], Dtype::F32);
        let y = g.reshape("block.fold", x, &[5, 3]);
        let y = g.add("block.sum", x, y);
        let error = g.finish(&[("y", y)]).unwrap_err();
        assert!(error.to_string().contains("block.fold"), "{error}");
        assert!(error.to_string().contains("[2, 6]"), "{error}");
    }

    #[test]
    fn one_name_cannot_be_two_shapes() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 6], Dtype::F32);
        let y = g.linear("l", x, 4, false, Init::FanIn);
        let z = g.linear("l", y, 4, false, Init::FanIn);
        assert!(matches!(g.finish(&[("z", z)]), Err(GraphError::WeightConflict { .. })));
    }
}
