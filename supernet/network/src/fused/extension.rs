//! The fused operations as an extension of Burn's CPU backend.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, DispatchDevice, Flex,
        autodiff::{
            NodeId,
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::{DType, Shape, Tensor, TensorData},
};
use burn_flex::FlexTensor;

use super::{
    attention::{self as attend, Operands},
    conv::{self, Geometry},
    norm::{self, Groups, Moments},
    pointwise::{self, Pointwise},
};

/// Whether a tensor lives on the CPU backend in f32.
pub(super) fn serves<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

#[backend_extension(Flex, Autodiff)]
pub trait FusedBackend: Backend {
    fn fused_group_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        groups: usize,
        eps: f32,
        silu: bool,
    ) -> FloatTensor<Self>;

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;

    fn fused_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: f32,
        causal: bool,
    ) -> FloatTensor<Self>;

    fn fused_pointwise(x: FloatTensor<Self>, gelu: bool) -> FloatTensor<Self>;

    fn fused_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        g: Geometry,
    ) -> FloatTensor<Self>;
}

pub(super) fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, g: Geometry) -> Tensor<4> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedBackend>::fused_conv2d(x, weight, bias, g))
}

pub(super) fn group_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    eps: f32,
    silu: bool,
) -> Tensor<4> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedBackend>::fused_group_norm(x, weight, bias, groups, eps, silu))
}

pub(super) fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f32) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedBackend>::fused_layer_norm(x, weight, bias, eps))
}

pub(super) fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f32, causal: bool) -> Tensor<4> {
    let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedBackend>::fused_attention(q, k, v, scale, causal))
}

pub(super) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as FusedBackend>::fused_pointwise(x.into_dispatch(), false))
}

pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as FusedBackend>::fused_pointwise(x.into_dispatch(), true))
}

/// Contiguous floats of a tensor.
pub(super) fn with_slice<R>(x: &FlexTensor, f: impl FnOnce(&[f32]) -> R) -> R {
    match x.as_slice::<f32>() {
        Some(slice) => f(slice),
        None => f(x.to_contiguous().as_slice::<f32>().unwrap_or_default()),
    }
}

pub(super) fn lengths(x: &FlexTensor) -> Vec<usize> {
    x.layout().shape().to_vec()
}

pub(super) fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, Shape::from(shape)))
}

fn groups_of(x: &FlexTensor, groups: usize, eps: f32, silu: bool) -> Groups {
    let shape = lengths(x);
    Groups { channels: shape[1], groups, area: shape[2..].iter().product(), eps, silu }
}

fn attention_shape(q: &FlexTensor, k: &FlexTensor, v: &FlexTensor, scale: f32, causal: bool) -> attend::Shape {
    let (q, k, v) = (lengths(q), lengths(k), lengths(v));
    attend::Shape { queries: q[2], keys: k[2], depth: q[3], depth_values: v[3], scale, causal }
}

fn run_group_norm(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, g: Groups) -> (FlexTensor, Moments) {
    let (y, moments) =
        with_slice(x, |x| with_slice(weight, |w| with_slice(bias, |b| norm::group_norm(x, w, b, g))));
    (tensor(y, lengths(x)), moments)
}

fn run_layer_norm(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, eps: f32) -> (FlexTensor, Moments) {
    let (y, moments) =
        with_slice(x, |x| with_slice(weight, |w| with_slice(bias, |b| norm::layer_norm(x, w, b, eps))));
    (tensor(y, lengths(x)), moments)
}

fn run_attention(q: &FlexTensor, k: &FlexTensor, v: &FlexTensor, s: attend::Shape) -> (FlexTensor, Vec<f32>) {
    let (out, lse) =
        with_slice(q, |q| with_slice(k, |k| with_slice(v, |v| attend::forward(Operands { q, k, v }, s))));
    let mut shape = lengths(q);
    shape[3] = s.depth_values;
    (tensor(out, shape), lse)
}

fn run_conv2d(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, g: Geometry) -> FlexTensor {
    let y = with_slice(x, |x| with_slice(weight, |w| with_slice(bias, |b| conv::forward(x, w, b, g))));
    tensor(y, vec![lengths(x)[0], g.channels_out, g.out[0], g.out[1]])
}

fn run_pointwise(x: &FlexTensor, gelu: bool) -> FlexTensor {
    tensor(with_slice(x, |x| pointwise::forward(x, function(gelu))), lengths(x))
}

fn function(gelu: bool) -> Pointwise {
    if gelu { Pointwise::Gelu } else { Pointwise::Silu }
}

impl FusedBackend for Flex {
    fn fused_group_norm(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        groups: usize,
        eps: f32,
        silu: bool,
    ) -> FlexTensor {
        run_group_norm(&x, &weight, &bias, groups_of(&x, groups, eps, silu)).0
    }

    fn fused_layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f32) -> FlexTensor {
        run_layer_norm(&x, &weight, &bias, eps).0
    }

    fn fused_attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, scale: f32, causal: bool) -> FlexTensor {
        run_attention(&q, &k, &v, attention_shape(&q, &k, &v, scale, causal)).0
    }

    fn fused_pointwise(x: FlexTensor, gelu: bool) -> FlexTensor {
        run_pointwise(&x, gelu)
    }

    fn fused_conv2d(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, g: Geometry) -> FlexTensor {
        run_conv2d(&x, &weight, &bias, g)
    }
}

#[derive(Debug)]
struct GroupNormBackward;

