//! Operations that Burn composes from many small ones, as one each on the CPU backend, with their own backward.
//!
//! On other devices the same functions run the composition. Results do not depend on the number of threads: work is
//! split by output, and sums over it are taken in a fixed order.

#[cfg(feature = "flex")]
mod attention;
mod compose;
#[cfg(feature = "flex")]
mod conv;
#[cfg(feature = "flex")]
mod extension;
#[cfg(feature = "flex")]
mod norm;
#[cfg(feature = "flex")]
mod pointwise;
#[cfg(feature = "flex")]
mod simd;

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

#[cfg(test)]
mod tests;
