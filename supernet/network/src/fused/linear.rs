//! y = x·Wᵀ + b on slices.

use rayon::prelude::*;

use super::{
    product::{Matrix, multiply},
    simd::vectorised,
};

/// Shapes of a linear layer: `x: [rows, inputs]`, `weight: [outputs, inputs]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// Rows of the output that one task begins with the bias.
const ROWS: usize = 256;

/// `[rows, outputs]`; an empty bias is none.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], l: Layer) -> Vec<f32> {
    let mut y = vec![0.0; l.rows * l.outputs];
    if !bias.is_empty() {
        y.par_chunks_mut(ROWS * l.outputs).for_each(|y| {
            for row in y.chunks_mut(l.outputs) {
                row.copy_from_slice(bias);
            }
        });
    }
    let (x, weight) = (Matrix::rows(x, l.inputs), Matrix::columns(weight, l.inputs));
    multiply([l.rows, l.outputs, l.inputs], &mut y, !bias.is_empty(), x, weight, true);
    y
}

/// Gradients of x, weight and bias, those that are wanted.
pub(super) fn backward(
    grad: &[f32],
    x: &[f32],
    weight: &[f32],
    l: Layer,
    wanted: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    let [for_x, for_weight, for_bias] = wanted;
    let dx = for_x.then(|| {
        let mut dx = vec![0.0; l.rows * l.inputs];
        let (grad, weight) = (Matrix::rows(grad, l.outputs), Matrix::rows(weight, l.inputs));
        multiply([l.rows, l.inputs, l.outputs], &mut dx, false, grad, weight, true);
        dx
    });
    let dw = for_weight.then(|| {
        let mut dw = vec![0.0; l.outputs * l.inputs];
        let (grad, x) = (Matrix::columns(grad, l.outputs), Matrix::rows(x, l.inputs));
        multiply([l.outputs, l.inputs, l.rows], &mut dw, false, grad, x, true);
        dw
    });
    let db = for_bias.then(|| column_sums(grad, l.outputs));
    [dx, dw, db]
}

/// Sums of columns: of blocks of rows first, so that long sums keep their digits.
pub(super) fn column_sums(x: &[f32], columns: usize) -> Vec<f32> {
    let parts = x.par_chunks(ROWS * columns).map(|x| {
        let mut sums = vec![0.0; columns];
        add_rows(x, &mut sums);
        sums
    });
    let parts: Vec<Vec<f32>> = parts.collect();
    let mut sums = vec![0.0; columns];
    for part in &parts {
        add_rows(part, &mut sums);
    }
    sums
}

vectorised! {
    fn add_rows(x: &[f32], sums: &mut [f32]) {
        for row in x.chunks_exact(sums.len()) {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        }
    }
}
