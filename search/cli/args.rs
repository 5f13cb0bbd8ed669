mod architecture;
mod distill;
mod evaluate;
mod generate;
mod profile;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tnas_pipeline::import::Import;
use tnas_stages::options::LatencyEvalOptions;

use crate::latency_bench::LatencyBenchArgs;

pub use architecture::{ModelCommand, NewModelArgs, SpaceArgs, SpaceCommand, StepArgs};
pub use distill::DistillArgs;
pub use evaluate::EvaluateArgs;
pub use generate::GenerateArgs;
pub use profile::{ProfileArgs, ProfileCommand};

/// Neural architecture search over the temporal layers of video diffusion models.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands that take more than a study, or none. Those of single stages are added from the list of stages.
#[derive(Subcommand)]
pub enum Command {
    /// All stages of a study: from clips to a searched, trained, distilled and exported model, and a report.
    #[command(after_help = stages_help())]
    Run(StudyArgs),
    /// The image backbone: train it on a study's frames, or take the study's.
    #[command(subcommand)]
    Backbone(BackboneCommand),
    /// Noise schedulers.
    #[command(subcommand)]
    Scheduler(SchedulerCommand),
    /// Search spaces.
    #[command(subcommand)]
    Space(SpaceCommand),
    /// Architectures outside a study.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Measure architectures of the space on this machine, or plan and import measurements of another device.
    #[command(after_help = tnas_stages::measuring::runtimes::help())]
    Profile(ProfileArgs),
    /// The latency predictor.
    #[command(subcommand)]
    Latency(LatencyCommand),
    /// Train the winner, the image model alone, temporal attention everywhere, the hand-made rule and random architectures of
    /// its size on the same batches, and report which the winner dominates.
    Compare(StudyArgs),
    /// Fine-tune the winner to few steps.
    Distill(DistillArgs),
    /// Sample clips from captions with a trained model.
    Generate(GenerateArgs),
    /// Compare models and folders of films with real clips, and check the evaluator's metrics on corrupted real clips.
    Evaluate(EvaluateArgs),
    /// Draw what the stages recorded.
    Report(StudyArgs),
    /// Write the JSON Schemas of the files of a run that other programs read.
    Schemas {
        /// Folder for the schemas.
        #[arg(long)]
        out: PathBuf,
    },
    /// Show what this machine offers: processor, graphics adapters, runtimes.
    Doctor {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Measures one architecture; started by `profile` in a process of its own.
    #[command(hide = true)]
    MeasureOne,
}

/// The stages of `run`, in order.
fn stages_help() -> String {
    let lines = tnas_stages::STAGES.iter().map(|stage| format!("  {:<12} {}\n", stage.name, stage.help));
    format!("Stages, each skipped where nothing that it depends on changed:\n{}", lines.collect::<String>())
}

/// Parts of the backbone stage.
#[derive(Subcommand)]
pub enum BackboneCommand {
    /// Train an image model on single frames of the study's clips.
    Train(StudyArgs),
    /// Copy the study's image model into the run, once every file of it is found to fit.
    Take(StudyArgs),
    /// Prove a model of diffusers or transformers (UNet, autoencoder, CLIP text encoder) against outputs that another
    /// implementation gave; exits 3 where one differs.
    Check(CheckArgs),
    /// Make a published motion model a point of the search space: an image model, temporal weights under this project's
    /// names, and the genotype that they belong to.
    Import(ImportArgs),
}

/// A published motion model.
#[derive(Args, Clone)]
pub struct ImportArgs {
    /// Folder of a MotionAdapter, UNetMotionModel, UNet3DConditionModel or UNetSpatioTemporalConditionModel in diffusers
    /// layout, or of a pipeline with one in unet/.
    #[arg(long)]
    pub motion: PathBuf,
    /// Pipeline or UNet whose image weights are taken; the motion model's own where not given. A MotionAdapter needs one.
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// New folder for the pipeline.
    #[arg(long)]
    pub out: PathBuf,
    /// A search space (TOML) that must hold the genotype.
    #[arg(long)]
    pub space: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl ImportArgs {
    /// What is imported.
    pub fn import(&self) -> Import {
        let Self { motion, base, out, space, .. } = self.clone();
        Import { motion, base, out, space }
    }
}

/// A model with inputs and outputs.
#[derive(Args, Clone)]
pub struct CheckArgs {
    /// Folder with config.json, model.safetensors (or diffusers' own name, sharded or not) and io.safetensors.
    pub folder: PathBuf,
    /// Where tensors are computed: cpu, gpu, gpu:software or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What can be done with noise schedulers.
#[derive(Subcommand)]
pub enum SchedulerCommand {
    /// Prove schedulers against trajectories that another implementation recorded; exits 3 where one differs.
    Check(SchedulerCheckArgs),
}

/// Recorded trajectories.
#[derive(Args, Clone)]
pub struct SchedulerCheckArgs {
    /// Folder with config.json (options by name of the trajectory) and io.safetensors.
    pub folder: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Parts of the latency stage.
#[derive(Subcommand)]
pub enum LatencyCommand {
    /// Evaluate the predictor on published measurements.
    Bench(LatencyBenchArgs),
    /// Evaluate how well a profile's latencies are predicted: a table, a learning curve, and a plot for the report.
    Eval(LatencyEvalArgs),
}

/// What is evaluated.
#[derive(Args, Clone)]
pub struct LatencyEvalArgs {
    /// The study and its run.
    #[command(flatten)]
    pub study: StudyArgs,
    /// A profile to evaluate; the target's where not given.
    #[arg(long)]
    pub profile: Option<PathBuf>,
    /// Measured architectures to learn from, the most informative ones; all but those held out where not given.
    #[arg(long)]
    pub measurements: Option<usize>,
    /// Profiles of other devices to learn from too.
    #[arg(long, value_delimiter = ',')]
    pub sources: Vec<PathBuf>,
    /// Random splits into training and test set that are averaged.
    #[arg(long, default_value_t = 10)]
    pub splits: u64,
}

impl LatencyEvalArgs {
    /// What the stage is asked for.
    pub fn options(&self) -> LatencyEvalOptions {
        LatencyEvalOptions {
            profile: self.profile.clone(),
            measurements: self.measurements,
            sources: self.sources.clone(),
            splits: self.splits,
        }
    }
}

/// A study and how to run it.
#[derive(Args, Clone)]
pub struct StudyArgs {
    /// The study's TOML file.
    pub study: PathBuf,
    /// Overrides a setting, e.g. `--set seed=2`; may be given again.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where runs are kept.
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// Where tensors are computed: cpu, gpu, gpu:software or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Threads of the CPU device; all cores where not given.
    #[arg(long)]
    pub threads: Option<usize>,
    /// End with one JSON object of the run's figures on stdout.
    #[arg(long)]
    pub json: bool,
}
