use tnas_graph::{Elastic, GraphBuilder, Init, Op, ValueId, Weight};

use super::{Count, Insertion, OperatorKind, Param, conv1d::project};
use crate::OperatorSpec;

const K: Count = Count::odd("k", 3, 1, 15);

/// Factorised convolution over space and time (Tran et al. 2018): x + W·silu(conv_k(silu(conv_3×3(norm(x))))), the second
/// convolution along frames. Shorter kernels are the middle of longer ones.
pub const CONV2P1D: OperatorKind = OperatorKind { name: "conv2p1d", params: &[Param::Count(K)], build };

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let (batch, frames, kernel) = (at.batch, at.frames, spec.number(K));
    let h = g.group_norm(&format!("{path}.norm"), x, at.norm_groups, 1e-5);
    let h = g.conv2d(&format!("{path}.spatial"), h, channels, [3, 3], [1, 1], [1, 1], Init::FanIn);
    let h = g.silu(&format!("{path}.spatial_act"), h);
    let h = g.reshape(&format!("{path}.split"), h, &[batch, frames, channels, height * width]);
    let h = g.transpose(&format!("{path}.to_channels"), h, &[0, 2, 1, 3]); // [B, C, F, H·W]
    let weight = Weight::new(format!("{path}.temporal.weight"), &[channels, channels, kernel, 1], Init::FanIn)
        .with_elastic(Elastic::PrefixCentre(2));
    let bias = Some(Weight::new(format!("{path}.temporal.bias"), &[channels], Init::Zeros));
    let conv = Op::Conv2d { weight, bias, stride: [1, 1], padding: [kernel / 2, 0, kernel / 2, 0], groups: 1 };
    let h = g.node(&format!("{path}.temporal"), conv, &[h]);
    let h = g.silu(&format!("{path}.temporal_act"), h);
    let h = project(g, &format!("{path}.proj"), channels, h);
    let h = g.transpose(&format!("{path}.to_frames"), h, &[0, 2, 1, 3]); // [B, F, C, H·W]
    let h = g.reshape(&format!("{path}.merge"), h, &[images, channels, height, width]);
    g.add(&format!("{path}.residual"), x, h)
}
