use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tnas_clips::FilmFormat;
use tnas_stages::options::{self, GenerateOptions};

use super::StudyArgs;

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

pub(super) fn steps(text: &str) -> Result<usize, String> {
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
