//! Layers that published operators and the backbones have in common: feed-forward, attention, convolution over frames.

use tnas_graph::{Elastic, GraphBuilder, Init, ValueId};

/// How the weights of a residual branch start, and whether narrower branches use them.
#[derive(Clone, Copy)]
pub struct BranchWeights {
    /// Distribution that the last layer is drawn from.
    pub out: Init,
    /// Whether narrower branches use the front of its weights.
    pub elastic: Elastic,
}

impl BranchWeights {
    /// Those of an image model: drawn anew, exact in width.
    pub const IMAGE: Self = Self { out: Init::FanIn, elastic: Elastic::Exact };
}

/// GEGLU feed-forward with a hidden width of 4·C on `[N, L, C]` (Shazeer 2020).
pub fn geglu(g: &mut GraphBuilder, path: &str, x: ValueId, weights: BranchWeights) -> ValueId {
    let channels = g.shape(x).last().copied().unwrap_or(1);
    let both = format!("{path}.net.0.proj");
    let h = g.elastic_linear(&both, x, 8 * channels, true, Init::FanIn, weights.elastic);
    let value = g.slice(&format!("{path}.net.0.value"), h, 2, 0, 4 * channels);
    let gate = g.slice(&format!("{path}.net.0.gate"), h, 2, 4 * channels, 8 * channels);
    let gate = g.gelu(&format!("{path}.net.0.gelu"), gate);
    let h = g.mul(&format!("{path}.net.0.geglu"), value, gate);
    g.elastic_linear(&format!("{path}.net.2"), h, channels, true, weights.out, weights.elastic)
}

/// Heads of an attention.
#[derive(Clone, Copy)]
pub struct Heads {
    /// Their number.
    pub count: usize,
    /// Channels of each.
    pub depth: usize,
}

/// Queries `[N, L, C]`, keys and values from `[M, S, X]`. Where N = M·F (frames of a clip share one text), the frames
/// are laid one after another in one long query list, so that the text need not be repeated.
pub fn attention(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    context: ValueId,
    heads: Heads,
    weights: BranchWeights,
) -> ValueId {
    let &[images, length, channels] = g.shape(x) else { return x };
    let (batch, inner) = (g.shape(context)[0], heads.count * heads.depth);
    let mut project = |name: &str, from: ValueId| {
        let y = g.elastic_linear(&format!("{path}.{name}"), from, inner, false, Init::FanIn, weights.elastic);
        split_heads(g, &format!("{path}.{name}"), y, batch, heads.count)
    };
    let q = project("to_q", x);
    let (k, v) = (project("to_k", context), project("to_v", context));
    let y = g.attention(&format!("{path}.attention"), q, k, v, false);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]);
    let y = g.reshape(&format!("{path}.merge"), y, &[images, length, inner]);
    g.elastic_linear(&format!("{path}.to_out.0"), y, channels, true, weights.out, weights.elastic)
}

/// `[N, L, heads·D]` or `[N·L, …]` to `[batch, heads, rows, D]`.
pub fn split_heads(g: &mut GraphBuilder, path: &str, y: ValueId, batch: usize, heads: usize) -> ValueId {
    let inner = g.shape(y).last().copied().unwrap_or(1);
    let rows = g.shape(y).iter().product::<usize>() / (batch * inner);
    let y = g.reshape(&format!("{path}.split"), y, &[batch, rows, heads, inner / heads]);
    g.transpose(&format!("{path}.heads"), y, &[0, 2, 1, 3])
}

/// Convolution over three frames of `[B, C, F, H·W]`.
pub fn over_frames(g: &mut GraphBuilder, path: &str, x: ValueId, init: Init) -> ValueId {
    let channels = g.shape(x).get(1).copied().unwrap_or(1);
    g.conv2d(path, x, channels, [3, 1], [1, 1], [1, 0], init)
}
