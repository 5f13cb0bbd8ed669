//! SiLU, exact GELU and GEGLU on slices.

use rayon::prelude::*;

use super::simd::{exp, sigmoid, vectorised};

/// Elements handled by one task.
const CHUNK: usize = 1 << 14;

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pointwise {
    Silu,
    Gelu,
}

/// f(x).
pub(super) fn forward(x: &[f32], f: Pointwise) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| match f {
        Pointwise::Silu => silu(x, y),
        Pointwise::Gelu => gelu(x, y),
    });
    y
}

/// grad·f′(x).
pub(super) fn backward(x: &[f32], grad: &[f32], f: Pointwise) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(grad.par_chunks(CHUNK)).for_each(
        |((dx, x), grad)| match f {
            Pointwise::Silu => silu_backward(x, grad, dx),
            Pointwise::Gelu => gelu_backward(x, grad, dx),
        },
    );
    dx
}

/// value·gelu(gate) for rows of `half` values and then `half` gates (Shazeer 2020).
pub(super) fn gated(x: &[f32], half: usize) -> Vec<f32> {
    let mut y = vec![0.0; x.len() / 2];
    let rows = CHUNK / half + 1;
    y.par_chunks_mut(rows * half).zip(x.par_chunks(rows * 2 * half)).for_each(|(y, x)| gated_rows(x, y, half));
    y
}

/// Gradient of [`gated`].
pub(super) fn gated_backward(x: &[f32], grad: &[f32], half: usize) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    let rows = CHUNK / half + 1;
    dx.par_chunks_mut(rows * 2 * half)
        .zip(x.par_chunks(rows * 2 * half))
        .zip(grad.par_chunks(rows * half))
        .for_each(|((dx, x), grad)| gated_rows_backward(x, grad, dx, half));
    dx
}

/// Φ(x) by the error function's rational approximation (Abramowitz & Stegun 7.1.26, |error| ≤ 1.5·10⁻⁷).
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    let tail = 0.5 * p * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// 1/√(2π), of the normal density φ(x) = e^(−x²/2) / √(2π).
const ROOT: f32 = 0.398_942_3;

vectorised! {
    fn gated_rows(x: &[f32], y: &mut [f32], half: usize) {
        for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(half)) {
            let (value, gate) = x.split_at(half);
            for ((y, &value), &gate) in y.iter_mut().zip(value).zip(gate) {
                *y = value * (gate * normal_cdf(gate));
            }
        }
    }
}

vectorised! {
    fn gated_rows_backward(x: &[f32], grad: &[f32], dx: &mut [f32], half: usize) {
        let rows = x.chunks_exact(2 * half).zip(grad.chunks_exact(half));
        for ((x, grad), dx) in rows.zip(dx.chunks_exact_mut(2 * half)) {
            let ((value, gate), (dvalue, dgate)) = (x.split_at(half), dx.split_at_mut(half));
            for i in 0..half {
                let (value, gate, grad) = (value[i], gate[i], grad[i]);
                let cdf = normal_cdf(gate);
                dvalue[i] = grad * (gate * cdf);
                dgate[i] = grad * value * (cdf + gate * ROOT * exp(-0.5 * gate * gate));
            }
        }
    }
}

vectorised! {
    fn silu(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x * sigmoid(x);
        }
    }
}

vectorised! {
    fn silu_backward(x: &[f32], grad: &[f32], dx: &mut [f32]) {
        for ((dx, &x), &grad) in dx.iter_mut().zip(x).zip(grad) {
            let s = sigmoid(x);
            *dx = grad * s * (1.0 + x * (1.0 - s));
        }
    }
}

vectorised! {
    fn gelu(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = x * normal_cdf(x);
        }
    }
}

vectorised! {
    fn gelu_backward(x: &[f32], grad: &[f32], dx: &mut [f32]) {
        for ((dx, &x), &grad) in dx.iter_mut().zip(x).zip(grad) {
            *dx = grad * (normal_cdf(x) + x * ROOT * exp(-0.5 * x * x));
        }
    }
}
