//! The halves of Stable Video Diffusion's resnets and transformers over frames (Blattmann et al. 2023, as
//! diffusers' `UNetSpatioTemporalConditionModel`), each mixed with the image half by a learned fraction. Untrained ones change
//! nothing.

use tnas_graph::{Elastic, GraphBuilder, Init, Op, ValueId, Weight};

use super::{
    config::Block,
    layers::{TransformerSettings, mixed_transformer},
    unet::UNetBuilder,
};
use tnas_space::layers::{BranchWeights, Heads, attention, geglu, over_frames};
use tnas_space::{Slot, temporal_prefix};

/// Branches that start at zero.
const BRANCH: BranchWeights = BranchWeights { out: Init::Zeros, elastic: Elastic::Exact };

/// Front part of the weight names of these halves at a slot.
pub(crate) fn video_prefix(slot: &str) -> String {
    format!("{}.svd.0", temporal_prefix(&Slot::new(slot)))
}

impl UNetBuilder<'_> {
    /// What follows a resnet: convolutions over frames with the time embedding between them, mixed with their input.
    pub(super) fn temporal_resnet(&mut self, slot: &str, x: ValueId, block: &Block) -> ValueId {
        let (batch, frames, groups) = (self.batch, self.frames, self.config.norm_num_groups);
        let embedding = self.embedding(block.skip_time_activation);
        let g = &mut *self.g;
        let &[images, channels, height, width] = g.shape(x) else { return x };
        let mixer = video_prefix(slot);
        let path = format!("{mixer}.temporal_res_block");
        let clip = g.reshape(&format!("{path}.split"), x, &[batch, frames, channels, height * width]);
        let clip = g.transpose(&format!("{path}.to_channels"), clip, &[0, 2, 1, 3]); // [B, C, F, H·W]
        let h = g.group_norm(&format!("{path}.norm1"), clip, groups, block.norm_eps);
        let h = g.silu(&format!("{path}.act1"), h);
        let h = over_frames(g, &format!("{path}.conv1"), h, Init::FanIn);
        let e = g.linear(&format!("{path}.time_emb_proj"), embedding, channels, true, Init::FanIn);
        let e = g.reshape(&format!("{path}.time_emb"), e, &[batch, channels, 1, 1]);
        let h = g.add(&format!("{path}.add_time"), h, e);
        let h = g.group_norm(&format!("{path}.norm2"), h, groups, block.norm_eps);
        let h = g.silu(&format!("{path}.act2"), h);
        let h = over_frames(g, &format!("{path}.conv2"), h, Init::Zeros);
        let h = g.add(&format!("{path}.residual"), clip, h);
        let h = mixed(g, &mixer, clip, h);
        let h = g.transpose(&format!("{mixer}.time_mixer.to_frames"), h, &[0, 2, 1, 3]); // [B, F, C, H·W]
        g.reshape(&format!("{mixer}.time_mixer.merge"), h, &[images, channels, height, width])
    }

    /// A transformer each of whose blocks is followed by one over frames, mixed with its input.
    pub(super) fn spatio_temporal_transformer(
        &mut self,
        path: &str,
        slot: &str,
        x: ValueId,
        context: ValueId,
        settings: &TransformerSettings,
    ) -> ValueId {
        let (batch, frames) = (self.batch, self.frames);
        let mixer = video_prefix(slot);
        let channels = self.g.shape(x)[1];
        let places = frame_places(self.g, &format!("{mixer}.time_pos_embed"), frames, channels);
        mixed_transformer(self.g, path, x, context, settings, &mut |g, index, tokens| {
            let &[images, pixels, channels] = g.shape(tokens) else { return tokens };
            let path = format!("{mixer}.temporal_transformer_blocks.{index}");
            let clip = g.reshape(&format!("{path}.split"), tokens, &[batch, frames, pixels, channels]);
            let h = g.add(&format!("{path}.position"), clip, places);
            let h = g.transpose(&format!("{path}.to_pixels"), h, &[0, 2, 1, 3]); // [B, H·W, F, C]
            let h = g.reshape(&format!("{path}.rows"), h, &[batch * pixels, frames, channels]);
            let h = temporal_block(g, &path, h, context, settings);
            let h = g.reshape(&format!("{path}.pixels"), h, &[batch, pixels, frames, channels]);
            let h = g.transpose(&format!("{path}.to_frames"), h, &[0, 2, 1, 3]); // [B, F, H·W, C]
            let h = mixed(g, &mixer, clip, h);
            g.reshape(&format!("{mixer}.time_mixer.merge"), h, &[images, pixels, channels])
        })
    }
}

/// Feed-forward, self-attention over frames, cross-attention to the text and feed-forward on `[B·H·W, F, C]`.
fn temporal_block(
    g: &mut GraphBuilder,
    path: &str,
    x: ValueId,
    context: ValueId,
    settings: &TransformerSettings,
) -> ValueId {
    let heads = Heads { count: settings.heads, depth: settings.depth };
    let h = g.layer_norm(&format!("{path}.norm_in"), x, 1e-5);
    let h = geglu(g, &format!("{path}.ff_in"), h, BRANCH);
    let x = g.add(&format!("{path}.add_in"), h, x);
    let h = g.layer_norm(&format!("{path}.norm1"), x, 1e-5);
    let h = attention(g, &format!("{path}.attn1"), h, h, heads, BRANCH);
    let x = g.add(&format!("{path}.add1"), h, x);
    let h = g.layer_norm(&format!("{path}.norm2"), x, 1e-5);
    let h = attention(g, &format!("{path}.attn2"), h, context, heads, BRANCH);
    let x = g.add(&format!("{path}.add2"), h, x);
    let h = g.layer_norm(&format!("{path}.norm3"), x, 1e-5);
    let h = geglu(g, &format!("{path}.ff"), h, BRANCH);
    g.add(&format!("{path}.add3"), h, x)
}

/// A learned code of each frame's number, `[1, F, 1, C]`.
fn frame_places(g: &mut GraphBuilder, path: &str, frames: usize, channels: usize) -> ValueId {
    let numbers = g.constant(&format!("{path}.frames"), &[frames], (0..frames).map(|frame| frame as f32).collect());
    let sinusoids = Op::Sinusoid { channels, flip_sin_to_cos: true, frequency_shift: 0.0 };
    let h = g.node(&format!("{path}.sinusoids"), sinusoids, &[numbers]);
    let h = g.linear(&format!("{path}.linear_1"), h, 4 * channels, true, Init::FanIn);
    let h = g.silu(&format!("{path}.act"), h);
    let h = g.linear(&format!("{path}.linear_2"), h, channels, true, Init::Zeros);
    g.reshape(&format!("{path}.rows"), h, &[1, frames, 1, channels])
}

/// α·image + (1−α)·video with α = sigmoid of a learned number, on four axes.
fn mixed(g: &mut GraphBuilder, path: &str, image: ValueId, video: ValueId) -> ValueId {
    let path = format!("{path}.time_mixer");
    let weight = Weight::new(format!("{path}.mix_factor"), &[1], Init::Zeros);
    let fraction = g.node(&format!("{path}.mix_factor"), Op::Parameter { weight }, &[]);
    let fraction = g.node(&format!("{path}.share"), Op::Sigmoid, &[fraction]);
    let fraction = g.reshape(&format!("{path}.share.axes"), fraction, &[1, 1, 1, 1]);
    // As video + α·(image − video): equal halves stay what they are.
    let change = g.node(&format!("{path}.change"), Op::Sub, &[image, video]);
    let change = g.mul(&format!("{path}.shared"), change, fraction);
    g.add(&format!("{path}.mixed"), video, change)
}
