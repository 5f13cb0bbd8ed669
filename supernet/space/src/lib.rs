//! From backbone configs and genotypes to graphs.
//!
//! A [`Backbone`] is an image UNet read from a diffusers config. It has [`Slot`]s, where temporal operators may
//! be inserted; a [`Genotype`] puts one [`Choice`] into each. [`Backbone::denoiser`] builds the [`tnas_graph::Graph`]
//! of the two. A [`SearchSpace`] says which choices each slot has.
//!
//! To add an operator, write one file in `operators/` and add its line to [`OPERATORS`].

mod autoencoder;
mod backbone;
mod block;
mod choice;
mod discriminator;
mod error;
mod evaluator;
mod genotype;
mod limits;
mod motion;
mod operators;
mod search_space;
mod slot;
mod text_config;
mod text_encoder;

pub use autoencoder::{Autoencoder, LatentLayout};
pub use backbone::{
    Activation, Attention, Backbone, Block, ClassEmbedding, Context, DenoiserShape, Embedding, TextNorm, TextTime,
    UNetConfig,
};
pub use choice::{Arg, Choice, OperatorSpec};
pub use discriminator::{Discriminator, HEAD_PREFIX};
pub use error::{SpaceError, nearest};
pub use evaluator::EvaluatorNetwork;
pub use genotype::{ArchId, Genotype};
pub use limits::{Limits, Usage, Verdict, verdict};
pub use motion::{MotionAdapter, MotionModel, NameMap, is_sinusoidal};
pub use operators::{Count, Insertion, OPERATORS, OperatorKind, Param, Word, temporal_prefix};
pub use search_space::{Genome, SearchSpace, SlotChoices, SpaceFile, SpaceRule};
pub use slot::{Slot, SlotInfo};
pub use text_config::{EndOfText, TextActivation, TextEncoderConfig};
pub use text_encoder::{TextEncoder, TextLayer};
