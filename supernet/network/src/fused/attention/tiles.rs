//! Attention of many queries in tiles: scores of 32 queries against all keys at a time (after Dao et al. 2022).

use super::{Given, Operands, Shape};
use crate::fused::{
    panel::{COLUMNS, ROWS, Tile, pack, packed, tile},
    simd::{exp, vectorised},
};

/// Room for the packed operands and scores of one (batch, head).
#[derive(Default)]
pub(super) struct Panels {
    /// Left sides of scores: panels of 8 rows of one or two operands.
    rows: [Vec<f32>; 2],
    /// Left sides of outputs and gradients: panels of 8 columns of one or two operands.
    columns: [Vec<f32>; 2],
    /// Right sides of scores: 32 rows of one or two operands.
    lanes: [Vec<f32>; 2],
    /// Softmax weights of 32 lanes.
    weights: Vec<f32>,
    /// Scores of 32 lanes, or their gradients.
    scores: Vec<f32>,
}

/// Rows of `x`, scaled, as panels of `N`.
fn packed_rows<'a, const N: usize>(room: &'a mut Vec<f32>, x: &[f32], width: usize, scale: f32) -> &'a [f32] {
    let lines = x.len() / width;
    room.resize(packed::<N>(lines, width), 0.0);
    pack::<N>(x, [width, 1], lines, width, room);
    if scale != 1.0 {
        room.iter_mut().for_each(|x| *x *= scale);
    }
    room
}

/// Columns of `x`, scaled, as panels of rows of a tile.
fn packed_columns<'a>(room: &'a mut Vec<f32>, x: &[f32], width: usize, scale: f32) -> &'a [f32] {
    let lines = x.len() / width;
    room.resize(packed::<ROWS>(width, lines), 0.0);
    pack::<ROWS>(x, [1, width], width, lines, room);
    if scale != 1.0 {
        room.iter_mut().for_each(|x| *x *= scale);
    }
    room
}

/// out[lane, d] = factor[lane] · Σ left[d, ·]·right[·, lane]
fn turned_product(left: &[f32], right: &[f32], out: &mut [f32], width: usize, factor: &[f32; COLUMNS]) {
    let depth = right.len() / COLUMNS;
    for (index, rows) in left.chunks_exact(ROWS * depth).enumerate() {
        let sums = tile(rows, right);
        for (lane, out) in out.chunks_exact_mut(width).enumerate() {
            for (out, sums) in out[index * ROWS..].iter_mut().zip(&sums) {
                *out = sums[lane] * factor[lane];
            }
        }
    }
}

/// `N` numbers from `first` on; zeros behind the last.
fn numbers<const N: usize>(x: &[f32], first: usize) -> [f32; N] {
    std::array::from_fn(|i| x.get(first + i).copied().unwrap_or(0.0))
}

/// Output and log-sum-exp of one (batch, head).
pub(super) fn pair_forward(
    operands: Operands<'_>,
    out: &mut [f32],
    lse: &mut [f32],
    panels: &mut Panels,
    s: Shape,
) {
    let Panels { rows: [keys, _], columns: [values, _], lanes: [lanes, _], scores, .. } = panels;
    let keys = packed_rows::<ROWS>(keys, operands.k, s.depth, 1.0);
    let values = packed_columns(values, operands.v, s.depth_values, 1.0);
    scores.resize(s.keys.next_multiple_of(ROWS) * COLUMNS, 0.0);
    let blocks = operands.q.chunks(COLUMNS * s.depth).zip(out.chunks_mut(COLUMNS * s.depth_values));
    for (index, ((q, out), lse)) in blocks.zip(lse.chunks_mut(COLUMNS)).enumerate() {
        let q = packed_rows::<COLUMNS>(lanes, q, s.depth, s.scale);
        for (keys, scores) in
            keys.chunks_exact(ROWS * s.depth).zip(scores.as_chunks_mut::<COLUMNS>().0.chunks_exact_mut(ROWS))
        {
            scores.copy_from_slice(&tile(keys, q));
        }
        let scores = &mut scores.as_chunks_mut::<COLUMNS>().0[..s.keys];
        if s.causal {
            hide(scores, |key, lane| key > index * COLUMNS + lane);
        }
        let (most, mut total) = weigh(scores);
        for ((lse, most), total) in lse.iter_mut().zip(most).zip(total) {
            *lse = most + total.ln();
        }
        total.iter_mut().for_each(|total| *total = 1.0 / *total);
        turned_product(values, scores.as_flattened(), out, s.depth_values, &total);
    }
}

