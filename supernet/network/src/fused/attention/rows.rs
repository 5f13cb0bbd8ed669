//! Attention of few queries, one after another.

use super::{Given, Operands, Shape};
use crate::fused::simd::{LANES, exp, fold, sum, vectorised};

/// `[rows, columns]` to `[columns, rows]`.
#[inline(always)]
fn transpose(x: &[f32], columns: usize, y: &mut [f32]) {
    let rows = x.len() / columns;
    for (row, x) in x.chunks(columns).enumerate() {
        for (column, &x) in x.iter().enumerate() {
            y[column * rows + row] = x;
        }
    }
}

/// y += a·x
#[inline(always)]
fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// Scores of one query against all keys, `kt` being `[depth, keys]`.
#[inline(always)]
fn score_row(scores: &mut [f32], q: &[f32], kt: &[f32], row: usize, s: &Shape) {
    scores.fill(0.0);
    for (&q, kt) in q.iter().zip(kt.chunks(s.keys)) {
        add_scaled(scores, q * s.scale, kt);
    }
    if s.causal && row + 1 < s.keys {
        scores[row + 1..].fill(f32::NEG_INFINITY);
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (lane, (&a, &b)) in a.iter().zip(b).enumerate() {
            lanes[lane] += a * b;
        }
    }
    fold(&lanes)
}

vectorised! {
    fn pair_forward(operands: Operands<'_>, out: &mut [f32], lse: &mut [f32], scratch: &mut [f32], s: Shape) {
        let Operands { q, k, v } = operands;
        let (kt, scores) = scratch.split_at_mut(s.keys * s.depth);
        transpose(k, s.depth, kt);
        let rows = q.chunks(s.depth).zip(out.chunks_mut(s.depth_values)).zip(lse.iter_mut()).enumerate();
        for (row, ((q, out), lse)) in rows {
            score_row(scores, q, kt, row, &s);
            let most = scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            for score in scores.iter_mut() {
                // exp() stops at e⁻⁸⁷: a hidden key must weigh nothing.
                *score = if *score == f32::NEG_INFINITY { 0.0 } else { exp(*score - most) };
            }
            let total = sum(scores, |x| x);
            *lse = most + total.ln();
            out.fill(0.0);
            for (&p, v) in scores.iter().zip(v.chunks(s.depth_values)) {
                add_scaled(out, p / total, v);
            }
        }
    }
}

vectorised! {
    fn pair_backward(
        given: Given<'_>, dq: &mut [f32], dk: &mut [f32], dv: &mut [f32], scratch: &mut [f32], s: Shape,
    ) {
        let Given { operands: Operands { q, k, v }, out, lse, grad } = given;
        let (kt, rest) = scratch.split_at_mut(s.keys * s.depth);
        let (vt, rest) = rest.split_at_mut(s.keys * s.depth_values);
        let (p, dp) = rest.split_at_mut(s.keys);
        transpose(k, s.depth, kt);
        transpose(v, s.depth_values, vt);
        for row in 0..s.queries {
            let q = &q[row * s.depth..][..s.depth];
            let at = row * s.depth_values..(row + 1) * s.depth_values;
            let (grad, out) = (&grad[at.clone()], &out[at]);
            score_row(p, q, kt, row, &s);
            let lse = lse[row];
            for p in p.iter_mut() {
                *p = if *p == f32::NEG_INFINITY { 0.0 } else { exp(*p - lse) };
            }
            dp.fill(0.0);
            for (&grad, vt) in grad.iter().zip(vt.chunks(s.keys)) {
                add_scaled(dp, grad, vt);
            }
            let shared = dot(grad, out);
            let dq = &mut dq[row * s.depth..][..s.depth];
            for key in 0..s.keys {
                let ds = p[key] * (dp[key] - shared) * s.scale;
                add_scaled(&mut dv[key * s.depth_values..][..s.depth_values], p[key], grad);
                add_scaled(dq, ds, &k[key * s.depth..][..s.depth]);
                add_scaled(&mut dk[key * s.depth..][..s.depth], ds, q);
            }
        }
    }
}
