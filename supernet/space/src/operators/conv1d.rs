use tnas_graph::{Elastic, GraphBuilder, Init, Op, ValueId, Weight};

use super::{Count, Insertion, OperatorKind, Param, Word};
use crate::OperatorSpec;

const K: Count = Count::odd("k", 3, 1, 15);
const EXPAND: Count = Count::new("expand", 1, 1, 8);
const DEPTHWISE: Word = Word::new("depthwise", &["false", "true"]);

/// Temporal convolution: x + W₂·silu(conv_k(norm(x))), the convolution along frames only, at each pixel.
///
/// The 1-D half of a factorised (2+1)-D convolution (Tran et al. 2018), as a residual. A kernel of k frames is a
/// 2-D kernel (k, 1) over `[B, C, F, H·W]`. Shorter kernels are the middle of longer ones, narrower hidden widths
/// the front of wider ones.
pub const CONV1D: OperatorKind = OperatorKind {
    name: "conv1d",
    params: &[Param::Count(K), Param::Count(EXPAND), Param::Word(DEPTHWISE)],
    build,
};

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let (batch, frames) = (at.batch, at.frames);
    let clip = g.reshape(&format!("{path}.split"), x, &[batch, frames, channels, height * width]);
    let clip = g.transpose(&format!("{path}.to_channels"), clip, &[0, 2, 1, 3]); // [B, C, F, H·W]
    let h = g.group_norm(&format!("{path}.norm"), clip, at.norm_groups, 1e-5);
    let h = convolve(g, path, spec, h);
    let h = g.silu(&format!("{path}.act"), h);
    let h = project(g, &format!("{path}.proj"), channels, h);
    let h = g.transpose(&format!("{path}.to_frames"), h, &[0, 2, 1, 3]); // [B, F, C, H·W]
    let h = g.reshape(&format!("{path}.merge"), h, &[images, channels, height, width]);
    g.add(&format!("{path}.residual"), x, h)
}

fn convolve(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, x: ValueId) -> ValueId {
    let channels = g.shape(x)[1];
    let (kernel, hidden) = (spec.number(K), channels * spec.number(EXPAND));
    let depthwise = spec.is(DEPTHWISE, "true");
    // Dense and depthwise kernels cannot share a tensor: they are named apart.
    let (name, groups) = if depthwise { ("depthwise", channels) } else { ("conv", 1) };
    let path = format!("{path}.{name}");
    let shape = [hidden, channels / groups, kernel, 1];
    let weight = Weight::new(format!("{path}.weight"), &shape, Init::FanIn).with_elastic(Elastic::PrefixCentre(2));
    let bias = Weight::new(format!("{path}.bias"), &[hidden], Init::Zeros).with_elastic(Elastic::Prefix);
    let padding = [kernel / 2, 0, kernel / 2, 0];
    g.node(&path, Op::Conv2d { weight, bias: Some(bias), stride: [1, 1], padding, groups }, &[x])
}

/// Pointwise projection back to `channels`, zero at the start.
pub(super) fn project(g: &mut GraphBuilder, path: &str, channels: usize, x: ValueId) -> ValueId {
    let hidden = g.shape(x)[1];
    let shape = [channels, hidden, 1, 1];
    let weight = Weight::new(format!("{path}.weight"), &shape, Init::Zeros).with_elastic(Elastic::Prefix);
    let bias = Weight::new(format!("{path}.bias"), &[channels], Init::Zeros);
    g.node(path, Op::Conv2d { weight, bias: Some(bias), stride: [1, 1], padding: [0; 4], groups: 1 }, &[x])
}
