use tnas_graph::{GraphBuilder, ValueId};

use super::{
    Count, Insertion, OperatorKind, Param, Word,
    published::{Position, TemporalTransformer},
};
use crate::OperatorSpec;

const HEADS: Count = Count::new("heads", 8, 1, 1024);
const LAYERS: Count = Count::new("layers", 1, 1, 64);
const LENGTH: Count = Count::new("length", 32, 1, 4096);
// A table is for checkpoints whose position codes are not the sinusoids.
const POS: Word = Word::new("pos", &["sin", "table"]);

/// The motion module of AnimateDiff (Guo et al. 2023) as published, so that its weights load: a transformer over the frames
/// at each pixel, with sinusoidal places for at most `length` frames. Heads share the channels, as far as they divide them.
pub const ANIMATEDIFF: OperatorKind = OperatorKind {
    name: "animatediff",
    params: &[Param::Count(HEADS), Param::Count(LAYERS), Param::Count(LENGTH), Param::Word(POS)],
    build,
};

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let channels = g.shape(x).get(1).copied().unwrap_or(1);
    let (heads, length) = (spec.number(HEADS).min(channels), spec.number(LENGTH));
    let position = if spec.is(POS, "table") { Position::Table(length) } else { Position::Sinusoids(length) };
    let transformer = TemporalTransformer { heads, depth: channels / heads, blocks: spec.number(LAYERS), position };
    transformer.build(g, path, at, x)
}
