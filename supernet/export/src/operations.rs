//! Lowering of each semantic operation to ONNX nodes.

use tnas_graph::{Graph, Node, Op, ValueId, Weight, Weights, resolve};

use crate::{
    ExportError,
    builder::{OnnxBuilder, float, int, ints, word},
    proto::Attribute,
};

/// Turns nodes into ONNX nodes, value by value.
pub(crate) struct Lowering<'a> {
    graph: &'a Graph,
    weights: &'a dyn Weights,
    onnx: OnnxBuilder,
    names: Vec<String>,
}

impl<'a> Lowering<'a> {
    /// Inputs keep their names.
    pub fn new(graph: &'a Graph, weights: &'a dyn Weights) -> Self {
        let mut names = vec![String::new(); graph.value_count()];
        for input in &graph.inputs {
            names[input.value.index()].clone_from(&input.name);
        }
        Self { graph, weights, onnx: OnnxBuilder::default(), names }
    }

    /// The nodes and initializers, and the ONNX name of each value.
    pub fn finish(self) -> (OnnxBuilder, Vec<String>) {
        (self.onnx, self.names)
    }

    /// Lowers one node.
    pub fn node(&mut self, node: &Node) -> Result<(), ExportError> {
        let inputs: Vec<String> = node.inputs.iter().map(|value| self.names[value.index()].clone()).collect();
        self.names[node.output.index()] = self.operation(node, &inputs)?;
        Ok(())
    }

    /// Adds what an operation lowers to; returns the ONNX name of its result.
    fn operation(&mut self, node: &Node, inputs: &[String]) -> Result<String, ExportError> {
        let input = |index: usize| inputs[index].as_str();
        let name = node.name.as_str();
        Ok(match &node.op {
            Op::Conv2d { weight, bias, stride, padding, groups } => {
                let attributes = vec![
                    ints("kernel_shape", &weight.shape[2..]),
                    ints("strides", stride),
                    ints("pads", padding),
                    int("group", *groups as i64),
                ];
                self.convolution(name, input(0), weight, bias.as_ref(), attributes)?
            }
            Op::Linear { weight, bias } => self.linear(name, input(0), weight, bias.as_ref())?,
            Op::MatMul => self.onnx.node(name, "MatMul", &[input(0), input(1)], Vec::new()),
            Op::GroupNorm { weight, bias, groups, eps } => {
                let shape = self.graph.shape(node.inputs[0]);
                let normal = self.normalised(name, input(0), shape, *groups, *eps);
                self.gain_and_offset(name, &normal, shape, weight, bias)?
            }
            Op::LayerNorm { weight, bias, eps } => self.layer_norm(name, input(0), weight, bias, *eps)?,
            Op::Attention { scale, causal } => {
                self.attention(name, [input(0), input(1), input(2)], &node.inputs, *scale, *causal)
            }
            Op::Silu => self.gated(name, input(0), 1.0),
            Op::QuickGelu => self.gated(name, input(0), 1.702),
            Op::Gelu => self.gelu(name, input(0)),
            Op::Relu => self.onnx.node(name, "Relu", &[input(0)], Vec::new()),
            Op::Tanh => self.onnx.node(name, "Tanh", &[input(0)], Vec::new()),
            Op::Sigmoid => self.onnx.node(name, "Sigmoid", &[input(0)], Vec::new()),
            Op::Softmax => self.onnx.node(name, "Softmax", &[input(0)], vec![int("axis", -1)]),
            Op::Add => self.onnx.node(name, "Add", &[input(0), input(1)], Vec::new()),
            Op::Sub => self.onnx.node(name, "Sub", &[input(0), input(1)], Vec::new()),
            Op::Mul => self.onnx.node(name, "Mul", &[input(0), input(1)], Vec::new()),
            Op::Affine { scale, offset } => self.affine(name, input(0), *scale, *offset),
            Op::Concat { axis } => {
                let reads: Vec<&str> = inputs.iter().map(String::as_str).collect();
                self.onnx.node(name, "Concat", &reads, vec![int("axis", *axis as i64)])
            }
            Op::Slice { axis, start, end } => self.slice(name, input(0), *axis, [*start, *end]),
            Op::Reshape { shape } => self.reshape(name, input(0), shape),
            Op::Transpose { order } => self.onnx.node(name, "Transpose", &[input(0)], vec![ints("perm", order)]),
            Op::ResizeNearest { size } => self.resize_nearest(name, input(0), node.inputs[0], *size),
            Op::AvgPool2d { window } => self.average_pool(name, input(0), window),
            Op::Mean { axes } => self.mean(name, input(0), axes),
            Op::Embedding { weight } => {
                let table = self.weight(weight)?;
                self.onnx.node(name, "Gather", &[&table, input(0)], vec![int("axis", 0)])
            }
            Op::Constant { shape, data } => self.onnx.floats(&format!("{name}/value"), shape, data),
            Op::Parameter { weight } => self.weight(weight)?,
            Op::Sinusoid { channels, flip_sin_to_cos, frequency_shift } => {
                self.sinusoid(name, input(0), *channels, *flip_sin_to_cos, *frequency_shift)
            }
        })
    }

