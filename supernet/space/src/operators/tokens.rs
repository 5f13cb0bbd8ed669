//! Self-attention and feed-forward over token lists, shared by the attention operators.

use tnas_graph::{Elastic, GraphBuilder, Init, Op, ValueId};

use super::Insertion;

/// Depth of a head: eight heads span the channels, as in the published motion modules.
pub(super) fn head_depth(channels: usize) -> usize {
    (channels / 8).max(8)
}

/// Tokens `[B, F·H·W, C]`, frame by frame, as images `[B·F, C, H, W]`.
pub(super) fn to_images(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    at: &Insertion,
    [height, width]: [usize; 2],
) -> ValueId {
    let channels = g.shape(x).last().copied().unwrap_or(1);
    let y = g.reshape(&format!("{path}.pixels"), x, &[at.batch, at.frames, height * width, channels]);
    let y = g.transpose(&format!("{path}.to_frames"), y, &[0, 1, 3, 2]); // [B, F, C, H·W]
    g.reshape(&format!("{path}.merge"), y, &[at.batch * at.frames, channels, height, width])
}

/// How queries and keys know their places, and which keys there are.
#[derive(Default)]
pub(super) struct Tokens {
    /// Code added to the normed tokens.
    pub position: Option<ValueId>,
    /// Queries and keys turned by their place in the list (Su et al. 2021).
    pub rotary: bool,
    /// Keys and values from means over squares of so many pixels: stride, frames, rows and columns of the list.
    pub pooled: Option<(usize, [usize; 3])>,
}

/// x + W_o·attention(norm(x) + position) on `[N, L, C]`; fewer heads are the front of more. Starts as the identity.
pub(super) fn self_attention(g: &mut GraphBuilder, path: &str, x: ValueId, heads: usize, how: &Tokens) -> ValueId {
    let [batch, length, channels] = g.shape(x)[..] else { return x };
    let inner = heads * head_depth(channels);
    let mut h = g.layer_norm(&format!("{path}.norm"), x, 1e-5);
    if let Some(position) = how.position {
        h = g.add(&format!("{path}.position"), h, position);
    }
    let seen = match how.pooled {
        Some((stride, list)) if stride > 1 => pooled(g, path, h, stride, list),
        _ => h,
    };
    let mut project = |name: &str, from: ValueId, rotary: bool| {
        let path = format!("{path}.{name}");
        let rows = g.shape(from)[1];
        let y = g.elastic_linear(&path, from, inner, false, Init::FanIn, Elastic::Prefix);
        let y = g.reshape(&format!("{path}.split"), y, &[batch, rows, heads, inner / heads]);
        let y = if rotary { rotated(g, &path, y) } else { y };
        g.transpose(&format!("{path}.heads"), y, &[0, 2, 1, 3]) // [N, heads, L, D]
    };
    let (q, k) = (project("to_q", h, how.rotary), project("to_k", seen, how.rotary));
    let v = project("to_v", seen, false);
    let y = g.attention(&format!("{path}.attention"), q, k, v, false);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]); // [N, L, heads, D]
    let y = g.reshape(&format!("{path}.merge"), y, &[batch, length, inner]);
    let y = g.elastic_linear(&format!("{path}.to_out"), y, channels, true, Init::Zeros, Elastic::Prefix);
    g.add(&format!("{path}.residual"), x, y)
}

/// Tokens `[N, F·H·W, C]` averaged over squares of pixels; an incomplete square at the edge is left out.
fn pooled(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    stride: usize,
    [frames, height, width]: [usize; 3],
) -> ValueId {
    let &[batch, _, channels] = g.shape(x) else { return x };
    let window = [stride.min(height), stride.min(width)];
    let image = g.reshape(&format!("{path}.keys.frames"), x, &[batch * frames, height * width, channels]);
    let image = g.transpose(&format!("{path}.keys.to_channels"), image, &[0, 2, 1]);
    let image = g.reshape(&format!("{path}.keys.images"), image, &[batch * frames, channels, height, width]);
    let image = g.node(&format!("{path}.keys.pooled"), Op::AvgPool2d { window }, &[image]);
    let area = g.shape(image)[2] * g.shape(image)[3];
    let list = g.reshape(&format!("{path}.keys.flat"), image, &[batch * frames, channels, area]);
    let list = g.transpose(&format!("{path}.keys.to_tokens"), list, &[0, 2, 1]);
    g.reshape(&format!("{path}.keys"), list, &[batch, frames * area, channels])
}

/// `[N, L, heads, D]` with pairs of channels (i, i + D/2) turned by angles L·10000^(−2i/D) (Su et al. 2021, arXiv 2104.09864).
///
/// It stands before the heads are transposed: OpenVINO 2026.4 fuses a rotation behind the transposition into the attention, and
/// computes that wrongly.
fn rotated(g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
    let &[_, length, _, depth] = g.shape(x) else { return x };
    let half = depth / 2;
    if half == 0 {
        return x;
    }
    let angle = |place: usize, pair: usize| place as f64 * 10_000f64.powf(-2.0 * pair as f64 / depth as f64);
    let table = |of: fn(f64) -> f64, rest: f32| -> Vec<f32> {
        let row = |place: usize| {
            (0..depth).map(move |c| if c < 2 * half { of(angle(place, c % half)) as f32 } else { rest })
        };
        (0..length).flat_map(row).collect()
    };
    let shape = [1, length, 1, depth];
    let cosine = g.constant(&format!("{path}.cosine"), &shape, table(f64::cos, 1.0));
    let sine = g.constant(&format!("{path}.sine"), &shape, table(f64::sin, 0.0));
    let second = g.slice(&format!("{path}.second"), x, 3, half, 2 * half);
    let first = g.slice(&format!("{path}.first"), x, 3, 0, half);
    let mut parts = vec![g.affine(&format!("{path}.turned"), second, -1.0, 0.0), first];
    if 2 * half < depth {
        parts.push(g.slice(&format!("{path}.odd"), x, 3, 2 * half, depth));
    }
    let other = g.concat(&format!("{path}.other"), &parts, 3);
    let a = g.mul(&format!("{path}.along"), x, cosine);
    let b = g.mul(&format!("{path}.across"), other, sine);
    g.add(&format!("{path}.rotated"), a, b)
}

/// x + W₂·gelu(W₁·norm(x)) with hidden width `multiple`·C; nothing for 0. Starts as the identity.
pub(super) fn feed_forward(g: &mut GraphBuilder, path: &str, x: ValueId, multiple: usize) -> ValueId {
    if multiple == 0 {
        return x;
    }
    let channels = g.shape(x).last().copied().unwrap_or(1);
    let h = g.layer_norm(&format!("{path}.ff.norm"), x, 1e-5);
    let h = g.elastic_linear(&format!("{path}.ff.in"), h, multiple * channels, true, Init::FanIn, Elastic::Prefix);
    let h = g.gelu(&format!("{path}.ff.act"), h);
    let h = g.elastic_linear(&format!("{path}.ff.out"), h, channels, true, Init::Zeros, Elastic::Prefix);
    g.add(&format!("{path}.ff.residual"), x, h)
}
