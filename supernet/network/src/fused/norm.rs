//! GroupNorm (+ SiLU) and LayerNorm on slices.

use rayon::prelude::*;

use super::simd::{LANES, fold, sigmoid, sum, vectorised};

/// What a norm's backward needs besides its inputs.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    /// Per group or row.
    pub mean: Vec<f32>,
    /// 1/√(variance + ε).
    pub inverse_deviation: Vec<f32>,
}

/// Geometry of a GroupNorm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    pub channels: usize,
    pub groups: usize,
    pub area: usize,
    pub eps: f32,
    pub silu: bool,
}

impl Groups {
    fn per_group(&self) -> usize {
        self.channels / self.groups
    }

    fn len(&self) -> usize {
        self.per_group() * self.area
    }
}

/// y, and the moments of each (image, group).
pub(super) fn group_norm(x: &[f32], weight: &[f32], bias: &[f32], g: Groups) -> (Vec<f32>, Moments) {
    let count = x.len() / g.len();
    let mut y = vec![0.0; x.len()];
    let mut moments = vec![(0.0, 0.0); count];
    y.par_chunks_mut(g.len()).zip(x.par_chunks(g.len())).zip(&mut moments).enumerate().for_each(
        |(index, ((y, x), moment))| {
            let (mean, inverse) = mean_and_inverse(x, g.eps);
            *moment = (mean, inverse);
            let first = index % g.groups * g.per_group();
            for (c, (y, x)) in y.chunks_mut(g.area).zip(x.chunks(g.area)).enumerate() {
                let scale = weight[first + c] * inverse;
                affine(x, y, scale, bias[first + c] - mean * scale, g.silu);
            }
        },
    );
    (y, unzip(moments))
}

/// Gradients of x, weight and bias.
pub(super) fn group_norm_backward(
    grad: &[f32],
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    moments: &Moments,
    g: Groups,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut dx = vec![0.0; x.len()];
    // Per image and channel: Σ dz and Σ dz·x̂.
    let mut sums = vec![[0.0f32; 2]; x.len() / g.area];
    dx.par_chunks_mut(g.len()).zip(sums.par_chunks_mut(g.per_group())).enumerate().for_each(
        |(index, (dx, sums))| {
            let (mean, inverse) = (moments.mean[index], moments.inverse_deviation[index]);
            let range = index * g.len()..(index + 1) * g.len();
            let (x, grad) = (&x[range.clone()], &grad[range]);
            let first = index % g.groups * g.per_group();
            let (mut total, mut total_normal) = (0.0, 0.0);
            for (c, sums) in sums.iter_mut().enumerate() {
                let at = c * g.area..(c + 1) * g.area;
                let (w, b) = (weight[first + c], bias[first + c]);
                *sums = before_norm(&x[at.clone()], &grad[at.clone()], &mut dx[at], [mean, inverse, w, b], g.silu);
                total += w * sums[0];
                total_normal += w * sums[1];
            }
            let (a, b) = (total / g.len() as f32, total_normal / g.len() as f32);
            for c in 0..g.per_group() {
                let at = c * g.area..(c + 1) * g.area;
                through_norm(&x[at.clone()], &mut dx[at], [mean, inverse, weight[first + c], a, b]);
            }
        },
    );
    let (mut dw, mut db) = (vec![0.0; g.channels], vec![0.0; g.channels]);
    for image in sums.chunks(g.channels) {
        for (c, sums) in image.iter().enumerate() {
            db[c] += sums[0];
            dw[c] += sums[1];
        }
    }
    (dx, dw, db)
}

/// Rows handled by one task: fixed, so that sums do not depend on the number of threads.
const ROWS: usize = 128;

/// y, and the moments of each row.
pub(super) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) -> (Vec<f32>, Moments) {
    let width = weight.len();
    let mut y = vec![0.0; x.len()];
    let mut moments = vec![(0.0, 0.0); x.len() / width];
    y.par_chunks_mut(ROWS * width)
        .zip(x.par_chunks(ROWS * width))
        .zip(moments.par_chunks_mut(ROWS))
        .for_each(|((y, x), moments)| layer_rows(x, y, moments, weight, bias, eps));
    (y, unzip(moments))
}

/// Gradients of x, weight and bias.
pub(super) fn layer_norm_backward(
    grad: &[f32],
    x: &[f32],
    weight: &[f32],
    moments: &Moments,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut dx = vec![0.0; x.len()];
    let tasks = (x.len() / width).div_ceil(ROWS);
    let mut sums = vec![0.0; tasks * 2 * width];
    dx.par_chunks_mut(ROWS * width).zip(sums.par_chunks_mut(2 * width)).enumerate().for_each(
        |(task, (dx, sums))| {
            let at = task * ROWS * width..task * ROWS * width + dx.len();
            let rows = task * ROWS..task * ROWS + dx.len() / width;
            let given = Rows {
                x: &x[at.clone()],
                grad: &grad[at],
                mean: &moments.mean[rows.clone()],
                inverse_deviation: &moments.inverse_deviation[rows],
            };
            layer_rows_backward(given, weight, dx, sums);
        },
    );
    let (mut dw, mut db) = (vec![0.0; width], vec![0.0; width]);
    for part in sums.chunks(2 * width) {
        for c in 0..width {
            dw[c] += part[c];
            db[c] += part[width + c];
        }
    }
    (dx, dw, db)
}

