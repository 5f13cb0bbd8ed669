mod distill;
mod evaluate;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tnas_clips::FilmFormat;
use tnas_pipeline::import::Import;
use tnas_stages::options::{self, GenerateOptions, LatencyEvalOptions, ProfileImportOptions, ProfilePlanOptions};

use crate::latency_bench::LatencyBenchArgs;

pub use distill::DistillArgs;
pub use evaluate::EvaluateArgs;

/// Neural architecture search over the temporal layers of video diffusion models.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What was typed.
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
    /// The supernet.
    #[command(subcommand)]
    Supernet(TrainCommand),
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
    /// Search the trade-off, measure the front again and pick the winner.
    Search(StudyArgs),
    /// Train the winner, and what it is compared with.
    Finetune(StudyArgs),
    /// Train the winner alike with the image model alone, temporal attention everywhere, the hand-made rule and random
    /// architectures of its size, and say which it dominates.
    Compare(StudyArgs),
    /// Fine-tune the winner to few steps.
    Distill(DistillArgs),
    /// Sample clips from captions with a trained model.
    Generate(GenerateArgs),
    /// The classifier that evaluates clips.
    #[command(subcommand, alias = "judge")]
    Evaluator(TrainCommand),
    /// Evaluate models and folders of films beside real clips, and the evaluator by corrupted real clips.
    Evaluate(EvaluateArgs),
    /// Write the winner for other runtimes, and prove the files.
    Export(StudyArgs),
    /// Draw what the stages recorded.
    Report(StudyArgs),
    /// Write the JSON Schemas of the files of a run that other programs read.
    Schemas {
        /// Folder for the schemas.
        #[arg(long)]
        out: PathBuf,
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
    /// Where tensors are computed: cpu, gpu or cuda:N.
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
    /// Load a model folder, take one denoising step, and tell seconds and memory.
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
    /// Where tensors are computed: cpu, gpu or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What is trained by a stage.
#[derive(Subcommand)]
pub enum TrainCommand {
    /// Train it.
    Train(StudyArgs),
}

/// Measuring here, or on another device.
#[derive(Args, Clone)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ProfileArgs {
    /// Another device.
    #[command(subcommand)]
    pub command: Option<ProfileCommand>,
    /// This machine.
    #[command(flatten)]
    pub study: Option<StudyArgs>,
}

/// Measurements that are made elsewhere.
#[derive(Subcommand, Clone)]
pub enum ProfileCommand {
    /// Write the models to measure and a table to fill.
    Plan(ProfilePlanArgs),
    /// Check a filled table and take it over as the device's profile.
    Import(ProfileImportArgs),
}

/// What is to be measured elsewhere.
#[derive(Args, Clone)]
pub struct ProfilePlanArgs {
    /// The study's TOML file.
    #[arg(default_value = "configs/studies/quickstart.toml")]
    pub study: PathBuf,
    /// Name of the device to measure on.
    #[arg(long)]
    pub device: String,
    /// Architectures to measure; a third of them is held out for tests.
    #[arg(long)]
    pub samples: usize,
    /// Folder for the models and the table; `measure/DEVICE` of the run where not given.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Overrides a setting.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where runs are kept.
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// End with one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

impl ProfilePlanArgs {
    /// What the stage is asked for.
    pub fn options(&self) -> ProfilePlanOptions {
        ProfilePlanOptions { device: self.device.clone(), samples: self.samples, out: self.out.clone() }
    }

    /// The study and its run.
    pub fn study_args(&self) -> StudyArgs {
        StudyArgs::on_cpu(&self.study, &self.overrides, &self.runs, self.json)
    }
}

impl ProfileImportArgs {
    /// What the stage is asked for.
    pub fn options(&self) -> ProfileImportOptions {
        ProfileImportOptions { device: self.device.clone(), from: self.from.clone() }
    }

