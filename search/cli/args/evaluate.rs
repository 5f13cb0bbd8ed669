use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{StudyArgs, steps};

/// Resamples of an evaluation's intervals.
const RESAMPLES: usize = 400;

/// What is evaluated, and by what.
#[derive(Args, Clone)]
pub struct EvaluateArgs {
    /// The study and its run.
    #[command(flatten)]
    pub study: StudyArgs,
    /// Pipeline folder of a model, or UNet weights of the winner's (safetensors), sampled in `samples.many_steps` steps and in few; may be given again. Without any arm, the
    /// run's winner and its student.
    #[arg(long = "model", value_name = "DIR")]
    pub models: Vec<PathBuf>,
    /// Pipeline folder of a few-step model, or UNet weights of the winner's (safetensors); sampled in all of `--steps`, or in N
    /// alone. May be given again.
    #[arg(long = "student", value_name = "PATH[=N]", value_parser = student)]
    pub students: Vec<StudentArm>,
    /// Folder of films with a metadata.jsonl; may be given again.
    #[arg(long = "folder", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Clips of each arm, of the reference and of the floor; `samples.evaluated` where not given.
    #[arg(long)]
    pub clips: Option<usize>,
    /// Numbers of few steps, e.g. `4,2,1`; `distill.student_steps` where not given.
    #[arg(long, value_delimiter = ',')]
    pub steps: Vec<usize>,
    /// How few-step models are sampled.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [SamplerChoice::Euler, SamplerChoice::Renoise])]
    pub samplers: Vec<SamplerChoice>,
    /// Seeds of the noise, e.g. `1,2,3`: figures are means over them; the study's where not given.
    #[arg(long, value_delimiter = ',')]
    pub seeds: Vec<u64>,
    /// Real clips that distances are taken to.
    #[arg(long, value_enum, default_value_t = Reference::HeldOut)]
    pub reference: Reference,
    /// Resamples of the intervals.
    #[arg(long, default_value_t = RESAMPLES)]
    pub resamples: usize,
}

impl EvaluateArgs {
    /// No arm yet, and the defaults.
    pub fn of(study: &StudyArgs) -> Self {
        Self {
            study: study.clone(),
            models: Vec::new(),
            students: Vec::new(),
            folders: Vec::new(),
            clips: None,
            steps: Vec::new(),
            samplers: Vec::new(),
            seeds: Vec::new(),
            reference: Reference::HeldOut,
            resamples: RESAMPLES,
        }
    }

    /// An error where numbers make no sense.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.steps.contains(&0), "failed to sample in 0 steps: --steps takes numbers from 1 on");
        anyhow::ensure!(
            self.resamples >= 40,
            "failed to use --resamples {}: at least 40 are needed",
            self.resamples
        );
        let mut seeds = std::collections::BTreeSet::new();
        match self.seeds.iter().find(|seed| !seeds.insert(**seed)) {
            Some(seed) => anyhow::bail!("failed to use --seeds: {seed} comes twice"),
            None => Ok(()),
        }
    }
}

/// A few-step model, and the one number of steps that it is sampled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudentArm {
    /// Its folder or weights.
    pub path: PathBuf,
    /// All that were asked for where not given.
    pub steps: Option<usize>,
}

fn student(text: &str) -> Result<StudentArm, String> {
    match text.rsplit_once('=') {
        Some((path, count)) if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(StudentArm { path: path.into(), steps: Some(steps(count)?) })
        }
        _ => Ok(StudentArm { path: text.into(), steps: None }),
    }
}

/// Ways of few-step sampling.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerChoice {
    /// Straight along the velocity.
    Euler,
    /// To the data and back to the next noise level.
    Renoise,
}

/// Real clips that distances are taken to.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// Of those that nothing was trained on.
    HeldOut,
    /// Of those that the models and the evaluator were trained on: where held-out ones are too few.
    Train,
}
