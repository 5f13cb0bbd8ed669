use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tnas_stages::options::{self, EvaluateOptions, StudentArm};

use super::{StudyArgs, generate::steps};

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
    #[arg(long, default_value_t = EvaluateOptions::RESAMPLES)]
    pub resamples: usize,
}

impl EvaluateArgs {
    /// What the stage is asked for.
    pub fn options(&self) -> EvaluateOptions {
        EvaluateOptions {
            models: self.models.clone(),
            students: self.students.clone(),
            folders: self.folders.clone(),
            clips: self.clips,
            steps: self.steps.clone(),
            samplers: self.samplers.iter().map(|&sampler| sampler.into()).collect(),
            seeds: self.seeds.clone(),
            reference: self.reference.into(),
            resamples: self.resamples,
        }
    }
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
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Of those that nothing was trained on.
    HeldOut,
    /// Of those that the models and the evaluator were trained on: where held-out ones are too few.
    Train,
}

impl From<SamplerChoice> for options::SamplerChoice {
    fn from(choice: SamplerChoice) -> Self {
        match choice {
            SamplerChoice::Euler => Self::Euler,
            SamplerChoice::Renoise => Self::Renoise,
        }
    }
}

impl From<Reference> for options::Reference {
    fn from(reference: Reference) -> Self {
        match reference {
            Reference::HeldOut => Self::HeldOut,
            Reference::Train => Self::Train,
        }
    }
}
