//! Attention on slices: the scores of all queries are never kept (Dao et al. 2022).

mod rows;
mod tiles;

use rayon::prelude::*;

/// Shapes: `[batch, heads, queries, depth]` against `[batch, heads, keys, depth]`, rows contiguous.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub queries: usize,
    pub keys: usize,
    pub depth: usize,
    pub depth_values: usize,
    pub scale: f32,
    pub causal: bool,
}

/// Queries from which tiles are worth their packing.
const TILED: usize = 16;

/// (Batch, head) pairs handled by one task, so that tiny ones are worth a task.
fn pairs_per_task(s: &Shape) -> usize {
    (1 << 16) / (s.queries * s.keys * s.depth).max(1) + 1
}

/// Output, and the log-sum-exp of each query's scores.
pub(super) fn forward(q: &[f32], k: &[f32], v: &[f32], s: Shape) -> (Vec<f32>, Vec<f32>) {
    let (nq, nk, nv, no) =
        (s.queries * s.depth, s.keys * s.depth, s.keys * s.depth_values, s.queries * s.depth_values);
    let pairs = q.len() / nq;
    let (mut out, mut lse) = (vec![0.0; pairs * no], vec![0.0; pairs * s.queries]);
    let task = pairs_per_task(&s);
    out.par_chunks_mut(task * no).zip(lse.par_chunks_mut(task * s.queries)).enumerate().for_each(
        |(index, (out, lse))| {
            let mut scratch = vec![0.0; if s.queries < TILED { s.keys * (s.depth + 1) } else { 0 }];
            let mut panels = tiles::Panels::default();
            for (i, (out, lse)) in out.chunks_mut(no).zip(lse.chunks_mut(s.queries)).enumerate() {
                let pair = index * task + i;
                let (q, k, v) = (&q[pair * nq..][..nq], &k[pair * nk..][..nk], &v[pair * nv..][..nv]);
                if s.queries < TILED {
                    rows::pair_forward(q, k, v, out, lse, &mut scratch, s);
                } else {
                    tiles::pair_forward(q, k, v, out, lse, &mut panels, s);
                }
            }
        },
    );
    (out, lse)
}

/// Gradients of q, k and v.
#[allow(clippy::too_many_arguments)]
pub(super) fn backward(
    grad: &[f32],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &[f32],
    lse: &[f32],
    s: Shape,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (nq, nk, nv, no) =
        (s.queries * s.depth, s.keys * s.depth, s.keys * s.depth_values, s.queries * s.depth_values);
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let task = pairs_per_task(&s);
    dq.par_chunks_mut(task * nq)
        .zip(dk.par_chunks_mut(task * nk))
        .zip(dv.par_chunks_mut(task * nv))
        .enumerate()
        .for_each(|(index, ((dq, dk), dv))| {
            let mut scratch =
                vec![0.0; if s.queries < TILED { s.keys * (s.depth + s.depth_values + 2) } else { 0 }];
            let mut panels = tiles::Panels::default();
            let rows = dq.chunks_mut(nq).zip(dk.chunks_mut(nk)).zip(dv.chunks_mut(nv)).enumerate();
            for (i, ((dq, dk), dv)) in rows {
                let pair = index * task + i;
                let given = Given {
                    grad: &grad[pair * no..][..no],
                    q: &q[pair * nq..][..nq],
                    k: &k[pair * nk..][..nk],
                    v: &v[pair * nv..][..nv],
                    out: &out[pair * no..][..no],
                    lse: &lse[pair * s.queries..][..s.queries],
                };
                if s.queries < TILED {
                    rows::pair_backward(&given, dq, dk, dv, &mut scratch, s);
                } else {
                    tiles::pair_backward(&given, dq, dk, dv, &mut panels, s);
                }
            }
        });
    (dq, dk, dv)
}

/// What the backward of one (batch, head) reads.
pub(super) struct Given<'a> {
    pub grad: &'a [f32],
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub out: &'a [f32],
    pub lse: &'a [f32],
}
