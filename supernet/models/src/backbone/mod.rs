mod blocks;
mod config;
mod layers;
pub(crate) mod options;
mod resolve;
mod spatio_temporal;
mod unet;
mod video;

pub use config::{
    Activation, Attention, Block, ClassEmbedding, Context, Embedding, TextNorm, TextTime, UNetConfig,
};
pub use unet::{Backbone, DenoiserShape};

pub(crate) use layers::{PixelAttention, ResnetSettings, activate, conv3, halving, pixel_attention, resnet};
pub(crate) use options::{Known, Options, wrong};
pub(crate) use resolve::MOST_LAYERS;
pub(crate) use unet::UNetBuilder;
pub(crate) use video::{VideoClass, head_channels};
