use tnas_graph::{Elastic, GraphBuilder, Init, Op, ValueId, Weight};

use super::{Insertion, OperatorKind, Param, Word};
use crate::OperatorSpec;

const FRACTION: Word = Word::new("fraction", &["1/8", "1/4", "1/2"]);

/// x + g ⊙ (shift(x) − x): a fraction of the channels is read from the frame before and as many from the frame after (Lin
/// et al. 2019), through a gate per channel that starts at zero. The clip's ends repeat themselves. Smaller
/// fractions are the front of larger ones.
pub const SHIFT: OperatorKind = OperatorKind { name: "shift", params: &[Param::Word(FRACTION)], build };

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let parts = [("1/8", 8), ("1/4", 4)].iter().find(|(word, _)| spec.is(FRACTION, word)).map_or(2, |&(_, n)| n);
    let (moved, half) = ((channels / parts).max(1).min(channels / 2), channels / 2);
    let clip = g.reshape(&format!("{path}.split"), x, &[at.batch, at.frames, channels, height * width]);
    let mut pieces = Vec::new();
    for (name, start, end) in [("past", 0, half), ("future", half, channels)] {
        let piece = g.slice(&format!("{path}.{name}"), clip, 2, start, start + moved);
        pieces.push(moved_piece(g, &format!("{path}.{name}"), at.frames, name == "past", piece));
        if start + moved < end {
            pieces.push(g.slice(&format!("{path}.{name}.rest"), clip, 2, start + moved, end));
        }
    }
    let y = g.concat(&format!("{path}.join"), &pieces, 2);
    g.reshape(&format!("{path}.merge"), y, &[images, channels, height, width])
}

/// `[B, F, C, H·W]` mixed with its neighbour frame.
fn moved_piece(g: &mut GraphBuilder, path: &str, frames: usize, back: bool, x: ValueId) -> ValueId {
    let channels = g.shape(x)[2];
    let neighbour = if frames == 1 {
        x
    } else {
        let (stay, go) = if back { (0, 0) } else { (frames - 1, 1) };
        let end = g.slice(&format!("{path}.end"), x, 1, stay, stay + 1);
        let rest = g.slice(&format!("{path}.inner"), x, 1, go, go + frames - 1);
        g.concat(&format!("{path}.moved"), &if back { [end, rest] } else { [rest, end] }, 1)
    };
    let weight = Weight::new(format!("{path}.gate"), &[channels], Init::Zeros).with_elastic(Elastic::Prefix);
    let gate = g.node(&format!("{path}.gate"), Op::Parameter { weight }, &[]);
    let gate = g.reshape(&format!("{path}.gate.row"), gate, &[1, 1, channels, 1]);
    let change = g.node(&format!("{path}.change"), Op::Sub, &[neighbour, x]);
    let change = g.mul(&format!("{path}.gated"), change, gate);
    g.add(&format!("{path}.residual"), x, change)
}
