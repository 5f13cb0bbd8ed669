mod block_reader;
mod blocks;
mod config;
mod embedding;
mod from_json;
mod image;
mod layers;
pub(crate) mod options;
mod spatio_temporal;
mod unet;
mod video;

pub use config::{
    Activation, Attention, Block, ClassEmbedding, Context, Embedding, TextNorm, TextTime, UNetConfig,
};
pub use unet::{Backbone, DenoiserShape};

pub(crate) use layers::{PixelAttention, ResnetSettings, activate, conv3, halving, pixel_attention, resnet};
pub(crate) use options::{Known, MOST_LAYERS, Options, wrong};
pub(crate) use unet::UNetBuilder;
pub(crate) use video::{VideoClass, head_channels};
