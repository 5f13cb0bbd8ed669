//! Layers of diffusers UNets, under diffusers' names.

use tnas_graph::{GraphBuilder, Init, Op, ValueId, Weight};

use super::config::{Activation, TextNorm};
use tnas_space::layers::{BranchWeights, Heads, attention, geglu, split_heads};

/// What a resnet block needs to know besides its path.
pub(crate) struct ResnetSettings {
    /// Channels that it makes.
    pub out_channels: usize,
    /// Groups of its norms.
    pub groups: usize,
    /// Added to their variance.
    pub eps: f32,
    /// Images per row of the embedding: F where the embedding is per clip.
    pub images_per_embedding: usize,
    /// Activation of both halves.
    pub activation: Activation,
    /// The embedding scales and shifts the second half instead of being added to the first.
    pub scale_shift: bool,
    /// The sum is divided by it.
    pub out_scale: f32,
    /// Change of size before the first convolution.
    pub resample: Option<Resample>,
}

/// Halving or doubling without weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resample {
    Halve,
    Double,
}

impl ResnetSettings {
    /// Silu, the embedding added, no change of size.
    pub fn new(out_channels: usize, groups: usize, eps: f32, images_per_embedding: usize) -> Self {
        Self {
            out_channels,
            groups,
            eps,
            images_per_embedding,
            activation: Activation::Silu,
            scale_shift: false,
            out_scale: 1.0,
            resample: None,
        }
    }
}

/// `ResnetBlock2D`: two norm-activation-convolution halves, the time embedding between them, and a shortcut.
pub(crate) fn resnet(
    g: &mut GraphBuilder,
    path: &str,
    mut x: ValueId,
    embedding: Option<ValueId>,
    settings: &ResnetSettings,
) -> ValueId {
    let ResnetSettings { out_channels, groups, eps, .. } = *settings;
    let h = g.group_norm(&format!("{path}.norm1"), x, groups, eps);
    let mut h = activate(g, &format!("{path}.act1"), h, settings.activation);
    if let Some(resample) = settings.resample {
        h = resized(g, &format!("{path}.resampled"), h, resample);
        x = resized(g, &format!("{path}.resampled_shortcut"), x, resample);
    }
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let mut h = conv3(g, &format!("{path}.conv1"), h, out_channels, 1);
    let batch = images / settings.images_per_embedding;
    let clip = [batch, settings.images_per_embedding, out_channels, height * width];
    let merged = [images, out_channels, height, width];
    let mut scale_shift = None;
    if let Some(embedding) = embedding {
        let width = if settings.scale_shift { 2 * out_channels } else { out_channels };
        let e = g.linear(&format!("{path}.time_emb_proj"), embedding, width, true, Init::FanIn);
        let e = g.reshape(&format!("{path}.time_emb"), e, &[batch, 1, width, 1]);
        if settings.scale_shift {
            let scale = g.slice(&format!("{path}.scale"), e, 2, 0, out_channels);
            let scale = g.affine(&format!("{path}.scale.plus_one"), scale, 1.0, 1.0);
            scale_shift = Some((scale, g.slice(&format!("{path}.shift"), e, 2, out_channels, width)));
        } else {
            let split = g.reshape(&format!("{path}.split"), h, &clip);
            let sum = g.add(&format!("{path}.add_time"), split, e);
            h = g.reshape(&format!("{path}.merge"), sum, &merged);
        }
    }
    let mut h = g.group_norm(&format!("{path}.norm2"), h, groups, eps);
    if let Some((scale, shift)) = scale_shift {
        let split = g.reshape(&format!("{path}.split"), h, &clip);
        let scaled = g.mul(&format!("{path}.scale_time"), split, scale);
        let sum = g.add(&format!("{path}.add_time"), scaled, shift);
        h = g.reshape(&format!("{path}.merge"), sum, &merged);
    }
    let h = activate(g, &format!("{path}.act2"), h, settings.activation);
    let h = conv3(g, &format!("{path}.conv2"), h, out_channels, 1);
    let shortcut = if channels == out_channels {
        x
    } else {
        g.conv2d(&format!("{path}.conv_shortcut"), x, out_channels, [1, 1], [1, 1], [0, 0], Init::FanIn)
    };
    let sum = g.add(&format!("{path}.residual"), shortcut, h);
    divided(g, &format!("{path}.out_scale"), sum, settings.out_scale)
}

/// An activation.
pub(crate) fn activate(g: &mut GraphBuilder, path: &str, x: ValueId, activation: Activation) -> ValueId {
    match activation {
        Activation::Silu => g.silu(path, x),
        Activation::Gelu => g.gelu(path, x),
        Activation::Relu => g.relu(path, x),
    }
}

fn resized(g: &mut GraphBuilder, path: &str, x: ValueId, resample: Resample) -> ValueId {
    let op = match (resample, g.shape(x)) {
        (Resample::Double, &[_, _, height, width]) => Op::ResizeNearest { size: [2 * height, 2 * width] },
        _ => Op::AvgPool2d { window: [2, 2] },
    };
    g.node(path, op, &[x])
}

