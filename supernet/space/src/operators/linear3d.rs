use tnas_graph::{Elastic, GraphBuilder, Init, Op, ValueId};

use super::{Count, Insertion, OperatorKind, Param, position::sinusoidal_3d, tokens};
use crate::OperatorSpec;

const HEADS: Count = Count::new("heads", 4, 1, 64);
const FF: Count = Count::new("ff", 0, 0, 8);

/// Linear attention over all frames and pixels (Shen et al. 2021): x + W_o·(ρ(q)·(σ(k)ᵀ·v)), ρ a softmax over channels
/// and σ one over tokens, so that the work grows with the number of tokens and not with its square.
pub const LINEAR3D: OperatorKind =
    OperatorKind { name: "linear3d", params: &[Param::Count(HEADS), Param::Count(FF)], build };

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[_, channels, height, width] = g.shape(x) else { return x };
    let (batch, frames, pixels, heads) = (at.batch, at.frames, height * width, spec.number(HEADS));
    let (length, inner) = (frames * pixels, heads * tokens::head_depth(channels));
    let clip = g.reshape(&format!("{path}.flat"), x, &[batch, frames, channels, pixels]);
    let clip = g.transpose(&format!("{path}.to_tokens"), clip, &[0, 1, 3, 2]); // [B, F, H·W, C]
    let rows = g.reshape(&format!("{path}.tokens"), clip, &[batch, length, channels]);
    let h = g.layer_norm(&format!("{path}.norm"), rows, 1e-5);
    let code = sinusoidal_3d(frames, height, width, channels);
    let position = g.constant(&format!("{path}.position_code"), &[1, length, channels], code);
    let h = g.add(&format!("{path}.position"), h, position);
    let mut project = |name: &str, order: &[usize]| {
        let path = format!("{path}.{name}");
        let y = g.elastic_linear(&path, h, inner, false, Init::FanIn, Elastic::Prefix);
        let y = g.reshape(&format!("{path}.split"), y, &[batch, length, heads, inner / heads]);
        g.transpose(&format!("{path}.heads"), y, order)
    };
    let q = project("to_q", &[0, 2, 1, 3]); // [B, heads, L, D]
    let k = project("to_k", &[0, 2, 3, 1]); // [B, heads, D, L]
    let v = project("to_v", &[0, 2, 1, 3]);
    let q = g.node(&format!("{path}.queries"), Op::Softmax, &[q]);
    let k = g.node(&format!("{path}.keys"), Op::Softmax, &[k]);
    let summary = g.node(&format!("{path}.summary"), Op::MatMul, &[k, v]); // [B, heads, D, D]
    let y = g.node(&format!("{path}.read"), Op::MatMul, &[q, summary]);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]);
    let y = g.reshape(&format!("{path}.rows"), y, &[batch, length, inner]);
    let y = g.elastic_linear(&format!("{path}.to_out"), y, channels, true, Init::Zeros, Elastic::Prefix);
    let y = g.add(&format!("{path}.residual"), rows, y);
    let y = tokens::feed_forward(g, path, y, spec.number(FF));
    tokens::to_images(g, path, y, at, [height, width])
}
