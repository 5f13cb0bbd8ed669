//! Each semantic operation as Burn operations.

use burn::tensor::{
    Device, FloatDType, Tensor, activation, module,
    ops::{AvgPoolOptions, InterpolateMode, InterpolateOptions},
};
use tnas_graph::{Op, RuntimeError, Weight, WeightError};

use crate::{
    Compute, Value, WeightSource,
    fused::{self, attention, conv2d, gelu, group_norm, layer_norm, linear, permute, silu, softmax},
    value::with_rank,
};

/// Runs one operation in the precision that the source of the weights asks for; `with_silu` fuses a SiLU behind a GroupNorm.
pub(crate) fn run(
    op: &Op,
    with_silu: bool,
    inputs: Vec<Value>,
    weights: &dyn WeightSource,
    device: &Device,
) -> Result<Value, RuntimeError> {
    let compute = weights.compute();
    if compute == Compute::F32 {
        return run_as_given(op, with_silu, inputs, weights, device);
    }
    // Sums of many squares, exponentials, sums of gradients of one token, and large angles need f32.
    let precise = matches!(
        op,
        Op::GroupNorm { .. }
            | Op::LayerNorm { .. }
            | Op::Softmax
            | Op::Sinusoid { .. }
            | Op::Mean { .. }
            | Op::Embedding { .. }
    );
    let dtype = if precise { FloatDType::F32 } else { compute.dtype() };
    let inputs = inputs.into_iter().map(|input| input.cast(dtype)).collect();
    let result = run_as_given(op, with_silu, inputs, &In(weights, dtype), device)?;
    Ok(result.cast(compute.dtype()))
}

/// Weights in another precision.
struct In<'a>(&'a dyn WeightSource, FloatDType);

impl WeightSource for In<'_> {
    fn flat(&self, name: &str) -> Option<(&[usize], Tensor<1>)> {
        self.0.flat(name).map(|(shape, flat)| (shape, flat.cast(self.1)))
    }
}

fn run_as_given(
    op: &Op,
    with_silu: bool,
    mut inputs: Vec<Value>,
    weights: &dyn WeightSource,
    device: &Device,
) -> Result<Value, RuntimeError> {
    let mut take = || if inputs.is_empty() { Value::F1(Tensor::zeros([0], device)) } else { inputs.remove(0) };
    Ok(match op {
        Op::Conv2d { weight, bias, stride, padding, groups } => {
            let (weight, bias) = (weights.weight(weight)?.image(), optional_vector(weights, bias.as_ref())?);
            Value::F4(conv2d(take().image(), weight, bias, *stride, *padding, *groups))
        }
        Op::Linear { weight, bias } => {
            let (weight, bias) = (weights.weight(weight)?.rows(), optional_vector(weights, bias.as_ref())?);
            over_last_axis(take(), |x| linear(x, weight, bias))
        }
        Op::MatMul => binary(take(), take(), Binary::MatMul),
        Op::GroupNorm { weight, bias, groups, eps } => {
            let (weight, bias) = (vector(weights, weight)?, vector(weights, bias)?);
            Value::F4(group_norm(take().image(), weight, bias, *groups, *eps, with_silu))
        }
        Op::LayerNorm { weight, bias, eps } => {
            let (weight, bias) = (vector(weights, weight)?, vector(weights, bias)?);
            over_last_axis(take(), |x| layer_norm(x, weight, bias, *eps))
        }
        Op::Attention { scale, causal } => {
            let (q, k, v) = (take().image(), take().image(), take().image());
            Value::F4(attention(q, k, v, *scale, *causal))
        }
        Op::Silu => with_rank!(take(), x => silu(x)),
        Op::Gelu => with_rank!(take(), x => gelu(x)),
        Op::QuickGelu => with_rank!(take(), x => activation::sigmoid(x.clone().mul_scalar(1.702)) * x),
        Op::Relu => with_rank!(take(), x => activation::relu(x)),
        Op::Tanh => with_rank!(take(), x => x.tanh()),
        Op::Sigmoid => with_rank!(take(), x => activation::sigmoid(x)),
        Op::Softmax => over_last_axis(take(), softmax),
        Op::Add => binary(take(), take(), Binary::Add),
        Op::Sub => binary(take(), take(), Binary::Sub),
        Op::Mul => binary(take(), take(), Binary::Mul),
        Op::Affine { scale, offset } => affine(take(), *scale, *offset),
        Op::Concat { axis } => concat(inputs, *axis),
        Op::Slice { axis, start, end } => slice(take(), *axis, (*start, *end)),
        Op::Reshape { shape } => take().reshape(shape),
        Op::Transpose { order } => transpose(take(), order),
        Op::ResizeNearest { size } => Value::F4(resize_nearest(take().image(), *size)),
        Op::AvgPool2d { window } => Value::F4(avg_pool(take().image(), *window)),
        Op::Mean { axes } => with_rank!(take(), x => axes.iter().fold(x, |x, &axis| x.mean_dim(axis))),
        Op::Embedding { weight } => embedding(take(), weights.weight(weight)?.rows())?,
        Op::Constant { shape, data } => constant(data.clone(), shape, device),
        Op::Parameter { weight } => weights.weight(weight)?,
        Op::Sinusoid { channels, flip_sin_to_cos, frequency_shift } => {
            Value::F2(sinusoid(take().flat(), *channels, *flip_sin_to_cos, *frequency_shift, device))
        }
    })
}