fn divided(g: &mut GraphBuilder, path: &str, x: ValueId, by: f32) -> ValueId {
    if by == 1.0 { x } else { g.affine(path, x, 1.0 / by, 0.0) }
}

/// 3×3 convolution that keeps the size, or halves it with stride 2.
pub(crate) fn conv3(g: &mut GraphBuilder, path: &str, x: ValueId, out: usize, stride: usize) -> ValueId {
    g.conv2d(path, x, out, [3, 3], [stride, stride], [1, 1], Init::FanIn)
}

/// 3×3 convolution of stride 2 with this padding; 0 pads the bottom and right by one, as diffusers does.
pub(crate) fn halving(g: &mut GraphBuilder, path: &str, x: ValueId, out: usize, padding: usize) -> ValueId {
    if padding > 0 {
        return g.conv2d(path, x, out, [3, 3], [2, 2], [padding, padding], Init::FanIn);
    }
    let channels = g.shape(x).get(1).copied().unwrap_or(1);
    let weight = Weight::new(format!("{path}.weight"), &[out, channels, 3, 3], Init::FanIn);
    let bias = Some(Weight::new(format!("{path}.bias"), &[out], Init::FanIn));
    g.node(path, Op::Conv2d { weight, bias, stride: [2, 2], padding: [0, 0, 1, 1], groups: 1 }, &[x])
}

/// What a transformer needs to know besides its path.
pub(crate) struct TransformerSettings {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub depth: usize,
    /// Transformer blocks.
    pub blocks: usize,
    /// The first attention reads the text too, not the pixels.
    pub only_cross: bool,
    /// Linear instead of 1×1 convolutions around it.
    pub linear: bool,
    /// Groups of its norm.
    pub groups: usize,
}

/// `Transformer2DModel`: blocks of self-attention over pixels, cross-attention to the text, GEGLU feed-forward.
/// `context` is `[B, L, X]` for images `[B·F, C, H, W]`.
pub(crate) fn transformer(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    context: ValueId,
    settings: &TransformerSettings,
) -> ValueId {
    mixed_transformer(g, path, x, context, settings, &mut |_, _, tokens| tokens)
}

/// The same with something done to the tokens `[B·F, H·W, C]` after each block, of this number.
pub(crate) fn mixed_transformer(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    context: ValueId,
    settings: &TransformerSettings,
    mix: &mut dyn FnMut(&mut GraphBuilder, usize, ValueId) -> ValueId,
) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let TransformerSettings { heads, depth, linear, .. } = *settings;
    let (pixels, inner) = (height * width, heads * depth);
    let h = g.group_norm(&format!("{path}.norm"), x, settings.groups, 1e-6);
    let to_tokens = |g: &mut GraphBuilder, h: ValueId, channels: usize| {
        let h = g.reshape(&format!("{path}.flatten"), h, &[images, channels, pixels]);
        g.transpose(&format!("{path}.to_tokens"), h, &[0, 2, 1]) // [B·F, H·W, C]
    };
    let proj_in = format!("{path}.proj_in");
    let mut tokens = if linear {
        let tokens = to_tokens(g, h, channels);
        g.linear(&proj_in, tokens, inner, true, Init::FanIn)
    } else {
        let h = g.conv2d(&proj_in, h, inner, [1, 1], [1, 1], [0, 0], Init::FanIn);
        to_tokens(g, h, inner)
    };
    for index in 0..settings.blocks {
        tokens = block(g, &format!("{path}.transformer_blocks.{index}"), tokens, context, settings);
        tokens = mix(g, index, tokens);
    }
    let proj_out = format!("{path}.proj_out");
    if linear {
        tokens = g.linear(&proj_out, tokens, channels, true, Init::FanIn);
    }
    let h = g.transpose(&format!("{path}.to_images"), tokens, &[0, 2, 1]);
    let made = if linear { channels } else { inner };
    let mut h = g.reshape(&format!("{path}.unflatten"), h, &[images, made, height, width]);
    if !linear {
        h = g.conv2d(&proj_out, h, channels, [1, 1], [1, 1], [0, 0], Init::FanIn);
    }
    g.add(&format!("{path}.residual"), h, x)
}

fn block(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    context: ValueId,
    settings: &TransformerSettings,
) -> ValueId {
    let only_cross = settings.only_cross;
    let heads = Heads { count: settings.heads, depth: settings.depth };
    let weights = BranchWeights::IMAGE;
    let h = g.layer_norm(&format!("{path}.norm1"), x, 1e-5);
    let h = attention(g, &format!("{path}.attn1"), h, if only_cross { context } else { h }, heads, weights);
    let x = g.add(&format!("{path}.add1"), x, h);
    let h = g.layer_norm(&format!("{path}.norm2"), x, 1e-5);
    let h = attention(g, &format!("{path}.attn2"), h, context, heads, weights);
    let x = g.add(&format!("{path}.add2"), x, h);
    let h = g.layer_norm(&format!("{path}.norm3"), x, 1e-5);
    let h = geglu(g, &format!("{path}.ff"), h, weights);
    g.add(&format!("{path}.add3"), x, h)
}

