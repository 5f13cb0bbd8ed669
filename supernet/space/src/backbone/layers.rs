//! Layers of diffusers UNets, under diffusers' names.

use tnas_graph::{GraphBuilder, Init, ValueId};

use super::UNetConfig;

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
}

/// `ResnetBlock2D`: two norm-silu-conv halves, the time embedding added between them, and a shortcut.
pub(crate) fn resnet(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    embedding: Option<ValueId>,
    settings: &ResnetSettings,
) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let ResnetSettings { out_channels, groups, eps, images_per_embedding } = *settings;
    let h = g.group_norm(&format!("{path}.norm1"), x, groups, eps);
    let h = g.silu(&format!("{path}.act1"), h);
    let mut h = conv3(g, &format!("{path}.conv1"), h, out_channels, 1);
    if let Some(embedding) = embedding {
        let batch = images / images_per_embedding;
        let e = g.linear(&format!("{path}.time_emb_proj"), embedding, out_channels, true, Init::FanIn);
        let e = g.reshape(&format!("{path}.time_emb"), e, &[batch, 1, out_channels, 1]);
        let clip = [batch, images_per_embedding, out_channels, height * width];
        let split = g.reshape(&format!("{path}.split"), h, &clip);
        let sum = g.add(&format!("{path}.add_time"), split, e);
        h = g.reshape(&format!("{path}.merge"), sum, &[images, out_channels, height, width]);
    }
    let h = g.group_norm(&format!("{path}.norm2"), h, groups, eps);
    let h = g.silu(&format!("{path}.act2"), h);
    let h = conv3(g, &format!("{path}.conv2"), h, out_channels, 1);
    let shortcut = if channels == out_channels {
        x
    } else {
        g.conv2d(&format!("{path}.conv_shortcut"), x, out_channels, [1, 1], [1, 1], [0, 0], Init::FanIn)
    };
    g.add(&format!("{path}.residual"), shortcut, h)
}

/// 3×3 convolution that keeps the size, or halves it with stride 2.
pub(crate) fn conv3(g: &mut GraphBuilder, path: &str, x: ValueId, out: usize, stride: usize) -> ValueId {
    g.conv2d(path, x, out, [3, 3], [stride, stride], [1, 1], Init::FanIn)
}

/// `Transformer2DModel` with one block: self-attention over pixels, cross-attention to the text, GEGLU feed-forward.
/// `context` is `[B, L, X]` for images `[B·F, C, H, W]`.
pub(crate) fn transformer(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    context: ValueId,
    heads: usize,
    config: &UNetConfig,
) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let pixels = height * width;
    let h = g.group_norm(&format!("{path}.norm"), x, config.norm_num_groups, 1e-6);
    let to_tokens = |g: &mut GraphBuilder, h: ValueId| {
        let h = g.reshape(&format!("{path}.flatten"), h, &[images, channels, pixels]);
        g.transpose(&format!("{path}.to_tokens"), h, &[0, 2, 1]) // [B·F, H·W, C]
    };
    let proj_in = format!("{path}.proj_in");
    let tokens = if config.use_linear_projection {
        let tokens = to_tokens(g, h);
        g.linear(&proj_in, tokens, channels, true, Init::FanIn)
    } else {
        let h = g.conv2d(&proj_in, h, channels, [1, 1], [1, 1], [0, 0], Init::FanIn);
        to_tokens(g, h)
    };
    let mut tokens = block(g, &format!("{path}.transformer_blocks.0"), tokens, context, heads);
    let proj_out = format!("{path}.proj_out");
    if config.use_linear_projection {
        tokens = g.linear(&proj_out, tokens, channels, true, Init::FanIn);
    }
    let h = g.transpose(&format!("{path}.to_images"), tokens, &[0, 2, 1]);
    let mut h = g.reshape(&format!("{path}.unflatten"), h, &[images, channels, height, width]);
    if !config.use_linear_projection {
        h = g.conv2d(&proj_out, h, channels, [1, 1], [1, 1], [0, 0], Init::FanIn);
    }
    g.add(&format!("{path}.residual"), h, x)
}

fn block(g: &mut GraphBuilder, path: &str, x: ValueId, context: ValueId, heads: usize) -> ValueId {
    let channels = g.shape(x)[2];
    let h = g.layer_norm(&format!("{path}.norm1"), x, 1e-5);
    let h = attention(g, &format!("{path}.attn1"), h, h, heads);
    let x = g.add(&format!("{path}.add1"), x, h);
    let h = g.layer_norm(&format!("{path}.norm2"), x, 1e-5);
    let h = attention(g, &format!("{path}.attn2"), h, context, heads);
    let x = g.add(&format!("{path}.add2"), x, h);
    let h = g.layer_norm(&format!("{path}.norm3"), x, 1e-5);
    let h = g.linear(&format!("{path}.ff.net.0.proj"), h, 8 * channels, true, Init::FanIn);
    let value = g.slice(&format!("{path}.ff.net.0.value"), h, 2, 0, 4 * channels);
    let gate = g.slice(&format!("{path}.ff.net.0.gate"), h, 2, 4 * channels, 8 * channels);
    let gate = g.gelu(&format!("{path}.ff.net.0.gelu"), gate);
    let h = g.mul(&format!("{path}.ff.net.0.geglu"), value, gate);
    let h = g.linear(&format!("{path}.ff.net.2"), h, channels, true, Init::FanIn);
    g.add(&format!("{path}.add3"), x, h)
}

/// Queries `[N, L, C]`, keys and values from `[M, S, X]`. Where N = M·F (frames of a clip share one text), the frames
/// are laid one after another in one long query list, so that the text need not be repeated.
fn attention(g: &mut GraphBuilder, path: &str, x: ValueId, context: ValueId, heads: usize) -> ValueId {
    let &[images, length, channels] = g.shape(x) else { return x };
    let batch = g.shape(context)[0];
    let mut project = |name: &str, from: ValueId, bias: bool| {
        let y = g.linear(&format!("{path}.{name}"), from, channels, bias, Init::FanIn);
        let rows = g.shape(y).iter().product::<usize>() / (batch * channels);
        let y = g.reshape(&format!("{path}.{name}.split"), y, &[batch, rows, heads, channels / heads]);
        g.transpose(&format!("{path}.{name}.heads"), y, &[0, 2, 1, 3])
    };
    let q = project("to_q", x, false);
    let (k, v) = (project("to_k", context, false), project("to_v", context, false));
    let y = g.attention(&format!("{path}.attention"), q, k, v, false);
    let y = g.transpose(&format!("{path}.join"), y, &[0, 2, 1, 3]);
    let y = g.reshape(&format!("{path}.merge"), y, &[images, length, channels]);
    g.linear(&format!("{path}.to_out.0"), y, channels, true, Init::FanIn)
}
