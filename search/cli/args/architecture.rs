use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What can be asked of a search space.
#[derive(Subcommand)]
pub enum SpaceCommand {
    /// Print slots, choices, how many architectures there are, and the least and the most that one costs.
    Show(SpaceArgs),
}

/// A search space over a backbone.
#[derive(Args, Clone)]
pub struct SpaceArgs {
    /// The space's TOML file.
    pub space: PathBuf,
    /// Folder with the UNet's config.json, or with unet/config.json.
    #[arg(long)]
    pub backbone: PathBuf,
    /// Frames of a clip.
    #[arg(long, default_value_t = 16)]
    pub frames: usize,
    /// Rows and columns of the sample (of latents, where there is an autoencoder).
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// Text tokens.
    #[arg(long, default_value_t = 77)]
    pub tokens: usize,
    /// A device's predictor (`runs/<name>/latency/<device>.json`), learned on this space and on clips of this shape.
    #[arg(long)]
    pub predictor: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What can be done with one architecture.
#[derive(Subcommand)]
pub enum ModelCommand {
    /// Write an architecture as a model folder: image weights where the backbone has them, the rest drawn at random.
    New(NewModelArgs),
    /// Load a model folder, take one denoising step, and report seconds and memory.
    Step(StepArgs),
}

/// Which architecture to write, and where.
#[derive(Args, Clone)]
pub struct NewModelArgs {
    /// Folder with the UNet's config.json, or with unet/config.json and its weights.
    #[arg(long)]
    pub backbone: PathBuf,
    /// The architecture, e.g. `mid.0.a=attn3d(heads=8)`.
    #[arg(long, conflicts_with = "space")]
    pub genotype: Option<String>,
    /// Take one of this search space instead: the one found nearest to --parameters.
    #[arg(long)]
    pub space: Option<PathBuf>,
    /// How many parameters it should have.
    #[arg(long, default_value_t = 0.6e9)]
    pub parameters: f64,
    /// At most so many multiply-accumulates in one call of the frames, size and tokens given.
    #[arg(long)]
    pub macs: Option<f64>,
    /// Frames of a clip.
    #[arg(long, default_value_t = 16)]
    pub frames: usize,
    /// Rows and columns of the sample.
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// Text tokens.
    #[arg(long, default_value_t = 77)]
    pub tokens: usize,
    /// Seed of the choice and of the weights that are drawn.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder to write.
    #[arg(long)]
    pub out: PathBuf,
}

/// One step of a model.
#[derive(Args, Clone)]
pub struct StepArgs {
    /// A model folder: unet/ and genotype.json.
    pub folder: PathBuf,
    /// Frames of a clip.
    #[arg(long, default_value_t = 16)]
    pub frames: usize,
    /// Rows and columns of the sample (of latents, where there is an autoencoder).
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// Text tokens.
    #[arg(long, default_value_t = 77)]
    pub tokens: usize,
    /// Where tensors are computed: cpu, gpu, gpu:software or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