    fn weight(&mut self, weight: &Weight) -> Result<String, ExportError> {
        let values = resolve(self.weights, weight)?;
        Ok(self.onnx.floats(&weight.name, &weight.shape, &values))
    }

    fn convolution(
        &mut self,
        name: &str,
        x: &str,
        weight: &Weight,
        bias: Option<&Weight>,
        attributes: Vec<Attribute>,
    ) -> Result<String, ExportError> {
        let weight = self.weight(weight)?;
        let bias = bias.map(|bias| self.weight(bias)).transpose()?;
        let reads: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
        Ok(self.onnx.node(name, "Conv", &reads, attributes))
    }

    /// x·Wᵀ + b, the weight stored transposed.
    fn linear(
        &mut self,
        name: &str,
        x: &str,
        weight: &Weight,
        bias: Option<&Weight>,
    ) -> Result<String, ExportError> {
        let values = resolve(self.weights, weight)?;
        let (rows, columns) = (weight.shape[0], weight.shape[1]);
        let turned: Vec<f32> = (0..columns)
            .flat_map(|c| (0..rows).map(move |r| (r, c)))
            .map(|(r, c)| values[r * columns + c])
            .collect();
        let matrix = self.onnx.floats(&format!("{}:transposed", weight.name), &[columns, rows], &turned);
        let Some(bias) = bias else { return Ok(self.onnx.node(name, "MatMul", &[x, &matrix], Vec::new())) };
        let product = self.onnx.node(&format!("{name}/product"), "MatMul", &[x, &matrix], Vec::new());
        let bias = self.weight(bias)?;
        Ok(self.onnx.node(name, "Add", &[&product, &bias], Vec::new()))
    }

    /// Zero mean and unit variance over groups of channels: as InstanceNormalization, which every runtime has.
    fn normalised(&mut self, name: &str, x: &str, shape: &[usize], groups: usize, eps: f32) -> String {
        let area: usize = shape[1..].iter().product::<usize>() / groups;
        let split = self.reshape(&format!("{name}/groups"), x, &[shape[0], groups, area]);
        let ones = self.onnx.floats(&format!("{name}/ones"), &[groups], &vec![1.0; groups]);
        let zeros = self.onnx.floats(&format!("{name}/zeros"), &[groups], &vec![0.0; groups]);
        let reads = [split.as_str(), &ones, &zeros];
        let normal =
            self.onnx.node(&format!("{name}/normal"), "InstanceNormalization", &reads, vec![float("epsilon", eps)]);
        self.reshape(&format!("{name}/merge"), &normal, shape)
    }

    /// x·weight + bias, one of each per channel of `[N, C, …]`.
    fn gain_and_offset(
        &mut self,
        name: &str,
        x: &str,
        shape: &[usize],
        weight: &Weight,
        bias: &Weight,
    ) -> Result<String, ExportError> {
        let mut column = vec![1; shape.len()];
        column[1] = shape[1];
        let gain = resolve(self.weights, weight)?;
        let gain = self.onnx.floats(&format!("{}:column", weight.name), &column, &gain);
        let offset = resolve(self.weights, bias)?;
        let offset = self.onnx.floats(&format!("{}:column", bias.name), &column, &offset);
        let scaled = self.onnx.node(&format!("{name}/gain"), "Mul", &[x, &gain], Vec::new());
        Ok(self.onnx.node(name, "Add", &[&scaled, &offset], Vec::new()))
    }

    fn layer_norm(
        &mut self,
        name: &str,
        x: &str,
        weight: &Weight,
        bias: &Weight,
        eps: f32,
    ) -> Result<String, ExportError> {
        let (gain, offset) = (self.weight(weight)?, self.weight(bias)?);
        let attributes = vec![int("axis", -1), float("epsilon", eps)];
        Ok(self.onnx.node(name, "LayerNormalization", &[x, &gain, &offset], attributes))
    }

    fn attention(&mut self, name: &str, inputs: [&str; 3], values: &[ValueId], scale: f32, causal: bool) -> String {
        let [q, k, v] = inputs;
        let keys = self.onnx.node(&format!("{name}/keys"), "Transpose", &[k], vec![ints("perm", &[0, 1, 3, 2])]);
        let q = self.scaled(&format!("{name}/scaled"), q, scale);
        let mut scores = self.onnx.node(&format!("{name}/scores"), "MatMul", &[&q, &keys], Vec::new());
        if causal {
            let (rows, columns) = (self.graph.shape(values[0])[2], self.graph.shape(values[1])[2]);
            // Large and finite: minus infinity turns into NaN in half precision on some runtimes.
            let hide = |row: usize| (0..columns).map(move |column| if column > row { -1e9 } else { 0.0 });
            let mask: Vec<f32> = (0..rows).flat_map(hide).collect();
            let mask = self.onnx.floats(&format!("{name}/mask"), &[1, 1, rows, columns], &mask);
            scores = self.onnx.node(&format!("{name}/masked"), "Add", &[&scores, &mask], Vec::new());
        }
        let weights = self.onnx.node(&format!("{name}/softmax"), "Softmax", &[&scores], vec![int("axis", -1)]);
        self.onnx.node(name, "MatMul", &[&weights, v], Vec::new())
    }

