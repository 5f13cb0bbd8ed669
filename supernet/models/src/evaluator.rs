use serde::{Deserialize, Serialize};
use tnas_graph::{Dtype, Elastic, Graph, GraphBuilder, Init, Op, ValueId, Weight};

use crate::ModelError;

/// A small video classifier, trained on real clips, whose features evaluate generated ones: what is seen where, and how much it
/// changes from frame to frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluatorNetwork {
    /// Rows and columns of a frame.
    pub size: usize,
    /// Frames of a clip.
    pub frames: usize,
    /// Width of the first convolution; it doubles at every halving.
    pub width: usize,
    /// Number of classes of each label, in order.
    pub classes: Vec<usize>,
    /// Statistics of a clip's colours that a head predicts from its features; 0 where there is no such head.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub colours: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Frames up to this size keep their resolution in the first stage: motions are a pixel a frame.
const SMALL: usize = 32;

/// Cells of the map of features along each side, where its length allows.
const GRID: usize = 4;

impl EvaluatorNetwork {
    /// Length of a clip's features.
    pub fn features(&self) -> usize {
        4 * self.width
    }

    /// `clips` `[B, 3, F, H, W]` to `features` `[B, 4·width]`, `logits` `[B, Σ classes]` and, where there are any, `colours`
    /// `[B, colours]`.
    pub fn graph(&self, batch: usize) -> Result<Graph, ModelError> {
        let (size, frames) = (self.size, self.frames);
        let mut g = GraphBuilder::new();
        let clips = g.input("clips", &[batch, 3, frames, size, size], Dtype::F32);
        let x = g.transpose("to_frames", clips, &[0, 2, 1, 3, 4]);
        let mut x = g.reshape("images", x, &[batch * frames, 3, size, size]);
        for (stage, factor) in [1, 2, 4].into_iter().enumerate() {
            x = self.stage(&mut g, &format!("stages.{stage}"), x, factor * self.width, batch);
        }
        let channels = self.features();
        let (height, width) = (g.shape(x)[2], g.shape(x)[3]);
        let x = g.reshape("clips.split", x, &[batch, frames, channels * height * width]);
        let later = g.node("later", Op::Slice { axis: 1, start: 1, end: frames }, &[x]);
        let earlier = g.node("earlier", Op::Slice { axis: 1, start: 0, end: frames - 1 }, &[x]);
        let change = g.node("change", Op::Sub, &[later, earlier]);
        let change = g.node("change.squared", Op::Mul, &[change, change]);
        let map = [batch, channels, height, width];
        let appearance = self.pooled(&mut g, "appearance", x, map);
        let motion = self.pooled(&mut g, "motion", change, map);
        let x = g.node("both", Op::Concat { axis: 1 }, &[appearance, motion]);
        let x = g.linear("project", x, channels, true, Init::FanIn);
        let features = g.silu("features", x);
        let logits = g.linear("head", features, self.classes.iter().sum(), true, Init::FanIn);
        let mut outputs = vec![("features", features), ("logits", logits)];
        if self.colours > 0 {
            outputs.push(("colours", g.linear("colours", features, self.colours, true, Init::FanIn)));
        }
        Ok(g.finish(&outputs)?)
    }

    /// Mean over frames, and over the cells of a grid so that it is known where: `[B, F, C·H·W]` to `[B, C·cells]`.
    fn pooled(&self, g: &mut GraphBuilder, path: &str, x: ValueId, map: [usize; 4]) -> ValueId {
        let [batch, channels, height, width] = map;
        let side =
            |length: usize| (1..=GRID.min(length)).rev().find(|&side| length.is_multiple_of(side)).unwrap_or(1);
        let (rows, columns) = (side(height), side(width));
        let x = g.node(&format!("{path}.frames"), Op::Mean { axes: vec![1] }, &[x]);
        let cells = [batch * channels * rows, height / rows, columns, width / columns];
        let x = g.reshape(&format!("{path}.split"), x, &cells);
        let x = g.node(&format!("{path}.cells"), Op::Mean { axes: vec![1, 3] }, &[x]);
        g.reshape(path, x, &[batch, channels * rows * columns])
    }

    /// Convolution with stride 2 per frame (1 in the first stage of small frames), then a convolution over three frames, as a residual.
    fn stage(&self, g: &mut GraphBuilder, path: &str, x: ValueId, channels: usize, batch: usize) -> ValueId {
        let stride = if g.shape(x)[1] == 3 && self.size <= SMALL { 1 } else { 2 };
        let x = g.conv2d(&format!("{path}.spatial"), x, channels, [3, 3], [stride, stride], [1, 1], Init::FanIn);
        let x = g.group_norm(&format!("{path}.norm"), x, 4, 1e-5);
        let x = g.silu(&format!("{path}.act"), x);
        let &[images, _, height, width] = g.shape(x) else { return x };
        let h = g.reshape(&format!("{path}.split"), x, &[batch, self.frames, channels, height * width]);
        let h = g.transpose(&format!("{path}.to_channels"), h, &[0, 2, 1, 3]);
        let path_conv = format!("{path}.temporal");
        let weight = Weight::new(format!("{path_conv}.weight"), &[channels, channels, 3, 1], Init::FanIn)
            .with_elastic(Elastic::Exact);
        let bias = Some(Weight::new(format!("{path_conv}.bias"), &[channels], Init::Zeros));
        let conv = Op::Conv2d { weight, bias, stride: [1, 1], padding: [1, 0, 1, 0], groups: 1 };
        let h = g.node(&path_conv, conv, &[h]);
        let h = g.silu(&format!("{path}.temporal_act"), h);
        let h = g.transpose(&format!("{path}.to_frames"), h, &[0, 2, 1, 3]);
        let h = g.reshape(&format!("{path}.merge"), h, &[images, channels, height, width]);
        g.add(&format!("{path}.residual"), x, h)
    }
}
