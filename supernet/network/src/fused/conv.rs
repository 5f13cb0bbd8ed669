//! Convolution on slices: columns of a few images at a time (im2col, Chellapilla et al. 2006), then one product.
//!
//! Flex unfolds a whole batch before it multiplies, and again for each gradient; a block that stays in cache is
//! unfolded here, and gradients that are not needed are not computed.

mod geometry;
mod unfold;

use rayon::prelude::*;

pub use geometry::Geometry;
use unfold::{blocks, copy, fold, gather, unfold};

use super::{
    panel::{self, COLUMNS as LANES, ROWS, pack, packed},
    product::{Matrix, multiply},
};

/// Parts into which a batch is divided for the gradient of the weight, each with a sum of its own.
const PARTS: usize = 16;
/// Floats that those sums may hold together.
const PARTS_FLOATS: usize = 1 << 24;

/// `[N, O, H', W']` of `x: [N, I, H, W]`, `weight: [O, I, kh, kw]`, `bias: [O]`.
pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], g: Geometry) -> Vec<f32> {
    let (image_in, image_out) = (g.channels_in * g.area_in(), g.channels_out * g.area());
    let mut y = vec![0.0; x.len() / image_in * image_out];
    let images = g.images();
    // One image alone leaves the threads to the product.
    let alone = x.len() <= images * image_in;
    let left = Left::new(Matrix::rows(weight, g.depth()), g.channels_out, g.depth(), alone);
    y.par_chunks_mut(images * image_out).zip(x.par_chunks(images * image_in)).for_each_init(
        Scratch::default,
        |scratch, (y, x)| {
            for block in blocks(y.len() / image_out, g) {
                let columns = block.columns(g);
                let unfolded = scratch.unfolded.sized(g.depth() * columns);
                unfold(x, unfolded, block, g);
                let product = scratch.product.sized(g.channels_out * columns);
                left.multiply(unfolded, columns, product, &mut scratch.panel);
                for (channel, row) in product.chunks(columns).enumerate() {
                    let pieces = row.chunks(block.piece(g)).enumerate();
                    for (image, piece) in pieces {
                        let start = (block.image + image) * image_out + channel * g.area() + block.row * g.out[1];
                        let out = &mut y[start..start + piece.len()];
                        out.iter_mut().zip(piece).for_each(|(out, value)| *out = value + bias[channel]);
                    }
                }
            }
        },
    );
    y
}

/// What the backward reads: input and weight of the forward, and the gradient of its output; of a batch or of a part.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub x: &'a [f32],
    pub weight: &'a [f32],
    pub grad: &'a [f32],
}

/// Gradients of input, weight and bias, those that are wanted.
pub(super) fn backward(given: Given<'_>, g: Geometry, wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
    let Given { x, weight, grad } = given;
    let (image_in, image_out) = (g.channels_in * g.area_in(), g.channels_out * g.area());
    let count = x.len() / image_in;
    let [for_x, for_weight, for_bias] = wanted;
    if for_x && let Some(turned) = g.turned() {
        // The gradient of the input is a convolution of the gradient: nothing is added up twice.
        let dx = forward(grad, &turned_weight(weight, g), &vec![0.0; g.channels_in], turned);
        let [_, dw, db] = backward(given, g, [false, for_weight, for_bias]);
        return [Some(dx), dw, db];
    }
    let parts = if for_weight { (PARTS_FLOATS / weight.len()).clamp(1, PARTS) } else { count };
    let part = count.div_ceil(parts).next_multiple_of(g.images());
    let alone = count <= part;
    let mut dx = vec![0.0; if for_x { x.len() } else { 0 }];
    let tasks: Vec<(usize, &mut [f32])> = if for_x {
        dx.chunks_mut(part * image_in).enumerate().collect()
    } else {
        (0..count.div_ceil(part)).map(|index| (index, Default::default())).collect()
    };
    let tasks = if for_x || for_weight { tasks } else { Vec::new() };
    let sums: Vec<Vec<f32>> = tasks
        .into_par_iter()
        .map(|(index, dx)| {
            let end = ((index + 1) * part).min(count);
            let x = &x[index * part * image_in..end * image_in];
            let grad = &grad[index * part * image_out..end * image_out];
            part_backward(Given { x, weight, grad }, dx, g, for_weight, alone)
        })
        .collect();
    let dw = for_weight.then(|| added(sums, weight.len()));
    let db = for_bias.then(|| {
        let sum = |channel: usize| {
            let plane = |image: usize| &grad[image * image_out + channel * g.area()..][..g.area()];
            (0..count).map(|image| f64::from(plane(image).iter().sum::<f32>())).sum::<f64>() as f32
        };
        (0..g.channels_out).into_par_iter().map(sum).collect()
    });
    [for_x.then_some(dx), dw, db]
}

