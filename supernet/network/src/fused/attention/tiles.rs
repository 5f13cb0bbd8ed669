//! Attention of many queries in tiles: scores of 32 queries against all keys at a time (after Dao et al. 2022).

use super::{Given, Shape};
use crate::fused::{
    panel::{COLUMNS, ROWS, Tile, pack, packed, tile},
    simd::{exp, vectorised},
};

/// Room for the packed operands and scores of one (batch, head).
#[derive(Default)]
pub(super) struct Panels([Vec<f32>; 10]);

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

pub(super) fn pair_forward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &mut [f32],
    lse: &mut [f32],
    panels: &mut Panels,
    s: Shape,
) {
    let [a, b, c, scores, ..] = &mut panels.0;
    let keys = packed_rows::<ROWS>(a, k, s.depth, 1.0);
    let values = packed_columns(b, v, s.depth_values, 1.0);
    scores.resize(s.keys.next_multiple_of(ROWS) * COLUMNS, 0.0);
    let blocks = q.chunks(COLUMNS * s.depth).zip(out.chunks_mut(COLUMNS * s.depth_values));
    for (index, ((q, out), lse)) in blocks.zip(lse.chunks_mut(COLUMNS)).enumerate() {
        let lanes = packed_rows::<COLUMNS>(c, q, s.depth, s.scale);
        for (keys, scores) in
            keys.chunks_exact(ROWS * s.depth).zip(scores.as_chunks_mut::<COLUMNS>().0.chunks_exact_mut(ROWS))
        {
            scores.copy_from_slice(&tile(keys, lanes));
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

pub(super) fn pair_backward(
    given: &Given<'_>,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
    panels: &mut Panels,
    s: Shape,
) {
    let [q8, g8, q_turned, g_turned, k8, v8, k_turned, lanes, p, ds] = &mut panels.0;
    let shares: Vec<f32> = given
        .grad
        .chunks_exact(s.depth_values)
        .zip(given.out.chunks_exact(s.depth_values))
        .map(|(grad, out)| grad.iter().zip(out).map(|(a, b)| a * b).sum())
        .collect();
    // Gradient of the queries, 32 of them at a time.
    let k8 = packed_rows::<ROWS>(k8, given.k, s.depth, 1.0);
    let v8 = packed_rows::<ROWS>(v8, given.v, s.depth_values, 1.0);
    let k_turned = packed_columns(k_turned, given.k, s.depth, s.scale);
    ds.resize(s.keys.max(s.queries).next_multiple_of(ROWS) * COLUMNS, 0.0);
    p.resize(s.queries.next_multiple_of(ROWS) * COLUMNS, 0.0);
    lanes.resize(COLUMNS * (s.depth + s.depth_values), 0.0);
    let (lanes_a, lanes_b) = lanes.split_at_mut(COLUMNS * s.depth);
    for (index, dq) in dq.chunks_mut(COLUMNS * s.depth).enumerate() {
        let first = index * COLUMNS;
        let count = dq.len() / s.depth;
        pack::<COLUMNS>(&given.q[first * s.depth..], [s.depth, 1], count, s.depth, lanes_a);
        lanes_a.iter_mut().for_each(|x| *x *= s.scale);
        pack::<COLUMNS>(&given.grad[first * s.depth_values..], [s.depth_values, 1], count, s.depth_values, lanes_b);
        let of = |x: &[f32]| -> [f32; COLUMNS] {
            std::array::from_fn(|lane| x.get(first + lane).copied().unwrap_or(0.0))
        };
        let (lse, shares) = (of(given.lse), of(&shares));
        let tiles = k8.chunks_exact(ROWS * s.depth).zip(v8.chunks_exact(ROWS * s.depth_values));
        for (panel, ((k, v), ds)) in tiles.zip(ds.as_chunks_mut::<COLUMNS>().0.chunks_exact_mut(ROWS)).enumerate() {
            let (mut scores, dp) = (tile(k, lanes_a), tile(v, lanes_b));
            if s.causal {
                hide(&mut scores, |key, lane| panel * ROWS + key > first + lane);
            }
            through_lanes(&scores, &dp, ds, &lse, &shares);
        }
        turned_product(k_turned, &ds[..s.keys * COLUMNS], dq, s.depth, &[1.0; COLUMNS]);
    }
    // Gradients of keys and values, 32 of them at a time.
    let q8 = packed_rows::<ROWS>(q8, given.q, s.depth, s.scale);
    let g8 = packed_rows::<ROWS>(g8, given.grad, s.depth_values, 1.0);
    let q_turned = packed_columns(q_turned, given.q, s.depth, s.scale);
    let g_turned = packed_columns(g_turned, given.grad, s.depth_values, 1.0);
    for (index, (dk, dv)) in
        dk.chunks_mut(COLUMNS * s.depth).zip(dv.chunks_mut(COLUMNS * s.depth_values)).enumerate()
    {
        let first = index * COLUMNS;
        let count = dk.len() / s.depth;
        pack::<COLUMNS>(&given.k[first * s.depth..], [s.depth, 1], count, s.depth, lanes_a);
        pack::<COLUMNS>(&given.v[first * s.depth_values..], [s.depth_values, 1], count, s.depth_values, lanes_b);
        let tiles = q8.chunks_exact(ROWS * s.depth).zip(g8.chunks_exact(ROWS * s.depth_values));
        let made = p
            .as_chunks_mut::<COLUMNS>()
            .0
            .chunks_exact_mut(ROWS)
            .zip(ds.as_chunks_mut::<COLUMNS>().0.chunks_exact_mut(ROWS));
        for (panel, ((q, g), (p, ds))) in tiles.zip(made).enumerate() {
            let (mut scores, dp) = (tile(q, lanes_a), tile(g, lanes_b));
            if s.causal {
                hide(&mut scores, |query, lane| first + lane > panel * ROWS + query);
            }
            let of = |x: &[f32]| -> [f32; ROWS] {
                std::array::from_fn(|row| x.get(panel * ROWS + row).copied().unwrap_or(0.0))
            };
            through_rows(&scores, &dp, p, ds, &of(given.lse), &of(&shares));
        }
        turned_product(q_turned, &ds[..s.queries * COLUMNS], dk, s.depth, &[1.0; COLUMNS]);
        turned_product(g_turned, &p[..s.queries * COLUMNS], dv, s.depth_values, &[1.0; COLUMNS]);
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
    fn through_lanes(scores: &Tile, dp: &Tile, ds: &mut [[f32; COLUMNS]], lse: &[f32; COLUMNS], shares: &[f32; COLUMNS]) {
        for ((scores, dp), ds) in scores.iter().zip(dp).zip(ds) {
            for lane in 0..COLUMNS {
                ds[lane] = weight(scores[lane], lse[lane]) * (dp[lane] - shares[lane]);
            }
        }
    }
}

vectorised! {
    /// Weights and the gradient of scores where rows are queries.
    fn through_rows(
        scores: &Tile, dp: &Tile, p: &mut [[f32; COLUMNS]], ds: &mut [[f32; COLUMNS]], lse: &[f32; ROWS], shares: &[f32; ROWS],
    ) {
        for row in 0..ROWS {
            let (scores, dp, p, ds) = (&scores[row], &dp[row], &mut p[row], &mut ds[row]);
            for lane in 0..COLUMNS {
                p[lane] = weight(scores[lane], lse[row]);
                ds[lane] = p[lane] * (dp[lane] - shares[row]);
            }
        }
    }
}