/// Gradients of one (batch, head).
pub(super) fn pair_backward(
    given: Given<'_>,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    panels: &mut Panels,
    s: Shape,
) {
    let outputs = given.out.chunks_exact(s.depth_values);
    let deltas: Vec<f32> = given
        .grad
        .chunks_exact(s.depth_values)
        .zip(outputs)
        .map(|(grad, out)| grad.iter().zip(out).map(|(a, b)| a * b).sum())
        .collect();
    query_gradient(given, &deltas, dq, panels, s);
    key_and_value_gradients(given, &deltas, [dk, dv], panels, s);
}

/// Gradient of the queries, 32 of them at a time; `deltas` are Σ gradient·output of each query.
fn query_gradient(given: Given<'_>, deltas: &[f32], dq: &mut [f32], panels: &mut Panels, s: Shape) {
    let Operands { q, k, v } = given.operands;
    let Panels { rows, columns: [k_columns, _], lanes, scores: ds, .. } = panels;
    let [k_rows, v_rows] = rows;
    let k_rows = packed_rows::<ROWS>(k_rows, k, s.depth, 1.0);
    let v_rows = packed_rows::<ROWS>(v_rows, v, s.depth_values, 1.0);
    let k_columns = packed_columns(k_columns, k, s.depth, s.scale);
    ds.resize(s.keys.next_multiple_of(ROWS) * COLUMNS, 0.0);
    let given_lanes = q.chunks(COLUMNS * s.depth).zip(given.grad.chunks(COLUMNS * s.depth_values));
    for (index, ((q, grad), dq)) in given_lanes.zip(dq.chunks_mut(COLUMNS * s.depth)).enumerate() {
        let first = index * COLUMNS;
        let [q_lanes, grad_lanes] = &mut *lanes;
        let q = packed_rows::<COLUMNS>(q_lanes, q, s.depth, s.scale);
        let grad = packed_rows::<COLUMNS>(grad_lanes, grad, s.depth_values, 1.0);
        let (lse, deltas) = (numbers(given.lse, first), numbers(deltas, first));
        let tiles = k_rows.chunks_exact(ROWS * s.depth).zip(v_rows.chunks_exact(ROWS * s.depth_values));
        for (panel, ((k, v), ds)) in tiles.zip(ds.as_chunks_mut::<COLUMNS>().0.chunks_exact_mut(ROWS)).enumerate() {
            let (mut scores, dp) = (tile(k, q), tile(v, grad));
            if s.causal {
                hide(&mut scores, |key, lane| panel * ROWS + key > first + lane);
            }
            through_lanes(&scores, &dp, ds, &lse, &deltas);
        }
        turned_product(k_columns, &ds[..s.keys * COLUMNS], dq, s.depth, &[1.0; COLUMNS]);
    }
}

