mod blocks;
mod config;
mod layers;
mod unet;

pub use config::UNetConfig;
pub use unet::{Backbone, DenoiserShape};

pub(crate) use layers::{ResnetSettings, resnet};
pub(crate) use unet::UNetBuilder;
