//! Linear layers, softmax, GEGLU and the order of axes as an extension of Burn's CPU backend.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};
use burn_flex::FlexTensor;

use super::{
    extension::{lengths, register, tensor, with_slice},
    linear::{self, Layer},
    permute::{Order, permuted},
    pointwise, softmax as rows,
};

#[backend_extension(Flex, Autodiff)]
pub trait TokenBackend: Backend {
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    fn fused_softmax(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn fused_gated(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn fused_permute(x: FloatTensor<Self>, order: Order) -> FloatTensor<Self>;
}

/// `x: [N, I]`, `weight: [O, I]`, `bias: [O]`, or empty for none.
pub(super) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as TokenBackend>::fused_linear(x, weight, bias))
}

pub(super) fn softmax(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as TokenBackend>::fused_softmax(x.into_dispatch()))
}

pub(super) fn gated(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as TokenBackend>::fused_gated(x.into_dispatch()))
}

pub(super) fn permute<const D: usize>(x: Tensor<D>, order: Order) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as TokenBackend>::fused_permute(x.into_dispatch(), order))
}

fn layer_of(x: &FlexTensor, weight: &FlexTensor) -> Layer {
    let (x, weight) = (lengths(x), lengths(weight));
    Layer { rows: x[0], inputs: weight[1], outputs: weight[0] }
}

fn run_linear(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let l = layer_of(x, weight);
    let y = with_slice(x, |x| with_slice(weight, |w| with_slice(bias, |b| linear::forward(x, w, b, l))));
    tensor(y, vec![l.rows, l.outputs])
}

fn run_softmax(x: &FlexTensor) -> FlexTensor {
    let shape = lengths(x);
    tensor(with_slice(x, |x| rows::forward(x, shape[1])), shape)
}

fn run_gated(x: &FlexTensor) -> FlexTensor {
    let [rows, half] = [lengths(x)[0], lengths(x)[1] / 2];
    tensor(with_slice(x, |x| pointwise::gated(x, half)), vec![rows, half])
}

fn run_permute(x: &FlexTensor, order: Order) -> FlexTensor {
    let shape = lengths(x);
    tensor(with_slice(x, |x| permuted(x, &shape, order)), order.shape(&shape))
}

impl TokenBackend for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        run_linear(&x, &weight, &bias)
    }

    fn fused_softmax(x: FlexTensor) -> FlexTensor {
        run_softmax(&x)
    }

    fn fused_gated(x: FlexTensor) -> FlexTensor {
        run_gated(&x)
    }

    fn fused_permute(x: FlexTensor, order: Order) -> FlexTensor {
        run_permute(&x, order)
    }
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 3> for LinearBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let (x, weight) = ops.state;
        let l = layer_of(&x, &weight);
        let parents = ops.parents.map(|parent| parent.map(|node| node.id));
        let wanted = std::array::from_fn(|i| parents[i].is_some());
        let parts = with_slice(&grad, |grad| {
            with_slice(&x, |x| with_slice(&weight, |w| linear::backward(grad, x, w, l, wanted)))
        });
        let shapes = [lengths(&x), lengths(&weight), vec![l.outputs]];
        for ((parent, part), shape) in parents.into_iter().zip(parts).zip(shapes) {
            if let (Some(parent), Some(part)) = (parent, part) {
                grads.register::<Flex>(parent, tensor(part, shape));
            }
        }
    }
}

#[derive(Debug)]
struct SoftmaxBackward;

impl Backward<Flex, 1> for SoftmaxBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let y = ops.state;
        let shape = lengths(&y);
        let dx = with_slice(&y, |y| with_slice(&grad, |grad| rows::backward(y, grad, shape[1])));
        register(ops.parents.map(|parent| parent.map(|node| node.id)), [tensor(dx, shape)], grads);
    }
}

#[derive(Debug)]
struct GatedBackward;

impl Backward<Flex, 1> for GatedBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let x = ops.state;
        let shape = lengths(&x);
        let dx = with_slice(&x, |x| with_slice(&grad, |grad| pointwise::gated_backward(x, grad, shape[1] / 2)));
        register(ops.parents.map(|parent| parent.map(|node| node.id)), [tensor(dx, shape)], grads);
    }
}

#[derive(Debug)]
struct PermuteBackward;

impl Backward<Flex, 1> for PermuteBackward {
    type State = Order;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let part = run_permute(&grad, ops.state.inverse());
        register(ops.parents.map(|parent| parent.map(|node| node.id)), [part], grads);
    }
}

impl<C: CheckpointStrategy> TokenBackend for Autodiff<Flex, C> {
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let input = x.primitive().to_contiguous();
        let y = run_linear(&input, weight.primitive(), bias.primitive());
        match LinearBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((input, weight.primitive().to_contiguous()), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_softmax(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let y = run_softmax(x.primitive());
        match SoftmaxBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(y.clone(), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_gated(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let input = x.primitive().to_contiguous();
        let y = run_gated(&input);
        match GatedBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(input, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_permute(x: FloatTensor<Self>, order: Order) -> FloatTensor<Self> {
        let y = run_permute(x.primitive(), order);
        match PermuteBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(order, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