/// What an attention over an image's pixels needs to know besides its path.
pub(crate) struct PixelAttention<'a> {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub depth: usize,
    /// Groups of its norm, and what is added to their variance; none where there is no norm.
    pub norm: Option<(usize, f32)>,
    /// The sum is divided by it.
    pub out_scale: f32,
    /// Text `[B, L, X]` whose keys and values stand before the pixels'.
    pub text: Option<&'a AddedText>,
}

/// Text for [`PixelAttention`].
pub(crate) struct AddedText {
    /// `[B, L, X]`.
    pub context: ValueId,
    /// Norm before its projections.
    pub norm: Option<TextNorm>,
    /// No keys and values of the pixels.
    pub only: bool,
}

/// diffusers' `Attention` on images `[B·F, C, H, W]`, with its input added.
pub(crate) fn pixel_attention(g: &mut GraphBuilder, path: &str, x: ValueId, settings: &PixelAttention) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let (pixels, heads, inner) = (height * width, settings.heads, settings.heads * settings.depth);
    let h = match settings.norm {
        Some((groups, eps)) => g.group_norm(&format!("{path}.group_norm"), x, groups, eps),
        None => x,
    };
    let h = g.reshape(&format!("{path}.flatten"), h, &[images, channels, pixels]);
    let h = g.transpose(&format!("{path}.to_tokens"), h, &[0, 2, 1]);
    let mut project = |name: &str, from: ValueId, batch: usize| {
        let y = g.linear(&format!("{path}.{name}"), from, inner, true, Init::FanIn);
        split_heads(g, &format!("{path}.{name}"), y, batch, heads)
    };
    let q = project("to_q", h, images);
    let only = settings.text.is_some_and(|text| text.only);
    let own = (!only).then(|| (project("to_k", h, images), project("to_v", h, images)));
    let (k, v) = match (settings.text, own) {
        (Some(text), own) => {
            let (k, v) = text_keys(g, path, text, images, heads, inner);
            own.map_or((k, v), |(own_k, own_v)| {
                let k = g.concat(&format!("{path}.keys"), &[k, own_k], 2);
                (k, g.concat(&format!("{path}.values"), &[v, own_v], 2))
            })
        }
        (None, Some(own)) => own,
        (None, None) => (q, q),
    };
    let y = g.attention(&format!("{path}.attention"), q, k, v, false);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]);
    let y = g.reshape(&format!("{path}.merge"), y, &[images, pixels, inner]);
    let y = g.linear(&format!("{path}.to_out.0"), y, channels, true, Init::FanIn);
    let y = g.transpose(&format!("{path}.to_images"), y, &[0, 2, 1]);
    let y = g.reshape(&format!("{path}.unflatten"), y, &[images, channels, height, width]);
    let sum = g.add(&format!("{path}.residual"), y, x);
    divided(g, &format!("{path}.out_scale"), sum, settings.out_scale)
}

/// Keys and values of the text, one copy per image.
fn text_keys(
    g: &mut GraphBuilder,
    path: &str,
    text: &AddedText,
    images: usize,
    heads: usize,
    inner: usize,
) -> (ValueId, ValueId) {
    const GROUPS: usize = 32;
    let mut context = text.context;
    let batch = g.shape(context)[0];
    let name = format!("{path}.norm_cross");
    match text.norm {
        None => {}
        Some(TextNorm::Layer) => context = g.layer_norm(&name, context, 1e-5),
        Some(TextNorm::Group) => {
            let &[_, tokens, channels] = g.shape(context) else { return (context, context) };
            let turned = g.transpose(&format!("{name}.to_channels"), context, &[0, 2, 1]);
            let turned = g.reshape(&format!("{name}.image"), turned, &[batch, channels, tokens, 1]);
            let normed = g.group_norm(&name, turned, GROUPS, 1e-5);
            let normed = g.reshape(&format!("{name}.rows"), normed, &[batch, channels, tokens]);
            context = g.transpose(&format!("{name}.to_tokens"), normed, &[0, 2, 1]);
        }
    }
    let mut project = |name: &str| {
        let y = g.linear(&format!("{path}.{name}"), context, inner, true, Init::FanIn);
        let y = split_heads(g, &format!("{path}.{name}"), y, batch, heads);
        let (frames, shape) = (images / batch, g.shape(y).to_vec());
        if frames == 1 {
            return y;
        }
        let row = g.reshape(&format!("{path}.{name}.row"), y, &[batch, 1, shape[1..].iter().product()]);
        let ones = g.constant(&format!("{path}.{name}.frames"), &[1, frames, 1], vec![1.0; frames]);
        let rows = g.mul(&format!("{path}.{name}.repeat"), row, ones);
        g.reshape(&format!("{path}.{name}.rows"), rows, &[images, shape[1], shape[2], shape[3]])
    };
    (project("add_k_proj"), project("add_v_proj"))
}
