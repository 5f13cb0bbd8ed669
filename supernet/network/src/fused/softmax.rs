//! Softmax over rows on slices.

use rayon::prelude::*;

use super::simd::{exp, sum, vectorised};

/// Elements of one task, about.
const TASK: usize = 1 << 14;

fn rows_per_task(width: usize) -> usize {
    TASK / width + 1
}

/// exp(x) / Σ exp(x) for each row.
pub(super) fn forward(x: &[f32], width: usize) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    let task = rows_per_task(width) * width;
    y.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(y, x)| softmax(x, y, width));
    y
}

/// y·(grad − Σ grad·y) for each row.
pub(super) fn backward(y: &[f32], grad: &[f32], width: usize) -> Vec<f32> {
    let mut dx = vec![0.0; y.len()];
    let task = rows_per_task(width) * width;
    dx.par_chunks_mut(task)
        .zip(y.par_chunks(task))
        .zip(grad.par_chunks(task))
        .for_each(|((dx, y), grad)| softmax_backward(y, grad, dx, width));
    dx
}

vectorised! {
    fn softmax(x: &[f32], y: &mut [f32], width: usize) {
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let most = x.iter().fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most });
            for (y, &x) in y.iter_mut().zip(x) {
                *y = exp(x - most);
            }
            let inverse = 1.0 / sum(y, |y| y);
            y.iter_mut().for_each(|y| *y *= inverse);
        }
    }
}

vectorised! {
    fn softmax_backward(y: &[f32], grad: &[f32], dx: &mut [f32], width: usize) {
        let rows = y.chunks_exact(width).zip(grad.chunks_exact(width));
        for ((y, grad), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            for ((dx, &y), &grad) in dx.iter_mut().zip(y).zip(grad) {
                *dx = y * grad;
            }
            let shared = sum(dx, |x| x);
            for (dx, &y) in dx.iter_mut().zip(y) {
                *dx -= y * shared;
            }
        }
    }
}
