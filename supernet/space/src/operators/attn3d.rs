use tnas_graph::{GraphBuilder, ValueId};

use super::{Count, Insertion, OperatorKind, Param, position::sinusoidal_3d, tokens, tokens::Tokens};
use crate::OperatorSpec;

const HEADS: Count = Count::new("heads", 4, 1, 64);
const FF: Count = Count::new("ff", 0, 0, 8);
const KV_STRIDE: Count = Count::new("kv_stride", 1, 1, 16);

/// Self-attention over all frames and pixels at once, with a code of frame, row and column: without the spatial part it
/// learns nothing (measured). With a `kv_stride` keys and values are means over squares of so many pixels. An optional
/// feed-forward of width `ff`·C follows.
pub const ATTN3D: OperatorKind = OperatorKind {
    name: "attn3d",
    params: &[Param::Count(HEADS), Param::Count(FF), Param::Count(KV_STRIDE)],
    build,
};

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[_, channels, height, width] = g.shape(x) else { return x };
    let (batch, frames, pixels) = (at.batch, at.frames, height * width);
    let clip = g.reshape(&format!("{path}.split"), x, &[batch, frames, channels, pixels]);
    let tokens = g.transpose(&format!("{path}.to_tokens"), clip, &[0, 1, 3, 2]); // [B, F, H·W, C]
    let tokens = g.reshape(&format!("{path}.tokens"), tokens, &[batch, frames * pixels, channels]);
    let code = sinusoidal_3d(frames, height, width, channels);
    let position = g.constant(&format!("{path}.position_code"), &[1, frames * pixels, channels], code);
    let pooled = Some((spec.number(KV_STRIDE), [frames, height, width]));
    let how = Tokens { position: Some(position), rotary: false, pooled };
    let y = tokens::self_attention(g, path, tokens, spec.number(HEADS), &how);
    let y = tokens::feed_forward(g, path, y, spec.number(FF));
    tokens::to_images(g, path, y, at, [height, width])
}