impl Backward<Flex, 3> for GroupNormBackward {
    type State = (FlexTensor, FlexTensor, FlexTensor, Moments, Groups);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let (x, weight, bias, moments, g) = ops.state;
        let (dx, dw, db) = with_slice(&grad, |grad| {
            with_slice(&x, |x| {
                with_slice(&weight, |w| {
                    with_slice(&bias, |b| norm::group_norm_backward(grad, x, w, b, &moments, g))
                })
            })
        });
        let parts = [tensor(dx, lengths(&x)), tensor(dw, lengths(&weight)), tensor(db, lengths(&bias))];
        register(ops.parents.map(|parent| parent.map(|node| node.id)), parts, grads);
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl Backward<Flex, 3> for LayerNormBackward {
    type State = (FlexTensor, FlexTensor, FlexTensor, Moments);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let (x, weight, bias, moments) = ops.state;
        let (dx, dw, db) = with_slice(&grad, |grad| {
            with_slice(&x, |x| with_slice(&weight, |w| norm::layer_norm_backward(grad, x, w, &moments)))
        });
        let parts = [tensor(dx, lengths(&x)), tensor(dw, lengths(&weight)), tensor(db, lengths(&bias))];
        register(ops.parents.map(|parent| parent.map(|node| node.id)), parts, grads);
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = ([FlexTensor; 4], Vec<f32>, attend::Shape);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let ([q, k, v, out], lse, s) = ops.state;
        let (dq, dk, dv) = with_slice(&grad, |grad| {
            with_slice(&q, |q| {
                with_slice(&k, |k| {
                    with_slice(&v, |v| {
                        with_slice(&out, |out| {
                            let operands = Operands { q, k, v };
                            attend::backward(attend::Given { operands, out, lse: &lse, grad }, s)
                        })
                    })
                })
            })
        });
        let parts = [tensor(dq, lengths(&q)), tensor(dk, lengths(&k)), tensor(dv, lengths(&v))];
        register(ops.parents.map(|parent| parent.map(|node| node.id)), parts, grads);
    }
}

#[derive(Debug)]
struct PointwiseBackward;

impl Backward<Flex, 1> for PointwiseBackward {
    type State = (FlexTensor, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let (x, gelu) = ops.state;
        let dx = with_slice(&x, |x| with_slice(&grad, |grad| pointwise::backward(x, grad, function(gelu))));
        register(ops.parents.map(|parent| parent.map(|node| node.id)), [tensor(dx, lengths(&x))], grads);
    }
}

#[derive(Debug)]
struct ConvBackward;

impl Backward<Flex, 3> for ConvBackward {
    type State = (FlexTensor, FlexTensor, Geometry);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let (x, weight, g) = ops.state;
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        let wanted = std::array::from_fn(|i| parents[i].is_some());
        let parts = with_slice(&grad, |grad| {
            with_slice(&x, |x| {
                with_slice(&weight, |weight| conv::backward(conv::Given { x, weight, grad }, g, wanted))
            })
        });
        let shapes = [lengths(&x), lengths(&weight), vec![g.channels_out]];
        for ((parent, part), shape) in parents.into_iter().zip(parts).zip(shapes) {
            if let (Some(parent), Some(part)) = (parent, part) {
                grads.register::<Flex>(parent, tensor(part, shape));
            }
        }
    }
}

/// Registers the gradients of those parents that are tracked.
pub(super) fn register<const N: usize>(
    parents: [Option<NodeId>; N],
    parts: [FlexTensor; N],
    grads: &mut Gradients,
) {
    for (parent, part) in parents.into_iter().zip(parts) {
        if let Some(parent) = parent {
            grads.register::<Flex>(parent, part);
        }
    }
}

impl<C: CheckpointStrategy> FusedBackend for Autodiff<Flex, C> {
    fn fused_group_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        groups: usize,
        eps: f32,
        silu: bool,
    ) -> FloatTensor<Self> {
        let g = groups_of(x.primitive(), groups, eps, silu);
        let (y, moments) = run_group_norm(x.primitive(), weight.primitive(), bias.primitive(), g);
        match GroupNormBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = (
                    x.primitive().to_contiguous(),
                    weight.primitive().clone(),
                    bias.primitive().clone(),
                    moments,
                    g,
                );
                prep.finish(kept, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        let (y, moments) = run_layer_norm(x.primitive(), weight.primitive(), bias.primitive(), eps);
        match LayerNormBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept =
                    (x.primitive().to_contiguous(), weight.primitive().clone(), bias.primitive().clone(), moments);
                prep.finish(kept, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: f32,
        causal: bool,
    ) -> FloatTensor<Self> {
        let s = attention_shape(q.primitive(), k.primitive(), v.primitive(), scale, causal);
        let [a, b, c] = [q.primitive(), k.primitive(), v.primitive()].map(FlexTensor::to_contiguous);
        let (out, lse) = run_attention(&a, &b, &c, s);
        match AttentionBackward.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([a, b, c, out.clone()], lse, s), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn fused_pointwise(x: FloatTensor<Self>, gelu: bool) -> FloatTensor<Self> {
        let y = run_pointwise(x.primitive(), gelu);
        match PointwiseBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.primitive().to_contiguous(), gelu), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        g: Geometry,
    ) -> FloatTensor<Self> {
        let input = x.primitive().to_contiguous();
        let y = run_conv2d(&input, weight.primitive(), bias.primitive(), g);
        match ConvBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((input, weight.primitive().to_contiguous(), g), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
