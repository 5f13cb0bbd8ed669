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

/// Queries, keys and values: of all (batch, head) pairs, or of one.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
}

impl Operands<'_> {
    /// Those of one (batch, head).
    fn pair(&self, pair: usize, s: &Shape) -> Self {
        let (nq, nk, nv) = (s.queries * s.depth, s.keys * s.depth, s.keys * s.depth_values);
        Self { q: &self.q[pair * nq..][..nq], k: &self.k[pair * nk..][..nk], v: &self.v[pair * nv..][..nv] }
    }
}

/// What the backward reads, of all (batch, head) pairs or of one: the operands, the forward's output, the log-sum-exp of
/// each query's scores, and the gradient of the output.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub operands: Operands<'a>,
    pub out: &'a [f32],
    pub lse: &'a [f32],
    pub grad: &'a [f32],
}

impl Given<'_> {
    /// That of one (batch, head).
    fn pair(&self, pair: usize, s: &Shape) -> Self {
        let no = s.queries * s.depth_values;
        Self {
            operands: self.operands.pair(pair, s),
            out: &self.out[pair * no..][..no],
            lse: &self.lse[pair * s.queries..][..s.queries],
            grad: &self.grad[pair * no..][..no],
        }
    }
}

/// Output, and the log-sum-exp of each query's scores.
pub(super) fn forward(operands: Operands<'_>, s: Shape) -> (Vec<f32>, Vec<f32>) {
    let no = s.queries * s.depth_values;
    let pairs = operands.q.len() / (s.queries * s.depth);
    let (mut out, mut lse) = (vec![0.0; pairs * no], vec![0.0; pairs * s.queries]);
    let task = pairs_per_task(&s);
    out.par_chunks_mut(task * no).zip(lse.par_chunks_mut(task * s.queries)).enumerate().for_each(
        |(index, (out, lse))| {
            let mut scratch = vec![0.0; if s.queries < TILED { s.keys * (s.depth + 1) } else { 0 }];
            let mut panels = tiles::Panels::default();
            for (i, (out, lse)) in out.chunks_mut(no).zip(lse.chunks_mut(s.queries)).enumerate() {
                let operands = operands.pair(index * task + i, &s);
                if s.queries < TILED {
                    rows::pair_forward(operands, out, lse, &mut scratch, s);
                } else {
                    tiles::pair_forward(operands, out, lse, &mut panels, s);
                }
            }
        },
    );
    (out, lse)
}

/// Gradients of q, k and v.
pub(super) fn backward(given: Given<'_>, s: Shape) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (nq, nk, nv) = (s.queries * s.depth, s.keys * s.depth, s.keys * s.depth_values);
    let Operands { q, k, v } = given.operands;
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
                let given = given.pair(index * task + i, &s);
                if s.queries < TILED {
                    rows::pair_backward(given, dq, dk, dv, &mut scratch, s);
                } else {
                    tiles::pair_backward(given, dq, dk, dv, &mut panels, s);
                }
            }
        });
    (dq, dk, dv)
}
