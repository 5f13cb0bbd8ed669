use crate::Weight;

/// A semantic operation. Images are `[N, C, H, W]`, token lists `[N, L, C]` or `[N·L, C]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Cross-correlation of `[N, C, H, W]` with `[O, C/groups, kh, kw]`.
    Conv2d {
        /// `[O, C/groups, kh, kw]`.
        weight: Weight,
        /// `[O]`.
        bias: Option<Weight>,
        /// Rows, columns.
        stride: [usize; 2],
        /// Zeros added at the top, left, bottom and right.
        padding: [usize; 4],
        /// Channel groups.
        groups: usize,
    },
    /// `x · Wᵀ + b` over the last axis, `W` in torch's layout.
    Linear {
        /// `[out, in]`.
        weight: Weight,
        /// `[out]`.
        bias: Option<Weight>,
    },
    /// Batched product of `[…, M, K]` and `[…, K, N]`.
    MatMul,
    /// Normalisation over groups of channels and space of `[N, C, …]` (Wu & He 2018).
    GroupNorm {
        /// Gain `[C]`.
        weight: Weight,
        /// Offset `[C]`.
        bias: Weight,
        /// Channel groups.
        groups: usize,
        /// Added to the variance.
        eps: f32,
    },
    /// Normalisation over the last axis.
    LayerNorm {
        /// Gain `[C]`.
        weight: Weight,
        /// Offset `[C]`.
        bias: Weight,
        /// Added to the variance.
        eps: f32,
    },
    /// softmax(q·kᵀ·scale)·v on `[N, heads, L, D]` (Vaswani et al. 2017).
    Attention {
        /// Usually 1/√D.
        scale: f32,
        /// Each query sees keys up to its own position only.
        causal: bool,
    },
    /// x·sigmoid(x).
    Silu,
    /// x·Φ(x), exact.
    Gelu,
    /// x·sigmoid(1.702 x).
    QuickGelu,
    /// max(x, 0).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Softmax over the last axis.
    Softmax,
    /// Sum of two values of one rank, broadcasting axes of length 1.
    Add,
    /// Difference, broadcasting alike.
    Sub,
    /// Product, broadcasting alike.
    Mul,
    /// `x·scale + offset` with constants.
    Affine {
        /// Factor.
        scale: f32,
        /// Summand.
        offset: f32,
    },
    /// Concatenation along an axis.
    Concat {
        /// Axis.
        axis: usize,
    },
    /// Part of an axis.
    Slice {
        /// Axis.
        axis: usize,
        /// First index.
        start: usize,
        /// One past the last index.
        end: usize,
    },
    /// The same elements, row-major, in another shape.
    Reshape {
        /// New shape.
        shape: Vec<usize>,
    },
    /// Axes in another order.
    Transpose {
        /// For each new axis, the old one.
        order: Vec<usize>,
    },
    /// Nearest-neighbour enlargement of `[N, C, H, W]` to a size.
    ResizeNearest {
        /// Rows, columns.
        size: [usize; 2],
    },
    /// Mean over windows of `[N, C, H, W]`.
    AvgPool2d {
        /// Window and stride.
        window: [usize; 2],
    },
    /// Mean over axes, which stay with length 1.
    Mean {
        /// Axes, ascending.
        axes: Vec<usize>,
    },
    /// Rows of a table `[vocabulary, C]` by integer ids.
    Embedding {
        /// `[vocabulary, C]`.
        weight: Weight,
    },
    /// Fixed numbers.
    Constant {
        /// Shape.
        shape: Vec<usize>,
        /// Values, row-major.
        data: Vec<f32>,
    },
    /// A weight itself as a value, e.g. learned positions.
    Parameter {
        /// Any shape.
        weight: Weight,
    },
    /// Sinusoidal embedding of `[N]` numbers as `[N, channels]` (Ho et al. 2020, as diffusers' `Timesteps`): sines and
    /// cosines of half the channels each, and a zero at the end of an odd number.
    Sinusoid {
        /// Channels, at least 2.
        channels: usize,
        /// Cosines before sines.
        flip_sin_to_cos: bool,
        /// `downscale_freq_shift` of diffusers.
        frequency_shift: f32,
    },
}

impl Op {
    /// The operation's name, as printed.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Conv2d { .. } => "Conv2d",
            Op::Linear { .. } => "Linear",
            Op::MatMul => "MatMul",
            Op::GroupNorm { .. } => "GroupNorm",
            Op::LayerNorm { .. } => "LayerNorm",
            Op::Attention { .. } => "Attention",
            Op::Silu => "Silu",
            Op::Gelu => "Gelu",
            Op::QuickGelu => "QuickGelu",
            Op::Relu => "Relu",
            Op::Tanh => "Tanh",
            Op::Sigmoid => "Sigmoid",
            Op::Softmax => "Softmax",
            Op::Add => "Add",
            Op::Sub => "Sub",
            Op::Mul => "Mul",
            Op::Affine { .. } => "Affine",
            Op::Concat { .. } => "Concat",
            Op::Slice { .. } => "Slice",
            Op::Reshape { .. } => "Reshape",
            Op::Transpose { .. } => "Transpose",
            Op::ResizeNearest { .. } => "ResizeNearest",
            Op::AvgPool2d { .. } => "AvgPool2d",
            Op::Mean { .. } => "Mean",
            Op::Embedding { .. } => "Embedding",
            Op::Constant { .. } => "Constant",
            Op::Parameter { .. } => "Parameter",
            Op::Sinusoid { .. } => "Sinusoid",
        }
    }

    /// The weights that it reads, main one first.
    pub fn weights(&self) -> Vec<&Weight> {
        match self {
            Op::Conv2d { weight, bias, .. } | Op::Linear { weight, bias } => {
                std::iter::once(weight).chain(bias).collect()
            }
            Op::GroupNorm { weight, bias, .. } | Op::LayerNorm { weight, bias, .. } => vec![weight, bias],
            Op::Embedding { weight } | Op::Parameter { weight } => vec![weight],
            Op::MatMul
            | Op::Attention { .. }
            | Op::Silu
            | Op::Gelu
            | Op::QuickGelu
            | Op::Relu
            | Op::Tanh
            | Op::Sigmoid
            | Op::Softmax
            | Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Affine { .. }
            | Op::Concat { .. }
            | Op::Slice { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::ResizeNearest { .. }
            | Op::AvgPool2d { .. }
            | Op::Mean { .. }
            | Op::Constant { .. }
            | Op::Sinusoid { .. } => Vec::new(),
        }
    }
}