fn vector(weights: &dyn WeightSource, weight: &Weight) -> Result<Tensor<1>, WeightError> {
    weights.weight(weight).map(Value::flat)
}

fn optional_vector(weights: &dyn WeightSource, weight: Option<&Weight>) -> Result<Option<Tensor<1>>, WeightError> {
    weight.map(|weight| vector(weights, weight)).transpose()
}

/// `f` on `[rows, C]`, the rows being all axes of `[…, C]` but the last; `f` may change C.
fn over_last_axis(x: Value, f: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Value {
    let mut shape = x.shape();
    let y = f(x.rows());
    if let Some(last) = shape.last_mut() {
        *last = y.dims()[1];
    }
    Value::F2(y).reshape(&shape)
}

/// GEGLU of the last axis.
pub(crate) fn gated(x: Value) -> Value {
    over_last_axis(x, fused::gated)
}

/// x·scale + offset.
fn affine(x: Value, scale: f32, offset: f32) -> Value {
    with_rank!(x, x => {
        let x = if scale == 1.0 { x } else { x.mul_scalar(scale) };
        if offset == 0.0 { x } else { x.add_scalar(offset) }
    })
}

/// Rows of a table `[V, C]` at integers `[B, L]`: `[B, L, C]`.
fn embedding(ids: Value, table: Tensor<2>) -> Result<Value, RuntimeError> {
    let Value::Ids(ids) = ids else {
        let message = "an embedding of floats".to_string();
        return Err(RuntimeError::Backend { runtime: "burn".into(), message });
    };
    let [batch, tokens] = ids.dims();
    let width = table.dims()[1];
    let rows: Tensor<2> = table.select(0, ids.reshape([batch * tokens]));
    Ok(Value::F2(rows).reshape(&[batch, tokens, width]))
}

/// Fixed numbers, which no gradient is kept for.
fn constant(data: Vec<f32>, shape: &[usize], device: &Device) -> Value {
    let plain = device.clone().inner();
    Value::from_f32(data, shape, &plain).constant_for(device)
}

fn avg_pool(x: Tensor<4>, window: [usize; 2]) -> Tensor<4> {
    module::avg_pool2d(x, AvgPoolOptions::new(window).with_stride(window))
}

fn resize_nearest(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let options =
        InterpolateOptions::new(InterpolateMode::Nearest).with_align_corners(false).with_output_size(size);
    module::interpolate(x, options)
}

/// Sinusoidal embedding of times (Ho et al. 2020, as diffusers' `get_timestep_embedding`): `[N]` to `[N, channels]`, of which
/// an odd number ends with a zero.
fn sinusoid(t: Tensor<1>, channels: usize, flip: bool, shift: f32, device: &Device) -> Tensor<2> {
    let half = channels / 2;
    let rate = |i: usize| (-(10_000f64.ln()) * i as f64 / (half as f64 - f64::from(shift))).exp() as f32;
    let rates = constant((0..half).map(rate).collect(), &[1, half], device).rows();
    let [batch] = t.dims();
    let angles = t.reshape([batch, 1]).matmul(rates);
    let (sin, cos) = (angles.clone().sin(), angles.cos());
    let mut parts = if flip { vec![cos, sin] } else { vec![sin, cos] };
    if channels % 2 == 1 {
        parts.push(constant(vec![0.0; batch], &[batch, 1], device).rows());
    }
    Tensor::cat(parts, 1)
}

enum Binary {
    Add,
    Sub,
    Mul,
    MatMul,
}

fn binary(a: Value, b: Value, op: Binary) -> Value {
    fn apply<const D: usize>(a: Tensor<D>, b: Tensor<D>, op: Binary) -> Tensor<D> {
        match op {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::MatMul => a.matmul(b),
        }
    }
    match (a, b) {
        (Value::F1(a), Value::F1(b)) => Value::F1(apply(a, b, op)),
        (Value::F2(a), Value::F2(b)) => Value::F2(apply(a, b, op)),
        (Value::F3(a), Value::F3(b)) => Value::F3(apply(a, b, op)),
        (Value::F4(a), Value::F4(b)) => Value::F4(apply(a, b, op)),
        (Value::F5(a), Value::F5(b)) => Value::F5(apply(a, b, op)),
        (a, b) => panic!("ranks of {:?} and {:?} differ: shape inference let them pass", a.shape(), b.shape()),
    }
}

/// Sum of two values of one shape.
pub(crate) fn add(a: Value, b: Value) -> Value {
    binary(a, b, Binary::Add)
}

fn concat(inputs: Vec<Value>, axis: usize) -> Value {
    macro_rules! all {
        ($variant:ident) => {
            Value::$variant(Tensor::cat(
                inputs
                    .into_iter()
                    .filter_map(|v| if let Value::$variant(x) = v { Some(x) } else { None })
                    .collect(),
                axis,
            ))
        };
    }
    match inputs[0] {
        Value::F1(_) => all!(F1),
        Value::F2(_) => all!(F2),
        Value::F3(_) => all!(F3),
        Value::F4(_) => all!(F4),
        Value::F5(_) => all!(F5),
        Value::Ids(_) => panic!("integers are not concatenated"),
    }
}

/// From `range.0` to before `range.1` of one axis.
fn slice(x: Value, axis: usize, range: (usize, usize)) -> Value {
    let mut ranges: Vec<(usize, usize)> = x.shape().into_iter().map(|length| (0, length)).collect();
    ranges[axis] = range;
    slice_axes(x, &ranges)
}

/// The given range of each axis.
pub(crate) fn slice_axes(x: Value, ranges: &[(usize, usize)]) -> Value {
    with_rank!(x, x => {
        let lengths = x.dims();
        let mut x = x;
        for (axis, &(start, end)) in ranges.iter().enumerate() {
            if (start, end) != (0, lengths[axis]) {
                x = x.narrow(axis, start, end - start);
            }
        }
        x
    })
}

fn transpose(x: Value, order: &[usize]) -> Value {
    fn to<const D: usize>(order: &[usize]) -> [usize; D] {
        std::array::from_fn(|i| order[i])
    }
    with_rank!(x, x => permute(x, to(order)))
}
