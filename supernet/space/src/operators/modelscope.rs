use tnas_graph::{GraphBuilder, Init, ValueId};

use super::{
    Count, Insertion, OperatorKind, Param, Word,
    published::{Position, TemporalTransformer},
};
use crate::{OperatorSpec, layers::over_frames};

const BLOCK: Word = Word::new("block", &["conv", "attn"]);
const HEADS: Count = Count::new("heads", 0, 0, 1024);
const DEPTH: Count = Count::new("depth", 64, 1, 4096);

/// The temporal blocks of ModelScope's text-to-video model (Wang et al. 2023) as published, so that their weights load:
/// `conv`, four convolutions over three frames each, stands after resnets; `attn`, a transformer over the frames at each
/// pixel with heads of `depth` channels, stands after attentions and, with eight heads, after the first convolution. 0
/// heads are as many as the channels hold.
pub const MODELSCOPE: OperatorKind = OperatorKind {
    name: "modelscope",
    params: &[Param::Word(BLOCK), Param::Count(HEADS), Param::Count(DEPTH)],
    build,
};

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    if spec.is(BLOCK, "conv") {
        return convolutions(g, path, at, x);
    }
    let channels = g.shape(x).get(1).copied().unwrap_or(1);
    let (heads, depth) = (spec.number(HEADS), spec.number(DEPTH));
    let heads = if heads == 0 { (channels / depth).max(1) } else { heads };
    TemporalTransformer { heads, depth, blocks: 1, position: Position::None }.build(g, path, at, x)
}

/// x + four times norm, SiLU and convolution over frames; the last convolution is zero at the start.
fn convolutions(g: &mut GraphBuilder, path: &str, at: &Insertion, x: ValueId) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let clip = g.reshape(&format!("{path}.split"), x, &[at.batch, at.frames, channels, height * width]);
    let mut h = g.transpose(&format!("{path}.to_channels"), clip, &[0, 2, 1, 3]); // [B, C, F, H·W]
    for number in 1..=4 {
        // Places in the published lists of layers, which hold a dropout from the second on.
        let (front, conv) = (format!("{path}.conv{number}"), if number == 1 { 2 } else { 3 });
        h = g.group_norm(&format!("{front}.0"), h, at.norm_groups, 1e-5);
        h = g.silu(&format!("{front}.1"), h);
        let init = if number == 4 { Init::Zeros } else { Init::FanIn };
        h = over_frames(g, &format!("{front}.{conv}"), h, init);
    }
    let h = g.transpose(&format!("{path}.to_frames"), h, &[0, 2, 1, 3]); // [B, F, C, H·W]
    let h = g.reshape(&format!("{path}.merge"), h, &[images, channels, height, width]);
    g.add(&format!("{path}.residual"), x, h)
}
