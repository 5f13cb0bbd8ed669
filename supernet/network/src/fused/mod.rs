//! Operations that Burn composes from many small ones, as one each on the CPU backend, with their own backward.
//!
//! On other devices the same functions run the composition. Results do not depend on the number of threads: work is
//! split by output, and sums over it are taken in a fixed order.

#[cfg(feature = "flex")]
mod adamw;
#[cfg(feature = "flex")]
mod attention;
mod compose;
#[cfg(feature = "flex")]
mod conv;
#[cfg(feature = "flex")]
mod extension;
#[cfg(feature = "flex")]
mod linear;
#[cfg(feature = "flex")]
mod norm;
#[cfg(feature = "flex")]
mod panel;
#[cfg(feature = "flex")]
mod permute;
#[cfg(feature = "flex")]
mod pointwise;
#[cfg(feature = "flex")]
mod product;
#[cfg(feature = "flex")]
mod simd;
#[cfg(feature = "flex")]
mod softmax;
#[cfg(feature = "flex")]
mod tokens;

use burn::tensor::{Tensor, module, ops::ConvOptions};

/// Convolution of `[B, I, H, W]` by `[O, I, kh, kw]`; padding is top, left, bottom, right.
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: [usize; 2],
    padding: [usize; 4],
    groups: usize,
) -> Tensor<4> {
    let [top, left, bottom, right] = padding;
    #[cfg(feature = "flex")]
    if groups == 1 && extension::serves(&x) {
        let ([_, channels_in, height, width], [channels_out, _, rows, columns]) = (x.dims(), weight.dims());
        let out =
            [(height + top + bottom - rows) / stride[0] + 1, (width + left + right - columns) / stride[1] + 1];
        let geometry = conv::Geometry {
            channels_in,
            channels_out,
            size: [height, width],
            out,
            kernel: [rows, columns],
            stride,
            before: [top, left],
        };
        let bias = bias.unwrap_or_else(|| Tensor::zeros([channels_out], &weight.device()));
        return extension::conv2d(x, weight, bias, geometry);
    }
    let options = ConvOptions::new_with_padding(stride, [(top, bottom), (left, right)], [1, 1], groups);
    module::conv2d(x, weight, bias, options)
}

/// GroupNorm over `[B, C, H, W]`, with SiLU behind it where asked.
pub(crate) fn group_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    groups: usize,
    eps: f32,
    silu: bool,
) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if extension::serves(&x) {
        return extension::group_norm(x, weight, bias, groups, eps, silu);
    }
    compose::group_norm(x, weight, bias, groups, eps, silu)
}

/// LayerNorm over the last axis of `[N, C]`.
pub(crate) fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f32) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if extension::serves(&x) {
        return extension::layer_norm(x, weight, bias, eps);
    }
    compose::layer_norm(x, weight, bias, eps)
}

/// softmax(q·kᵀ·scale)·v on `[N, heads, L, D]`.
pub(crate) fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f32, causal: bool) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if extension::serves(&q) {
        return extension::attention(q, k, v, scale, causal);
    }
    compose::attention(q, k, v, scale, causal)
}

/// x·sigmoid(x).
pub(crate) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if extension::serves(&x) {
        return extension::silu(x);
    }
    burn::tensor::activation::silu(x)
}

/// x·Φ(x).
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if extension::serves(&x) {
        return extension::gelu(x);
    }
    burn::tensor::activation::gelu(x)
}

/// x·Wᵀ + b of `[N, I]` by `[O, I]`.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if extension::serves(&x) {
        let bias = bias.unwrap_or_else(|| Tensor::zeros([0], &weight.device()));
        return tokens::linear(x, weight, bias);
    }
    compose::linear(x, weight, bias)
}

/// Softmax over the last axis of `[N, C]`.
pub(crate) fn softmax(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if extension::serves(&x) {
        return tokens::softmax(x);
    }
    burn::tensor::activation::softmax(x, 1)
}

/// GEGLU (Shazeer 2020): the first half of `[N, 2·C]` times the GELU of the second.
pub(crate) fn gated(x: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if extension::serves(&x) {
        return tokens::gated(x);
    }
    compose::gated(x)
}

/// Axes in another order; on the CPU a copy, which what follows would need anyway.
pub(crate) fn permute<const D: usize>(x: Tensor<D>, order: [usize; D]) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(axes) = permute::Order::new(&order)
        && extension::serves(&x)
    {
        return tokens::permute(x, axes);
    }
    x.permute(order)
}

/// Settings of one step of AdamW for one tensor.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub decay: f32,
    /// What the gradient is multiplied by, as clipping asks.
    pub scale: f64,
    /// Number of this step, from 1; moments that come into the first are not read.
    pub time: i32,
}

/// One step of AdamW (Loshchilov & Hutter 2019) in one pass over weights, gradient, first and second moment; gives weights
/// and moments, in place where nobody else holds them, with the bits of Burn's AdamW. On devices that leave it to Burn, an
/// error that gives the tensors back.
pub fn adamw(tensors: [Tensor<1>; 4], step: AdamWStep) -> Result<[Tensor<1>; 3], Box<[Tensor<1>; 4]>> {
    #[cfg(feature = "flex")]
    if tensors.iter().all(extension::serves) {
        return Ok(adamw::adamw(tensors, step));
    }
    let _ = step;
    Err(Box::new(tensors))
}

/// Sums of squares of parts of a tensor, in a fixed order: long sums of Burn's on the CPU are unordered and would not
/// repeat.
pub fn squares(x: &Tensor<1>) -> Vec<f32> {
    #[cfg(feature = "flex")]
    if extension::serves(x) {
        return adamw::squares(x.clone()).into_data_as::<f32>().try_into_vec().unwrap_or_default();
    }
    const PART: usize = 1 << 20;
    let [length] = x.dims();
    let part = |start: usize| {
        let part = x.clone().narrow(0, start, PART.min(length - start));
        part.square().sum().into_scalar::<f32>()
    };
    (0..length).step_by(PART).map(part).collect()
}

#[cfg(test)]
mod tests;