    /// The study and its run.
    pub fn study_args(&self) -> StudyArgs {
        StudyArgs::on_cpu(&self.study, &self.overrides, &self.runs, self.json)
    }
}

impl StudyArgs {
    /// Of a command whose `--device` is another one.
    fn on_cpu(study: &Path, overrides: &[String], runs: &Path, json: bool) -> Self {
        let (study, runs) = (study.into(), runs.into());
        Self { study, overrides: overrides.to_vec(), runs, device: "cpu".into(), threads: None, json }
    }
}

/// What was measured elsewhere.
#[derive(Args, Clone)]
pub struct ProfileImportArgs {
    /// The study's TOML file.
    #[arg(default_value = "configs/studies/quickstart.toml")]
    pub study: PathBuf,
    /// Name of the device, as it was planned.
    #[arg(long)]
    pub device: String,
    /// Folder with the filled table; `measure/DEVICE` of the run where not given.
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// Overrides a setting.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where runs are kept.
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// End with one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Parts of the latency stage.
#[derive(Subcommand)]
pub enum LatencyCommand {
    /// Learn from the run's profile.
    Fit(StudyArgs),
    /// Learn from published measurements, and say how well others of them are predicted.
    Bench(LatencyBenchArgs),
    /// Say how well a profile's latencies are predicted: a table, a learning curve, and a plot for the report.
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
    /// Measured architectures to learn from, the most telling ones; all but those held out where not given.
    #[arg(long)]
    pub measurements: Option<usize>,
    /// Profiles of other devices to learn from too.
    #[arg(long, value_delimiter = ',')]
    pub sources: Vec<PathBuf>,
    /// Other ways to part what is learned from and what is tested, which are tried and averaged.
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
    /// Where tensors are computed: cpu, gpu or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Threads of the CPU device; all cores where not given.
    #[arg(long)]
    pub threads: Option<usize>,
    /// End with one JSON object of the run's figures on stdout.
    #[arg(long)]
    pub json: bool,
}

/// What to sample.
#[derive(Args, Clone)]
pub struct GenerateArgs {
    /// The study and its run.
    #[command(flatten)]
    pub study: StudyArgs,
    /// A caption; may be given again.
    #[arg(long = "caption", required_unless_present = "captions_file")]
    pub captions: Vec<String>,
    /// A text file with a caption on each line; they follow those given by --caption.
    #[arg(long, value_name = "FILE")]
    pub captions_file: Option<PathBuf>,
    /// Denoising steps.
    #[arg(long, default_value_t = 50, value_parser = steps)]
    pub steps: usize,
    /// Use the few-step student.
    #[arg(long)]
    pub student: bool,
    /// Sample by this scheduler instead of straight along the flow.
    #[arg(long, value_enum, default_value_t = SchedulerChoice::Flow, conflicts_with = "student")]
    pub scheduler: SchedulerChoice,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Guidance away from the empty caption, 1 for none; samples.guidance of the study where not given.
    #[arg(long, conflicts_with = "student", value_parser = guidance)]
    pub guidance: Option<f32>,
    /// Frames of a clip; the study's where not given. Models know best what they were trained on.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub frames: Option<u16>,
    /// Rows and columns of pixels; the study's where not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(8..))]
    pub size: Option<u16>,
    /// An image to begin with, for models that were trained with one.
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Frames shown in a second; data.fps of the study where not given, or about 8.
    #[arg(long, value_parser = rate)]
    pub fps: Option<f64>,
    /// gif, apng, webp, or mp4 where the program was built with the feature mp4.
    #[arg(long, default_value_t)]
    pub format: FilmFormat,
    /// Folder for the clips.
    #[arg(long, default_value = "generated")]
    pub out: PathBuf,
}

fn steps(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|steps| (1..=10_000).contains(steps))
        .ok_or_else(|| "1 to 10000 steps are needed".into())
}

fn guidance(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|guidance: &f32| guidance.is_finite())
        .ok_or_else(|| "a finite number is needed".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let known = text.parse().ok().filter(|fps| (0.1..=1000.0).contains(fps));
    known.ok_or_else(|| "0.1 to 1000 frames a second are needed".into())
}

impl GenerateArgs {
    /// What the stage is asked for.
    pub fn options(&self) -> anyhow::Result<GenerateOptions> {
        Ok(GenerateOptions {
            captions: self.all_captions()?,
            steps: self.steps,
            student: self.student,
            scheduler: self.scheduler.into(),
            seed: self.seed,
            guidance: self.guidance,
            frames: self.frames.map(usize::from),
            size: self.size.map(usize::from),
            image: self.image.clone(),
            fps: self.fps,
            format: self.format,
            out: self.out.clone(),
        })
    }

    /// The captions typed, then those of the file.
    fn all_captions(&self) -> anyhow::Result<Vec<String>> {
        let mut captions = self.captions.clone();
        if let Some(file) = &self.captions_file {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
            captions.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
        anyhow::ensure!(!captions.is_empty(), "failed to sample: the captions file holds no caption");
        Ok(captions)
    }
}

impl From<SchedulerChoice> for options::SchedulerChoice {
    fn from(choice: SchedulerChoice) -> Self {
        match choice {
            SchedulerChoice::Flow => Self::Flow,
            SchedulerChoice::Own => Self::Own,
            SchedulerChoice::Ddim => Self::Ddim,
            SchedulerChoice::Ddpm => Self::Ddpm,
            SchedulerChoice::Pndm => Self::Pndm,
            SchedulerChoice::Euler => Self::Euler,
            SchedulerChoice::EulerAncestral => Self::EulerAncestral,
            SchedulerChoice::DpmSolver => Self::DpmSolver,
            SchedulerChoice::Lcm => Self::Lcm,
        }
    }
}

/// Ways of many-step sampling.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerChoice {
    /// Along the velocity, whatever the model predicts.
    Flow,
    /// The backbone's own scheduler/scheduler_config.json.
    Own,
    /// DDIM.
    Ddim,
    /// DDPM.
    Ddpm,
    /// PNDM.
    Pndm,
    /// Euler.
    Euler,
    /// Euler with noise at every step.
    EulerAncestral,
    /// DPM-Solver++ of second order, over two steps.
    #[value(name = "dpm++")]
    DpmSolver,
    /// Latent consistency, for models distilled to it.
    Lcm,
}
