use tnas_graph::{GraphBuilder, ValueId};

use super::{Count, Insertion, OperatorKind, Param, Word, position::sinusoidal, tokens, tokens::Tokens};
use crate::OperatorSpec;

const HEADS: Count = Count::new("heads", 4, 1, 64);
const FF: Count = Count::new("ff", 0, 0, 8);
const POS: Word = Word::new("pos", &["sin", "rotary", "none"]);

/// Self-attention over the frames at each pixel (the motion module of Guo et al. 2023, one attention), with an optional
/// feed-forward of width `ff`·C.
pub const ATTN1D: OperatorKind =
    OperatorKind { name: "attn1d", params: &[Param::Count(HEADS), Param::Count(FF), Param::Word(POS)], build };

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let (batch, frames, pixels) = (at.batch, at.frames, height * width);
    let clip = g.reshape(&format!("{path}.split"), x, &[batch, frames, channels, pixels]);
    let tokens = g.transpose(&format!("{path}.to_tokens"), clip, &[0, 3, 1, 2]); // [B, H·W, F, C]
    let tokens = g.reshape(&format!("{path}.tokens"), tokens, &[batch * pixels, frames, channels]);
    let position = spec.is(POS, "sin").then(|| {
        let code = sinusoidal(frames, channels);
        g.constant(&format!("{path}.position_code"), &[1, frames, channels], code)
    });
    let how = Tokens { position, rotary: spec.is(POS, "rotary"), pooled: None };
    let y = tokens::self_attention(g, path, tokens, spec.number(HEADS), &how);
    let y = tokens::feed_forward(g, path, y, spec.number(FF));
    let y = g.reshape(&format!("{path}.pixels"), y, &[batch, pixels, frames, channels]);
    let y = g.transpose(&format!("{path}.to_frames"), y, &[0, 2, 3, 1]); // [B, F, C, H·W]
    g.reshape(&format!("{path}.merge"), y, &[images, channels, height, width])
}
