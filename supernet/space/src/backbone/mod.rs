mod blocks;
mod config;
mod layers;
mod unet;

pub use config::UNetConfig;
pub use unet::{Backbone, DenoiserShape};

pub(crate) use layers::{resnet, ResnetSettings};
pub(crate) use unet::UNetBuilder;