fn unzip(moments: Vec<(f32, f32)>) -> Moments {
    let (mean, inverse_deviation) = moments.into_iter().unzip();
    Moments { mean, inverse_deviation }
}

vectorised! {
    /// Mean and 1/√(variance + ε), in two passes.
    fn mean_and_inverse(x: &[f32], eps: f32) -> (f32, f32) {
        let count = x.len() as f32;
        let mean = sum(x, |x| x) / count;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
        (mean, 1.0 / (variance + eps).sqrt())
    }
}

vectorised! {
    /// y = scale·x + offset, then SiLU.
    fn affine(x: &[f32], y: &mut [f32], scale: f32, offset: f32, silu: bool) {
        if silu {
            for (y, &x) in y.iter_mut().zip(x) {
                let z = scale * x + offset;
                *y = z * sigmoid(z);
            }
        } else {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = scale * x + offset;
            }
        }
    }
}

vectorised! {
    /// Gradient before the SiLU into `dz`; returns Σ dz and Σ dz·x̂. `numbers` are mean, inverse, gain and offset.
    fn before_norm(x: &[f32], grad: &[f32], dz: &mut [f32], numbers: [f32; 4], silu: bool) -> [f32; 2] {
        let [mean, inverse, weight, bias] = numbers;
        if silu {
            for ((dz, &grad), &x) in dz.iter_mut().zip(grad).zip(x) {
                let z = (x - mean) * inverse * weight + bias;
                let s = sigmoid(z);
                *dz = grad * s * (1.0 + z * (1.0 - s));
            }
        } else {
            dz.copy_from_slice(grad);
        }
        let (mut plain, mut normal) = ([0.0f32; LANES], [0.0f32; LANES]);
        for (dz, x) in dz.chunks(LANES).zip(x.chunks(LANES)) {
            for (lane, (&dz, &x)) in dz.iter().zip(x).enumerate() {
                plain[lane] += dz;
                normal[lane] += dz * (x - mean) * inverse;
            }
        }
        [fold(&plain), fold(&normal)]
    }
}

vectorised! {
    /// dx = (dz·w − a − x̂·b)·inverse in place. `numbers` are mean, inverse, w, a and b.
    fn through_norm(x: &[f32], dz: &mut [f32], numbers: [f32; 5]) {
        let [mean, inverse, weight, a, b] = numbers;
        for (dz, &x) in dz.iter_mut().zip(x) {
            *dz = (*dz * weight - a - (x - mean) * inverse * b) * inverse;
        }
    }
}

vectorised! {
    /// LayerNorm of some rows.
    fn layer_rows(x: &[f32], y: &mut [f32], moments: &mut [(f32, f32)], weight: &[f32], bias: &[f32], eps: f32) {
        let width = weight.len();
        for ((y, x), moment) in y.chunks_mut(width).zip(x.chunks(width)).zip(moments) {
            let mean = sum(x, |x| x) / width as f32;
            let inverse = 1.0 / (sum(x, |x| (x - mean) * (x - mean)) / width as f32 + eps).sqrt();
            *moment = (mean, inverse);
            for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = (x - mean) * inverse * w + b;
            }
        }
    }
}

/// Some rows of a LayerNorm, as its backward reads them.
pub(super) struct Rows<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    /// Per row.
    mean: &'a [f32],
    inverse_deviation: &'a [f32],
}

vectorised! {
    /// Gradients of some rows; `sums` takes the gain's and then the offset's.
    fn layer_rows_backward(rows: Rows<'_>, weight: &[f32], dx: &mut [f32], sums: &mut [f32]) {
        let Rows { x, grad, mean, inverse_deviation } = rows;
        let width = weight.len();
        let (dw, db) = sums.split_at_mut(width);
        for (row, ((dx, x), grad)) in dx.chunks_mut(width).zip(x.chunks(width)).zip(grad.chunks(width)).enumerate() {
            let (mean, inverse) = (mean[row], inverse_deviation[row]);
            let (mut plain, mut normal) = ([0.0f32; LANES], [0.0f32; LANES]);
            for start in (0..width).step_by(LANES) {
                for i in start..width.min(start + LANES) {
                    let (x_hat, dz) = ((x[i] - mean) * inverse, grad[i] * weight[i]);
                    plain[i - start] += dz;
                    normal[i - start] += dz * x_hat;
                    dw[i] += grad[i] * x_hat;
                    db[i] += grad[i];
                }
            }
            let (a, b) = (fold(&plain) / width as f32, fold(&normal) / width as f32);
            for i in 0..width {
                dx[i] = (grad[i] * weight[i] - a - (x[i] - mean) * inverse * b) * inverse;
            }
        }
    }
}
