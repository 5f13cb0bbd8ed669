use tnas_graph::{GraphBuilder, ValueId};

use super::{
    Allowed, Insertion, OperatorKind, Param,
    published::{Position, TemporalTransformer},
};
use crate::OperatorSpec;

/// The motion module of AnimateDiff (Guo et al. 2023) as published, so that its weights load: a transformer over the frames
/// at each pixel, with sinusoidal places for at most `length` frames. Heads share the channels, as far as they divide them.
pub const ANIMATEDIFF: OperatorKind = OperatorKind {
    name: "animatediff",
    params: &[
        Param { name: "heads", default: "8", allowed: Allowed::Between(1, 1024) },
        Param { name: "layers", default: "1", allowed: Allowed::Between(1, 64) },
        Param { name: "length", default: "32", allowed: Allowed::Between(1, 4096) },
        // A table is for checkpoints whose places are not the sinusoids.
        Param { name: "pos", default: "sin", allowed: Allowed::Words(&["sin", "table"]) },
    ],
    build,
};

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let channels = g.shape(x).get(1).copied().unwrap_or(1);
    let (heads, length) = (spec.number("heads").min(channels), spec.number("length"));
    let position = if spec.is("pos", "table") { Position::Table(length) } else { Position::Sinusoids(length) };
    let transformer =
        TemporalTransformer { heads, depth: channels / heads, blocks: spec.number("layers"), position };
    transformer.build(g, path, at, x)
}
