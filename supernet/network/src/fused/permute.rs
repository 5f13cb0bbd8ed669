//! Axes in another order, as a copy: what reads it need not walk strides.

use rayon::prelude::*;

/// Axes of a graph's values at most.
pub(super) const AXES: usize = 5;

/// Order of the axes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    axes: [usize; AXES],
    rank: usize,
}

impl Order {
    /// New axis i is the old axis `axes[i]`; `None` for more axes than graphs have.
    pub(super) fn new(axes: &[usize]) -> Option<Self> {
        let mut order = Self { axes: [0; AXES], rank: axes.len() };
        order.axes.get_mut(..axes.len())?.copy_from_slice(axes);
        Some(order)
    }

    /// The order that undoes this one.
    pub(super) fn inverse(self) -> Self {
        let mut inverse = self;
        for (new, &old) in self.axes[..self.rank].iter().enumerate() {
            inverse.axes[old] = new;
        }
        inverse
    }

    /// The shape that a shape becomes.
    pub(super) fn shape(self, old: &[usize]) -> Vec<usize> {
        self.axes[..self.rank].iter().map(|&axis| old[axis]).collect()
    }
}

/// An axis of the result: its length, and the step in the source.
#[derive(Clone, Copy)]
struct Axis {
    length: usize,
    step: usize,
}

/// Elements of one task, about.
const TASK: usize = 1 << 15;
/// Rows and columns of a block that is turned.
const BLOCK: usize = 16;

/// `x`, whose shape is `shape`, with its axes in another order.
pub(super) fn permuted(x: &[f32], shape: &[usize], order: Order) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    if x.is_empty() {
        return y;
    }
    let axes = merged(shape, order);
    let Some((&first, rest)) = axes.split_first() else {
        y.copy_from_slice(x);
        return y;
    };
    let row: usize = rest.iter().map(|axis| axis.length).product();
    let rows = TASK / row + 1;
    y.par_chunks_mut(rows * row).enumerate().for_each(|(task, y)| {
        let first = Axis { length: y.len() / row, ..first };
        let mut axes = axes.clone();
        axes[0] = first;
        copy(&x[task * rows * first.step..], y, &axes);
    });
    y
}

/// Axes of the result, without those of length 1, neighbours that run on in the source as one.
fn merged(shape: &[usize], order: Order) -> Vec<Axis> {
    let step = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let mut axes: Vec<Axis> = Vec::new();
    for &axis in &order.axes[..order.rank] {
        let next = Axis { length: shape[axis], step: step(axis) };
        match axes.last_mut() {
            _ if next.length == 1 => {}
            Some(last) if last.step == next.length * next.step => {
                *last = Axis { length: last.length * next.length, step: next.step };
            }
            _ => axes.push(next),
        }
    }
    axes
}

/// Fills `y` with what the axes say of `x`.
fn copy(x: &[f32], y: &mut [f32], axes: &[Axis]) {
    let Some((&last, outer)) = axes.split_last() else { return };
    if last.step == 1 {
        let mut rows = y.chunks_exact_mut(last.length);
        return each_place(outer, |from, _| {
            if let Some(row) = rows.next() {
                copy_run(row, &x[from..from + last.length]);
            }
        });
    }
    // Where the source runs on: that axis and the last one are turned against each other, block by block.
    let Some(along) = outer.iter().position(|axis| axis.step == 1) else { return };
    let inner = outer[along];
    let stride = outer[along + 1..].iter().map(|axis| axis.length).product::<usize>() * last.length;
    let mut others = outer.to_vec();
    others[along].length = 1;
    let lengths: Vec<usize> = outer.iter().map(|axis| axis.length).collect();
    each_place(&others, |from, place| {
        let to = place.iter().zip(&lengths).fold(0, |to, (&at, &length)| to * length + at) * last.length;
        turn(&x[from..], last.step, &mut y[to..], stride, inner.length, last.length);
    });
}

/// y[r·stride + c] = x[r + c·step]
fn turn(x: &[f32], step: usize, y: &mut [f32], stride: usize, rows: usize, columns: usize) {
    for column in (0..columns).step_by(BLOCK) {
        let width = BLOCK.min(columns - column);
        for row in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - row);
            if (width, height) == (BLOCK, BLOCK) {
                let mut block = [[0.0f32; BLOCK]; BLOCK];
                for (c, line) in block.iter_mut().enumerate() {
                    line.copy_from_slice(&x[row + (column + c) * step..][..BLOCK]);
                }
                for r in 0..BLOCK {
                    let line = &mut y[(row + r) * stride + column..][..BLOCK];
                    for (c, y) in line.iter_mut().enumerate() {
                        *y = block[c][r];
                    }
                }
                continue;
            }
            for r in row..row + height {
                let line = &mut y[r * stride + column..][..width];
                for (c, y) in line.iter_mut().enumerate() {
                    *y = x[r + (column + c) * step];
                }
            }
        }
    }
}

/// Calls `visit(start in the source, place)` for every place of the axes, the last moving fastest.
fn each_place(axes: &[Axis], mut visit: impl FnMut(usize, &[usize])) {
    let mut place = [0; AXES];
    let place = &mut place[..axes.len()];
    let mut from = 0;
    loop {
        visit(from, place);
        let mut axis = axes.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            place[axis] += 1;
            from += axes[axis].step;
            if place[axis] < axes[axis].length {
                break;
            }
            from -= axes[axis].length * axes[axis].step;
            place[axis] = 0;
        }
    }
}

/// Short runs: a call costs more than they do.
fn copy_run(to: &mut [f32], from: &[f32]) {
    if to.len() > 64 {
        to.copy_from_slice(from);
    } else {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element by element.
    fn slow(x: &[f32], shape: &[usize], axes: &[usize]) -> Vec<f32> {
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let new: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
        let element = |mut index: usize| {
            let mut from = 0;
            for (place, &axis) in axes.iter().enumerate().rev() {
                from += index % new[place] * strides[axis];
                index /= new[place];
            }
            x[from]
        };
        (0..x.len()).map(element).collect()
    }

    #[test]
    fn every_order_of_axes() {
        for (shape, axes) in [
            (vec![3, 40], vec![1, 0]),
            (vec![300, 200], vec![1, 0]),
            (vec![2, 17, 33], vec![0, 2, 1]),
            (vec![2, 5, 4, 6], vec![0, 2, 1, 3]),
            (vec![2, 24, 8, 64], vec![0, 3, 2, 1]),
            (vec![2, 24, 1, 64], vec![0, 3, 2, 1]),
            (vec![2, 64, 8, 24], vec![0, 2, 3, 1]),
            (vec![2, 3, 4, 5, 6], vec![4, 3, 2, 1, 0]),
            (vec![2, 3, 4, 5, 6], vec![2, 0, 4, 1, 3]),
            (vec![1, 1, 7], vec![2, 0, 1]),
            (vec![1, 1], vec![1, 0]),
        ] {
            let x: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
            let order = Order::new(&axes).unwrap();
            let y = permuted(&x, &shape, order);
            assert_eq!(y, slow(&x, &shape, &axes), "{shape:?} {axes:?}");
            assert_eq!(permuted(&y, &order.shape(&shape), order.inverse()), x, "{shape:?} {axes:?}");
        }
    }
}
