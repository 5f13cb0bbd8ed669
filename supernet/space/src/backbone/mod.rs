mod blocks;
mod config;
mod layers;
mod options;
mod resolve;
mod unet;

pub use config::{
    Activation, Attention, Block, ClassEmbedding, Context, Embedding, TextNorm, TextTime, UNetConfig,
};
pub use unet::{Backbone, DenoiserShape};

pub(crate) use layers::{ResnetSettings, resnet};
pub(crate) use unet::UNetBuilder;
