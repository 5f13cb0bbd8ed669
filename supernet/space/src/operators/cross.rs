//! Attention from each frame to two anchors: the clip's first frame, and the frame before.

use tnas_graph::{Elastic, GraphBuilder, Init, ValueId};

use super::{Count, Insertion, OperatorKind, Param, position::sinusoidal_3d, tokens};
use crate::OperatorSpec;

const HEADS: Count = Count::new("heads", 4, 1, 64);
const FF: Count = Count::new("ff", 0, 0, 8);
const PARAMS: &[Param] = &[Param::Count(HEADS), Param::Count(FF)];

/// Attention from each pixel to the same pixel of the first and the previous frame.
pub const CROSS1D: OperatorKind = OperatorKind { name: "cross1d", params: PARAMS, build: same_pixel };

/// Attention from each pixel to all pixels of the first and the previous frame (as in Khachatryan et al. 2023 and Wu et
/// al. 2023, whose frames attend to these two).
pub const CROSS3D: OperatorKind = OperatorKind { name: "cross3d", params: PARAMS, build: all_pixels };

fn same_pixel(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[_, _, height, width] = g.shape(x) else { return x };
    build(g, path, spec, at, x, at.batch * at.frames * height * width)
}

fn all_pixels(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    build(g, path, spec, at, x, at.batch * at.frames)
}

/// x + W_o·attention over `lists` independent lists of queries.
fn build(
    g: &mut GraphBuilder,
    path: &str,
    spec: &OperatorSpec,
    at: &Insertion,
    x: ValueId,
    lists: usize,
) -> ValueId {
    let &[_, channels, height, width] = g.shape(x) else { return x };
    let (batch, frames, pixels, heads) = (at.batch, at.frames, height * width, spec.number(HEADS));
    let inner = heads * tokens::head_depth(channels);
    let clip = g.reshape(&format!("{path}.flat"), x, &[batch, frames, channels, pixels]);
    let clip = g.transpose(&format!("{path}.to_tokens"), clip, &[0, 1, 3, 2]); // [B, F, H·W, C]
    let rows = g.reshape(&format!("{path}.tokens"), clip, &[batch, frames * pixels, channels]);
    let h = g.layer_norm(&format!("{path}.norm"), rows, 1e-5);
    let code = sinusoidal_3d(frames, height, width, channels);
    let position = g.constant(&format!("{path}.position_code"), &[1, frames * pixels, channels], code);
    let h = g.add(&format!("{path}.position"), h, position);
    let mut project = |name: &str| {
        let y = g.elastic_linear(&format!("{path}.{name}"), h, inner, false, Init::FanIn, Elastic::Prefix);
        g.reshape(&format!("{path}.{name}.frames"), y, &[batch, frames, pixels * inner])
    };
    let (q, k, v) = (project("to_q"), project("to_k"), project("to_v"));
    let (first_k, previous_k) = anchors(g, &format!("{path}.to_k"), frames, k);
    let (first_v, previous_v) = anchors(g, &format!("{path}.to_v"), frames, v);
    let length = batch * frames * pixels / lists;
    let mut by_head = |name: &str, values: &[ValueId]| {
        let list = [lists, length, heads, inner / heads];
        let values: Vec<ValueId> =
            values.iter().map(|&value| g.reshape(&format!("{path}.{name}.lists"), value, &list)).collect();
        let all =
            if let [one] = values[..] { one } else { g.concat(&format!("{path}.{name}.anchors"), &values, 1) };
        g.transpose(&format!("{path}.{name}.heads"), all, &[0, 2, 1, 3]) // [lists, heads, tokens, D]
    };
    let q = by_head("to_q", &[q]);
    let (k, v) = (by_head("to_k", &[first_k, previous_k]), by_head("to_v", &[first_v, previous_v]));
    let y = g.attention(&format!("{path}.attention"), q, k, v, false);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]);
    let y = g.reshape(&format!("{path}.rows"), y, &[batch, frames * pixels, inner]);
    let y = g.elastic_linear(&format!("{path}.to_out"), y, channels, true, Init::Zeros, Elastic::Prefix);
    let y = g.add(&format!("{path}.residual"), rows, y);
    let y = tokens::feed_forward(g, path, y, spec.number(FF));
    tokens::to_images(g, path, y, at, [height, width])
}

/// The first frame for every frame, and the frame before each (the first before itself): `[B, F, …]` alike.
fn anchors(g: &mut GraphBuilder, path: &str, frames: usize, x: ValueId) -> (ValueId, ValueId) {
    if frames == 1 {
        return (x, x);
    }
    let first = g.slice(&format!("{path}.first_frame"), x, 1, 0, 1);
    let rest = g.slice(&format!("{path}.earlier_frames"), x, 1, 0, frames - 1);
    let repeated = g.concat(&format!("{path}.first"), &vec![first; frames], 1);
    (repeated, g.concat(&format!("{path}.previous"), &[first, rest], 1))
}
