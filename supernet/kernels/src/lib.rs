//! Tensor operations that Burn's CPU backend composes of many small ones, as one each.

pub mod composed;

use burn::tensor::Tensor;

/// GroupNorm (Wu & He 2018) of `x`, `[B, C, H, W]`, with SiLU behind it where asked. `weight` and `bias` are `[C]`.
pub fn group_norm(
    x: Tensor<4>,
    weight: Option<Tensor<1>>,
    bias: Option<Tensor<1>>,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Tensor<4> {
    composed::group_norm(x, weight, bias, groups, eps, silu)
}

/// LayerNorm (Ba et al. 2016) of the rows of `x`, `[N, C]`. `weight` and `bias` are `[C]`.
pub fn layer_norm(x: Tensor<2>, weight: Option<Tensor<1>>, bias: Option<Tensor<1>>, eps: f64) -> Tensor<2> {
    composed::layer_norm(x, weight, bias, eps)
}

/// RMSNorm (Zhang & Sennrich 2019) of the rows of `x`, `[N, C]`. `weight` is `[C]`.
pub fn rms_norm(x: Tensor<2>, weight: Option<Tensor<1>>, eps: f64) -> Tensor<2> {
    composed::rms_norm(x, weight, eps)
}

/// softmax(q·kᵀ·scale)·v: `q` is `[B, H, N, D]`, `k` `[B, H, M, D]`, `v` `[B, H, M, E]`, the result `[B, H, N, E]`.
/// Causal: query `i` sees the keys up to `i`.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f64, causal: bool) -> Tensor<4> {
    composed::attention(q, k, v, scale, causal)
}

/// softmax of the rows of `x`, `[N, C]`.
pub fn softmax(x: Tensor<2>) -> Tensor<2> {
    composed::softmax(x)
}

/// x·sigmoid(x).
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    composed::silu(x)
}

/// x·Φ(x), Φ being the normal distribution (not its tanh approximation).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    composed::gelu(x)
}

/// The first half of each row of `x`, `[N, 2C]`, times gelu of the second: `[N, C]`.
pub fn geglu(x: Tensor<2>) -> Tensor<2> {
    composed::geglu(x)
}

/// x·weightᵀ + bias: `x` is `[N, in]`, `weight` `[out, in]` as in torch, `bias` `[out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    composed::linear(x, weight, bias)
}