    /// x·sigmoid(factor·x).
    fn gated(&mut self, name: &str, x: &str, factor: f32) -> String {
        let scaled = self.scaled(&format!("{name}/scaled"), x, factor);
        let gate = self.onnx.node(&format!("{name}/gate"), "Sigmoid", &[&scaled], Vec::new());
        self.onnx.node(name, "Mul", &[x, &gate], Vec::new())
    }

    /// x·(1 + erf(x/√2))/2.
    fn gelu(&mut self, name: &str, x: &str) -> String {
        let scaled = self.scaled(&format!("{name}/scaled"), x, std::f32::consts::FRAC_1_SQRT_2);
        let erf = self.onnx.node(&format!("{name}/erf"), "Erf", &[&scaled], Vec::new());
        let one = self.onnx.floats(&format!("{name}/one"), &[], &[1.0]);
        let sum = self.onnx.node(&format!("{name}/sum"), "Add", &[&erf, &one], Vec::new());
        let product = self.onnx.node(&format!("{name}/product"), "Mul", &[x, &sum], Vec::new());
        self.scaled(name, &product, 0.5)
    }

    fn sinusoid(&mut self, name: &str, t: &str, channels: usize, flip: bool, shift: f32) -> String {
        let half = channels / 2;
        let rate = |i: usize| (-(10_000f64.ln()) * i as f64 / (half as f64 - f64::from(shift))).exp() as f32;
        let rates: Vec<f32> = (0..half).map(rate).collect();
        let rates = self.onnx.floats(&format!("{name}/rates"), &[1, half], &rates);
        let axis = self.onnx.integers(&format!("{name}/axis"), &[1]);
        let column = self.onnx.node(&format!("{name}/column"), "Unsqueeze", &[t, &axis], Vec::new());
        let angles = self.onnx.node(&format!("{name}/angles"), "Mul", &[&column, &rates], Vec::new());
        let sin = self.onnx.node(&format!("{name}/sin"), "Sin", &[&angles], Vec::new());
        let cos = self.onnx.node(&format!("{name}/cos"), "Cos", &[&angles], Vec::new());
        let mut parts = if flip { vec![cos.as_str(), &sin] } else { vec![sin.as_str(), &cos] };
        let zero = self.scaled(&format!("{name}/zero"), &column, 0.0);
        if channels % 2 == 1 {
            parts.push(&zero);
        }
        self.onnx.node(name, "Concat", &parts, vec![int("axis", 1)])
    }

    /// x·scale + offset.
    fn affine(&mut self, name: &str, x: &str, scale: f32, offset: f32) -> String {
        let scaled = self.scaled(&format!("{name}/scale"), x, scale);
        let offset = self.onnx.floats(&format!("{name}/offset"), &[], &[offset]);
        self.onnx.node(name, "Add", &[&scaled, &offset], Vec::new())
    }

    fn slice(&mut self, name: &str, x: &str, axis: usize, [start, end]: [usize; 2]) -> String {
        let mut list = |what: &str, value: usize| self.onnx.integers(&format!("{name}/{what}"), &[value as i64]);
        let (start, end, axis) = (list("start", start), list("end", end), list("axis", axis));
        self.onnx.node(name, "Slice", &[x, &start, &end, &axis], Vec::new())
    }

    fn resize_nearest(&mut self, name: &str, x: &str, value: ValueId, [height, width]: [usize; 2]) -> String {
        let shape = self.graph.shape(value);
        let sizes = [shape[0], shape[1], height, width].map(|length| length as i64);
        let sizes = self.onnx.integers(&format!("{name}/sizes"), &sizes);
        let attributes = vec![
            word("mode", "nearest"),
            word("coordinate_transformation_mode", "asymmetric"),
            word("nearest_mode", "floor"),
        ];
        self.onnx.node(name, "Resize", &[x, "", "", &sizes], attributes)
    }

    fn average_pool(&mut self, name: &str, x: &str, window: &[usize; 2]) -> String {
        let attributes = vec![ints("kernel_shape", window), ints("strides", window)];
        self.onnx.node(name, "AveragePool", &[x], attributes)
    }

    fn mean(&mut self, name: &str, x: &str, axes: &[usize]) -> String {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let axes = self.onnx.integers(&format!("{name}/axes"), &axes);
        self.onnx.node(name, "ReduceMean", &[x, &axes], vec![int("keepdims", 1)])
    }

    fn scaled(&mut self, name: &str, x: &str, factor: f32) -> String {
        if factor == 1.0 {
            return x.into();
        }
        let factor = self.onnx.floats(&format!("{name}/factor"), &[], &[factor]);
        self.onnx.node(name, "Mul", &[x, &factor], Vec::new())
    }

    fn reshape(&mut self, name: &str, x: &str, shape: &[usize]) -> String {
        let shape: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
        let shape = self.onnx.integers(&format!("{name}/shape"), &shape);
        self.onnx.node(name, "Reshape", &[x, &shape], Vec::new())
    }
}
