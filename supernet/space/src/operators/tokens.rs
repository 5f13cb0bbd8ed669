//! Self-attention and feed-forward over token lists, shared by the attention operators.

use tnas_graph::{Elastic, GraphBuilder, Init, ValueId};

/// Depth of a head: eight heads span the channels, as in the published motion modules.
fn head_depth(channels: usize) -> usize {
    (channels / 8).max(8)
}

/// x + W_o·attention(norm(x) + position) on `[N, L, C]`; fewer heads are the front of more. Starts as the identity.
pub(super) fn self_attention(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    heads: usize,
    position: Option<ValueId>,
) -> ValueId {
    let [batch, length, channels] = g.shape(x)[..] else { return x };
    let inner = heads * head_depth(channels);
    let mut h = g.layer_norm(&format!("{path}.norm"), x, 1e-5);
    if let Some(position) = position {
        h = g.add(&format!("{path}.position"), h, position);
    }
    let mut project = |name: &str| {
        let path = format!("{path}.{name}");
        let y = g.elastic_linear(&path, h, inner, false, Init::FanIn, Elastic::Prefix);
        let y = g.reshape(&format!("{path}.split"), y, &[batch, length, heads, inner / heads]);
        g.transpose(&format!("{path}.heads"), y, &[0, 2, 1, 3]) // [N, heads, L, D]
    };
    let (q, k, v) = (project("to_q"), project("to_k"), project("to_v"));
    let y = g.attention(&format!("{path}.attention"), q, k, v, false);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]); // [N, L, heads, D]
    let y = g.reshape(&format!("{path}.merge"), y, &[batch, length, inner]);
    let y = g.elastic_linear(&format!("{path}.to_out"), y, channels, true, Init::Zeros, Elastic::Prefix);
    g.add(&format!("{path}.residual"), x, y)
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
