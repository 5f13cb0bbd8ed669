//! Networks as graphs: from the configs of diffusers to [`tnas_graph::Graph`]s.
//!
//! A [`Backbone`] is an image UNet read from a config. [`Backbone::denoiser`] builds the graph of the UNet with a
//! [`tnas_space::Genotype`]'s operators in its slots. Autoencoders, text encoders, discriminator heads and the evaluator
//! are graphs alike: no layer is written against tensors.

mod autoencoder;
mod backbone;
mod block;
mod discriminator;
mod error;
mod evaluator;
mod motion;
mod text_config;
mod text_encoder;

pub use autoencoder::{Autoencoder, LatentLayout};
pub use backbone::{
    Activation, Attention, Backbone, Block, ClassEmbedding, Context, DenoiserShape, Embedding, TextNorm, TextTime,
    UNetConfig,
};
pub use discriminator::{Discriminator, HEAD_PREFIX};
pub use error::ModelError;
pub use evaluator::EvaluatorNetwork;
pub use motion::{MotionAdapter, MotionModel, NameMap, is_sinusoidal};
pub use text_config::{EndOfText, TextActivation, TextEncoderConfig};
pub use text_encoder::{TextEncoder, TextLayer};
