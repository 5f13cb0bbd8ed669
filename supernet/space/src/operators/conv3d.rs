use std::cmp::Ordering;

use tnas_graph::{GraphBuilder, Init, Op, ValueId, Weight};

use super::{Count, Insertion, OperatorKind, Param, conv1d::project};
use crate::OperatorSpec;

const K: Count = Count::odd("k", 3, 1, 7);

/// Full convolution over space and time: x + W·silu(conv_k×3×3(norm(x))).
///
/// A sum of k 2-D convolutions, one per frame that an output frame sees, so that a shorter kernel shares the middle of a
/// longer one's weights. Beyond the clip's ends there are zeros.
pub const CONV3D: OperatorKind = OperatorKind { name: "conv3d", params: &[Param::Count(K)], build };

fn build(g: &mut GraphBuilder, path: &str, spec: &OperatorSpec, at: &Insertion, x: ValueId) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let (batch, frames, kernel) = (at.batch, at.frames, spec.number(K));
    let (before, image) = (kernel / 2, channels * height * width);
    let h = g.group_norm(&format!("{path}.norm"), x, at.norm_groups, 1e-5);
    let mut clip = g.reshape(&format!("{path}.split"), h, &[batch, frames, image]);
    if before > 0 {
        let zeros =
            g.constant(&format!("{path}.zeros"), &[batch, before, image], vec![0.0; batch * before * image]);
        clip = g.concat(&format!("{path}.padded"), &[zeros, clip, zeros], 1);
    }
    let mut h = None;
    for tap in 0..kernel {
        // By its distance from the middle: the name does not depend on the kernel's length.
        let name = match tap.cmp(&before) {
            Ordering::Less => format!("{path}.before{}", before - tap),
            Ordering::Equal => format!("{path}.centre"),
            Ordering::Greater => format!("{path}.after{}", tap - before),
        };
        let seen = g.slice(&format!("{name}.frames"), clip, 1, tap, tap + frames);
        let seen = g.reshape(&format!("{name}.images"), seen, &[images, channels, height, width]);
        let weight = Weight::new(format!("{name}.weight"), &[channels, channels, 3, 3], Init::FanIn);
        let bias = (tap == before).then(|| Weight::new(format!("{name}.bias"), &[channels], Init::Zeros));
        let conv = Op::Conv2d { weight, bias, stride: [1, 1], padding: [1; 4], groups: 1 };
        let part = g.node(&name, conv, &[seen]);
        h = Some(h.map_or(part, |sum| g.add(&format!("{name}.sum"), sum, part)));
    }
    let h = h.unwrap_or(x);
    let h = g.silu(&format!("{path}.act"), h);
    let h = project(g, &format!("{path}.proj"), channels, h);
    g.add(&format!("{path}.residual"), x, h)
}