/// Gradients of keys and values, 32 of them at a time; `deltas` are Σ gradient·output of each query.
fn key_and_value_gradients(
    given: Given<'_>,
    deltas: &[f32],
    [dk, dv]: [&mut [f32]; 2],
    panels: &mut Panels,
    s: Shape,
) {
    let Operands { q, k, v } = given.operands;
    let Panels { rows: [q_rows, grad_rows], columns, lanes, weights: p, scores: ds } = panels;
    let [q_columns, grad_columns] = columns;
    let q_rows = packed_rows::<ROWS>(q_rows, q, s.depth, s.scale);
    let grad_rows = packed_rows::<ROWS>(grad_rows, given.grad, s.depth_values, 1.0);
    let q_columns = packed_columns(q_columns, q, s.depth, s.scale);
    let grad_columns = packed_columns(grad_columns, given.grad, s.depth_values, 1.0);
    for room in [&mut *p, &mut *ds] {
        room.resize(s.queries.next_multiple_of(ROWS) * COLUMNS, 0.0);
    }
    let given_lanes = k.chunks(COLUMNS * s.depth).zip(v.chunks(COLUMNS * s.depth_values));
    let wanted = dk.chunks_mut(COLUMNS * s.depth).zip(dv.chunks_mut(COLUMNS * s.depth_values));
    for (index, ((k, v), (dk, dv))) in given_lanes.zip(wanted).enumerate() {
        let first = index * COLUMNS;
        let [k_lanes, v_lanes] = &mut *lanes;
        let k = packed_rows::<COLUMNS>(k_lanes, k, s.depth, 1.0);
        let v = packed_rows::<COLUMNS>(v_lanes, v, s.depth_values, 1.0);
        let tiles = q_rows.chunks_exact(ROWS * s.depth).zip(grad_rows.chunks_exact(ROWS * s.depth_values));
        let made = p
            .as_chunks_mut::<COLUMNS>()
            .0
            .chunks_exact_mut(ROWS)
            .zip(ds.as_chunks_mut::<COLUMNS>().0.chunks_exact_mut(ROWS));
        for (panel, ((q, grad), (p, ds))) in tiles.zip(made).enumerate() {
            let (mut scores, dp) = (tile(q, k), tile(grad, v));
            if s.causal {
                hide(&mut scores, |query, lane| first + lane > panel * ROWS + query);
            }
            let (lse, deltas) = (numbers(given.lse, panel * ROWS), numbers(deltas, panel * ROWS));
            through_rows(&scores, &dp, p, ds, &lse, &deltas);
        }
        turned_product(q_columns, &ds[..s.queries * COLUMNS], dk, s.depth, &[1.0; COLUMNS]);
        turned_product(grad_columns, &p[..s.queries * COLUMNS], dv, s.depth_values, &[1.0; COLUMNS]);
    }
}

fn hide(scores: &mut [[f32; COLUMNS]], hidden: impl Fn(usize, usize) -> bool) {
    for (row, scores) in scores.iter_mut().enumerate() {
        for (lane, score) in scores.iter_mut().enumerate() {
            if hidden(row, lane) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

/// exp(score − most), where a hidden score weighs nothing: exp() stops at e⁻⁸⁷.
#[inline(always)]
fn weight(score: f32, most: f32) -> f32 {
    if score == f32::NEG_INFINITY { 0.0 } else { exp(score - most) }
}

vectorised! {
    /// Turns scores into e^(score − largest of the lane); gives the largest and the sum of each lane.
    fn weigh(scores: &mut [[f32; COLUMNS]]) -> ([f32; COLUMNS], [f32; COLUMNS]) {
        let (mut most, mut total) = ([f32::NEG_INFINITY; COLUMNS], [0.0f32; COLUMNS]);
        for scores in scores.iter() {
            for (most, &score) in most.iter_mut().zip(scores) {
                *most = if score > *most { score } else { *most };
            }
        }
        for scores in scores.iter_mut() {
            for ((score, most), total) in scores.iter_mut().zip(&most).zip(&mut total) {
                *score = weight(*score, *most);
                *total += *score;
            }
        }
        (most, total)
    }
}

vectorised! {
    /// Gradient of scores where lanes are queries.
    fn through_lanes(scores: &Tile, dp: &Tile, ds: &mut [[f32; COLUMNS]], lse: &[f32; COLUMNS], deltas: &[f32; COLUMNS]) {
        for ((scores, dp), ds) in scores.iter().zip(dp).zip(ds) {
            for lane in 0..COLUMNS {
                ds[lane] = weight(scores[lane], lse[lane]) * (dp[lane] - deltas[lane]);
            }
        }
    }
}

vectorised! {
    /// Weights and the gradient of scores where rows are queries.
    fn through_rows(
        scores: &Tile, dp: &Tile, p: &mut [[f32; COLUMNS]], ds: &mut [[f32; COLUMNS]], lse: &[f32; ROWS], deltas: &[f32; ROWS],
    ) {
        for row in 0..ROWS {
            let (scores, dp, p, ds) = (&scores[row], &dp[row], &mut p[row], &mut ds[row]);
            for lane in 0..COLUMNS {
                p[lane] = weight(scores[lane], lse[row]);
                ds[lane] = p[lane] * (dp[lane] - deltas[row]);
            }
        }
    }
}
