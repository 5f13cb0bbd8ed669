//! The temporal transformer that AnimateDiff and ModelScope share, under the names of their checkpoints.

use tnas_graph::{Elastic, GraphBuilder, Init, Op, ValueId, Weight};

use super::Insertion;
use crate::layers::{BranchWeights, Heads, attention, geglu};

/// Inside the transformer everything is drawn: its last projection alone is zero at the start. A narrower transformer uses
/// the front of a wider one's weights.
const BRANCH: BranchWeights = BranchWeights { out: Init::FanIn, elastic: Elastic::Prefix };

/// What a temporal transformer needs to know besides its path.
pub(super) struct TemporalTransformer {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub depth: usize,
    /// Blocks.
    pub blocks: usize,
    /// How frames know their places.
    pub position: Position,
}

/// Codes of frames, added before each attention.
#[derive(Clone, Copy)]
pub(super) enum Position {
    /// None.
    None,
    /// Sinusoids, for so many frames at most.
    Sinusoids(usize),
    /// A table in the checkpoint, for so many frames.
    Table(usize),
}

impl TemporalTransformer {
    /// x + W·blocks(W·norm(x)) over the frames at each pixel of `[B·F, C, H, W]`.
    pub fn build(&self, g: &mut GraphBuilder, path: &str, at: &Insertion, x: ValueId) -> ValueId {
        let &[images, channels, height, width] = g.shape(x) else { return x };
        let (batch, frames, pixels) = (at.batch, at.frames, height * width);
        let clip = g.reshape(&format!("{path}.split"), x, &[batch, frames, channels, pixels]);
        let clip = g.transpose(&format!("{path}.to_channels"), clip, &[0, 2, 1, 3]); // [B, C, F, H·W]
        let h = g.group_norm(&format!("{path}.norm"), clip, at.norm_groups, 1e-6);
        let h = g.transpose(&format!("{path}.to_tokens"), h, &[0, 3, 2, 1]);
        let h = g.reshape(&format!("{path}.tokens"), h, &[batch * pixels, frames, channels]);
        let inner = self.heads * self.depth;
        let linear = |g: &mut GraphBuilder, name: &str, h: ValueId, out: usize, init: Init| {
            g.elastic_linear(&format!("{path}.{name}"), h, out, true, init, Elastic::Prefix)
        };
        let mut h = linear(g, "proj_in", h, inner, Init::FanIn);
        for block in 0..self.blocks {
            h = self.block(g, &format!("{path}.transformer_blocks.{block}"), h);
        }
        let h = linear(g, "proj_out", h, channels, Init::Zeros);
        let h = g.reshape(&format!("{path}.pixels"), h, &[batch, pixels, frames, channels]);
        let h = g.transpose(&format!("{path}.to_frames"), h, &[0, 2, 3, 1]); // [B, F, C, H·W]
        let h = g.reshape(&format!("{path}.merge"), h, &[images, channels, height, width]);
        g.add(&format!("{path}.residual"), x, h)
    }

    /// Two attentions over frames and a feed-forward, each a residual branch, on `[B·H·W, F, C]`.
    fn block(&self, g: &mut GraphBuilder, path: &str, mut x: ValueId) -> ValueId {
        let heads = Heads { count: self.heads, depth: self.depth };
        for layer in 1..=2 {
            let h = layer_norm(g, &format!("{path}.norm{layer}"), x);
            let h = self.placed(g, path, h);
            let h = attention(g, &format!("{path}.attn{layer}"), h, h, heads, BRANCH);
            x = g.add(&format!("{path}.add{layer}"), h, x);
        }
        let h = layer_norm(g, &format!("{path}.norm3"), x);
        let h = geglu(g, &format!("{path}.ff"), h, BRANCH);
        g.add(&format!("{path}.add3"), h, x)
    }

    fn placed(&self, g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
        let &[_, frames, channels] = g.shape(x) else { return x };
        let (path, length) = (format!("{path}.pos_embed"), self.position.length());
        let code = match self.position {
            Position::None => return x,
            Position::Sinusoids(_) => {
                let rows = frames.min(length);
                let code = super::position::sinusoidal(rows, channels);
                g.constant(&format!("{path}.sinusoids"), &[1, rows, channels], code)
            }
            Position::Table(_) => {
                let weight = Weight::new(format!("{path}.pe"), &[1, length, channels], Init::Normal(0.02));
                let weight = weight.with_elastic(Elastic::Prefix);
                g.node(&format!("{path}.pe"), Op::Parameter { weight }, &[])
            }
        };
        // More frames than places are an error here.
        let rows = g.shape(code)[1];
        let code = if frames == rows { code } else { g.slice(&format!("{path}.of_frames"), code, 1, 0, frames) };
        g.add(&format!("{path}.placed"), x, code)
    }
}

impl Position {
    fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Sinusoids(length) | Self::Table(length) => length,
        }
    }
}

fn layer_norm(g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
    let channels = g.shape(x).last().copied().unwrap_or(1);
    let gain = |name, init| Weight::new(format!("{path}.{name}"), &[channels], init).with_elastic(Elastic::Prefix);
    g.node(
        path,
        Op::LayerNorm { weight: gain("weight", Init::Ones), bias: gain("bias", Init::Zeros), eps: 1e-5 },
        &[x],
    )
}