/// Fills `dx` unless it is empty; returns the part's gradient of the weight, empty where not wanted.
fn part_backward(given: Given<'_>, dx: &mut [f32], g: Geometry, for_weight: bool, alone: bool) -> Vec<f32> {
    let Given { x, weight, grad } = given;
    let depth = g.depth();
    let mut dw = vec![0.0; if for_weight { weight.len() } else { 0 }];
    let mut scratch = Scratch::default();
    for block in blocks(x.len() / (g.channels_in * g.area_in()), g) {
        let columns = block.columns(g);
        let product = scratch.product.sized(g.channels_out * columns);
        gather(grad, product, block, g);
        let unfolded = scratch.unfolded.sized(depth * columns);
        if for_weight {
            unfold(x, unfolded, block, g);
            let (grad, unfolded) = (Matrix::rows(product, columns), Matrix::columns(unfolded, columns));
            multiply([g.channels_out, depth, columns], &mut dw, true, grad, unfolded, alone);
        }
        if !dx.is_empty() {
            let (weight, grad) = (Matrix::columns(weight, depth), Matrix::rows(product, columns));
            multiply([depth, columns, g.channels_out], unfolded, false, weight, grad, alone);
            fold(unfolded, dx, block, g);
        }
    }
    dw
}

/// `[O, I, kh, kw]` as `[I, O, kh, kw]`, kernels turned by half a circle.
fn turned_weight(weight: &[f32], g: Geometry) -> Vec<f32> {
    let taps = g.kernel[0] * g.kernel[1];
    let mut turned = vec![0.0; weight.len()];
    for (index, kernel) in weight.chunks(taps).enumerate() {
        let (out, input) = (index / g.channels_in, index % g.channels_in);
        let place = &mut turned[(input * g.channels_out + out) * taps..][..taps];
        place.iter_mut().zip(kernel.iter().rev()).for_each(|(place, x)| *place = *x);
    }
    turned
}

/// The left side of many products.
enum Left<'a> {
    Packed { panels: Vec<f32>, rows: usize, depth: usize },
    Plain { matrix: Matrix<'a>, rows: usize, depth: usize, parallel: bool },
}

impl<'a> Left<'a> {
    /// `alone`: each product runs on all threads, for its caller runs on one.
    fn new(matrix: Matrix<'a>, rows: usize, depth: usize, alone: bool) -> Self {
        if alone || !panel::worthwhile() {
            return Self::Plain { matrix, rows, depth, parallel: alone };
        }
        let mut panels = vec![0.0; packed::<ROWS>(rows, depth)];
        pack::<ROWS>(matrix.values, matrix.strides.map(isize::unsigned_abs), rows, depth, &mut panels);
        Self::Packed { panels, rows, depth }
    }

    /// `out = left·right`, `right` and `out` of so many columns.
    fn multiply(&self, right: &[f32], columns: usize, out: &mut [f32], room: &mut Buffer) {
        let (panels, rows, depth) = match self {
            Self::Plain { matrix, rows, depth, parallel } => {
                return multiply(
                    [*rows, columns, *depth],
                    out,
                    false,
                    *matrix,
                    Matrix::rows(right, columns),
                    *parallel,
                );
            }
            Self::Packed { panels, rows, depth } => (panels, *rows, *depth),
        };
        let room = room.sized(depth * LANES);
        for column in (0..columns).step_by(LANES) {
            let width = LANES.min(columns - column);
            pack::<LANES>(&right[column..], [1, columns], width, depth, room);
            for (index, panel) in panels.chunks_exact(ROWS * depth).enumerate() {
                let sums = panel::tile(panel, room);
                let row = index * ROWS;
                for (row, sums) in (row..rows.min(row + ROWS)).zip(&sums) {
                    copy(&mut out[row * columns + column..][..width], &sums[..width]);
                }
            }
        }
    }
}

/// The sum of the parts, in their order.
fn added(parts: Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_else(|| vec![0.0; length]);
    for part in parts {
        sum.iter_mut().zip(&part).for_each(|(sum, x)| *sum += x);
    }
    sum
}

#[derive(Default)]
struct Scratch {
    unfolded: Buffer,
    product: Buffer,
    panel: Buffer,
}

#[derive(Default)]
struct Buffer(Vec<f32>);

impl Buffer {
    fn sized(&mut self, length: usize) -> &mut [f32] {
        if self.0.len() < length {
            self.0.resize(length, 0.0);
        }
        &mut self.0[..length]
    }
}
