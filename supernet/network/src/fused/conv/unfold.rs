//! Blocks of a batch as columns, and columns added back (im2col and col2im).

use super::geometry::Geometry;

/// Whole images, or rows of one.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// The first image, counted in the slice.
    pub image: usize,
    images: usize,
    /// The first row of the output.
    pub row: usize,
    rows: usize,
}

impl Block {
    pub(super) fn columns(&self, g: Geometry) -> usize {
        self.images * self.piece(g)
    }

    /// Columns of one image.
    pub(super) fn piece(&self, g: Geometry) -> usize {
        self.rows * g.out[1]
    }
}

pub(super) fn blocks(count: usize, g: Geometry) -> impl Iterator<Item = Block> {
    let (images, rows) = (g.images(), g.rows());
    (0..count).step_by(images).flat_map(move |image| {
        (0..g.out[0]).step_by(rows).map(move |row| Block {
            image,
            images: images.min(count - image),
            row,
            rows: rows.min(g.out[0] - row),
        })
    })
}

/// Where a kernel's column `kx` finds its input: outputs `from..to` read from `from·stride + kx − before`.
fn reach(k: usize, axis: usize, g: Geometry) -> (usize, usize) {
    let (before, stride) = (g.before[axis], g.stride[axis]);
    let from = before.saturating_sub(k).div_ceil(stride).min(g.out[axis]);
    let to = (g.size[axis] + before).saturating_sub(k).div_ceil(stride).min(g.out[axis]);
    (from, to.max(from))
}

/// Calls `row(unfolded row, its start, image's input row start, from, to)` for each run of columns that read one input row.
fn each_run(block: Block, g: Geometry, mut run: impl FnMut(usize, Option<(usize, usize, usize)>)) {
    let columns = block.columns(g);
    let [kernel_rows, kernel_columns] = g.kernel;
    for channel in 0..g.channels_in {
        for ky in 0..kernel_rows {
            let (top, bottom) = reach(ky, 0, g);
            for kx in 0..kernel_columns {
                let (from, to) = reach(kx, 1, g);
                let line = ((channel * kernel_rows + ky) * kernel_columns + kx) * columns;
                for image in 0..block.images {
                    let plane = ((block.image + image) * g.channels_in + channel) * g.area_in();
                    for row in 0..block.rows {
                        let start = line + image * block.piece(g) + row * g.out[1];
                        let out_row = block.row + row;
                        let inside = out_row >= top && out_row < bottom && from < to;
                        run(
                            start,
                            inside.then(|| {
                                let y = out_row * g.stride[0] + ky - g.before[0];
                                let x = from * g.stride[1] + kx - g.before[1];
                                (plane + y * g.size[1] + x, from, to)
                            }),
                        );
                    }
                }
            }
        }
    }
}

/// Columns of a block: `[I·kh·kw, columns]`.
pub(super) fn unfold(x: &[f32], unfolded: &mut [f32], block: Block, g: Geometry) {
    if g.is_product() {
        return gather_planes(x, unfolded, block, g, g.channels_in);
    }
    let width = g.out[1];
    each_run(block, g, |start, source| {
        let out = &mut unfolded[start..start + width];
        let Some((source, from, to)) = source else { return out.fill(0.0) };
        out[..from].fill(0.0);
        out[to..].fill(0.0);
        if g.stride[1] == 1 {
            copy(&mut out[from..to], &x[source..source + to - from]);
        } else {
            let taken = x[source..].iter().step_by(g.stride[1]);
            out[from..to].iter_mut().zip(taken).for_each(|(out, x)| *out = *x);
        }
    });
}

/// Adds columns back to where they were read.
pub(super) fn fold(unfolded: &[f32], dx: &mut [f32], block: Block, g: Geometry) {
    each_run(block, g, |start, target| {
        let Some((target, from, to)) = target else { return };
        let columns = &unfolded[start + from..start + to];
        let places = dx[target..].iter_mut().step_by(g.stride[1]);
        places.zip(columns).for_each(|(dx, value)| *dx += value);
    });
}

/// A block's gradient as `[O, columns]`.
pub(super) fn gather(grad: &[f32], out: &mut [f32], block: Block, g: Geometry) {
    gather_planes(grad, out, block, g, g.channels_out);
}

fn gather_planes(planes: &[f32], out: &mut [f32], block: Block, g: Geometry, channels: usize) {
    let piece = block.piece(g);
    for (channel, row) in out.chunks_mut(block.columns(g)).enumerate() {
        for (image, row) in row.chunks_mut(piece).enumerate() {
            let start = ((block.image + image) * channels + channel) * g.area() + block.row * g.out[1];
            row.copy_from_slice(&planes[start..start + piece]);
        }
    }
}

/// Short runs: a call costs more than they do.
pub(super) fn copy(to: &mut [f32], from: &[f32]) {
    if to.len() >= 32 {
        to.copy_from_slice(from);
    } else {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}
