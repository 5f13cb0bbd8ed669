//! The compositions: what other devices run, and what the fused operations are tested against.

use burn::tensor::{DType, FloatDType, Int, Tensor, activation};

/// GroupNorm (Wu & He 2018, eq. 1 and 6).
pub(crate) fn group_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    eps: f32,
    silu: bool,
) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let rows: Tensor<2> = x.reshape([batch * groups, channels / groups * height * width]);
    let centred = rows.clone() - rows.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    let normal = centred / variance.add_scalar(eps).sqrt();
    let normal: Tensor<4> = normal.reshape([batch, channels, height, width]);
    let gain: Tensor<4> = weight.reshape([1, channels, 1, 1]);
    let y = normal * gain + bias.reshape([1, channels, 1, 1]);
    if silu { activation::silu(y) } else { y }
}

/// LayerNorm (Ba et al. 2016).
pub(crate) fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f32) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().square().mean_dim(1);
    centred / variance.add_scalar(eps).sqrt() * weight.unsqueeze() + bias.unsqueeze()
}

/// Scaled dot-product attention (Vaswani et al. 2017, eq. 1).
pub(crate) fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f32, causal: bool) -> Tensor<4> {
    let dtype = q.dtype();
    if matches!(dtype, DType::F16 | DType::BF16) {
        // Products before their scale may pass f16's largest number, and a row's exponentials are many.
        let scores = q.mul_scalar(scale).matmul(k.transpose()).cast(FloatDType::F32);
        return attention_weights(scores, causal).cast(FloatDType::from(dtype)).matmul(v);
    }
    attention_weights(q.matmul(k.transpose()).mul_scalar(scale), causal).matmul(v)
}

fn attention_weights(scores: Tensor<4>, causal: bool) -> Tensor<4> {
    activation::softmax(if causal { mask_future(scores) } else { scores }, 3)
}

fn mask_future(scores: Tensor<4>) -> Tensor<4> {
    let [batch, heads, rows, columns] = scores.dims();
    let device = scores.device();
    let row = Tensor::<1, Int>::arange(0..rows as i64, &device).reshape([1, 1, rows, 1]);
    let column = Tensor::<1, Int>::arange(0..columns as i64, &device).reshape([1, 1, 1, columns]);
    let future = column.expand([1, 1, rows, columns]).greater(row.expand([1, 1, rows, columns]));
    scores.mask_fill(future.expand([batch, heads, rows, columns]), f32::NEG_INFINITY)
}

/// x·Wᵀ + b.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let y = x.matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// GEGLU (Shazeer 2020).
pub(crate) fn gated(x: Tensor<2>) -> Tensor<2> {
    let half = x.dims()[1] / 2;
    x.clone().narrow(1, 0, half) * activation::gelu(x.narrow(1, half, half))
}
