//! The same operations composed of Burn's: what other backends run, and what the fused ones are tested against.

use burn::tensor::{Int, Tensor, activation};

/// See [`crate::group_norm`].
pub fn group_norm(
    x: Tensor<4>,
    weight: Option<Tensor<1>>,
    bias: Option<Tensor<1>>,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let rows: Tensor<2> = x.reshape([batch * groups, channels / groups * height * width]);
    let mut y: Tensor<4> = normalise(rows, eps).reshape([batch, channels, height, width]);
    if let Some(weight) = weight {
        y = y * weight.reshape([1, channels, 1, 1]);
    }
    if let Some(bias) = bias {
        y = y + bias.reshape([1, channels, 1, 1]);
    }
    if silu { activation::silu(y) } else { y }
}

/// See [`crate::layer_norm`].
pub fn layer_norm(x: Tensor<2>, weight: Option<Tensor<1>>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<2> {
    scale_rows(normalise(x, eps), weight, bias)
}

/// See [`crate::rms_norm`].
pub fn rms_norm(x: Tensor<2>, weight: Option<Tensor<1>>, eps: f64) -> Tensor<2> {
    let size = x.clone().square().mean_dim(1).add_scalar(eps).sqrt();
    scale_rows(x / size, weight, None)
}

/// See [`crate::attention`].
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f64, causal: bool) -> Tensor<4> {
    let scores = q.matmul(k.transpose()).mul_scalar(scale);
    let scores = if causal { mask_future(scores) } else { scores };
    activation::softmax(scores, 3).matmul(v)
}

/// See [`crate::softmax`].
pub fn softmax(x: Tensor<2>) -> Tensor<2> {
    activation::softmax(x, 1)
}

/// See [`crate::silu`].
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

/// See [`crate::gelu`].
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// See [`crate::geglu`].
pub fn geglu(x: Tensor<2>) -> Tensor<2> {
    let [rows, both] = x.dims();
    let half = both / 2;
    x.clone().slice([0..rows, 0..half]) * activation::gelu(x.slice([0..rows, half..both]))
}

/// See [`crate::linear`].
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    scale_rows(x.matmul(weight.transpose()), None, bias)
}

/// (x − mean) / √(variance + ε) of each row.
fn normalise(rows: Tensor<2>, eps: f64) -> Tensor<2> {
    let centred = rows.clone() - rows.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    centred / variance.add_scalar(eps).sqrt()
}

fn scale_rows(x: Tensor<2>, weight: Option<Tensor<1>>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let x = match weight {
        Some(weight) => x * weight.unsqueeze(),
        None => x,
    };
    match bias {
        Some(bias) => x + bias.unsqueeze(),
        None => x,
    }
}

fn mask_future(scores: Tensor<4>) -> Tensor<4> {
    let [batch, heads, queries, keys] = scores.dims();
    let device = scores.device();
    let query = Tensor::<1, Int>::arange(0..queries as i64, &device).reshape([1, 1, queries, 1]);
    let key = Tensor::<1, Int>::arange(0..keys as i64, &device).reshape([1, 1, 1, keys]);
    let shape = [1, 1, queries, keys];
    let future = key.expand(shape).greater(query.expand(shape));
    scores.mask_fill(future.expand([batch, heads, queries, keys]), f32::NEG_INFINITY)
}
