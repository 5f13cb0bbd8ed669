//! What a call of a stage may ask for beyond the study's settings.

use std::{collections::BTreeSet, path::PathBuf};

use serde::Serialize;
use tnas_clips::FilmFormat;
use tnas_training::DistillMethod;

/// Which student to train.
#[derive(Clone, Debug, Default)]
pub struct DistillOptions {
    /// Denoising steps of the student; `distill.student_steps` of the study where not given.
    pub steps: Option<usize>,
    /// What the student is trained by; `distill.method` of the study where not given.
    pub method: Option<DistillMethod>,
}

/// Students that differ in the distribution of noise times alone, each trained and evaluated.
#[derive(Clone, Debug, Default)]
pub struct SweepOptions {
    /// The student.
    pub student: DistillOptions,
    /// Means of the logit-normal distribution.
    pub means: Vec<f32>,
    /// Its standard deviations; the study's where empty.
    pub deviations: Vec<f32>,
    /// Clips per evaluated student; `samples.evaluated` of the study where not given.
    pub clips: Option<usize>,
}

/// What is evaluated, and how.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// Pipeline folders or UNet weights, sampled in many steps and in few. Without any arm, the run's winner and its students.
    pub models: Vec<PathBuf>,
    /// Few-step models.
    pub students: Vec<StudentArm>,
    /// Folders of films with a metadata.jsonl.
    pub folders: Vec<PathBuf>,
    /// Clips of each arm, of the reference and of the floor; `samples.evaluated` where not given.
    pub clips: Option<usize>,
    /// Numbers of few steps; `distill.student_steps` where empty.
    pub steps: Vec<usize>,
    /// How few-step models are sampled.
    pub samplers: Vec<SamplerChoice>,
    /// Seeds of the noise; the study's where empty.
    pub seeds: Vec<u64>,
    /// Real clips that distances are taken to.
    pub reference: Reference,
    /// Bootstrap resamples of the intervals.
    pub resamples: usize,
}

impl EvaluateOptions {
    /// Bootstrap resamples where none are asked for.
    pub const RESAMPLES: usize = 400;

    /// An error where numbers make no sense.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.steps.contains(&0), "failed to sample in 0 steps: --steps takes numbers from 1 on");
        anyhow::ensure!(
            self.resamples >= 40,
            "failed to use --resamples {}: at least 40 are needed",
            self.resamples
        );
        let mut seeds = BTreeSet::new();
        match self.seeds.iter().find(|seed| !seeds.insert(**seed)) {
            Some(seed) => anyhow::bail!("failed to use --seeds: {seed} comes twice"),
            None => Ok(()),
        }
    }
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            students: Vec::new(),
            folders: Vec::new(),
            clips: None,
            steps: Vec::new(),
            samplers: vec![SamplerChoice::Euler, SamplerChoice::Renoise],
            seeds: Vec::new(),
            reference: Reference::HeldOut,
            resamples: Self::RESAMPLES,
        }
    }
}

/// A few-step model, and the one number of steps that it is sampled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudentArm {
    /// Its folder or weights.
    pub path: PathBuf,
    /// All numbers of few steps where not given.
    pub steps: Option<usize>,
}

/// Ways of few-step sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerChoice {
    /// Straight along the velocity.
    Euler,
    /// To the data and back to the next noise level.
    Renoise,
}

/// Real clips that distances are taken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// Clips that nothing was trained on.
    HeldOut,
    /// Clips that the models and the evaluator were trained on: where held-out ones are too few.
    Train,
}

/// What is to be measured on another device.
#[derive(Clone, Debug)]
pub struct ProfilePlanOptions {
    /// Name of the device to measure on.
    pub device: String,
    /// Architectures to measure; a third of them is held out for tests.
    pub samples: usize,
    /// Folder for the models and the table; `measure/DEVICE` of the run where not given.
    pub out: Option<PathBuf>,
}

/// What was measured on another device.
#[derive(Clone, Debug)]
pub struct ProfileImportOptions {
    /// Name of the device, as it was planned.
    pub device: String,
    /// Folder with the filled table; `measure/DEVICE` of the run where not given.
    pub from: Option<PathBuf>,
}

/// How the accuracy of the latency predictor is evaluated.
#[derive(Clone, Debug)]
pub struct LatencyEvalOptions {
    /// A profile to evaluate; the target's where not given.
    pub profile: Option<PathBuf>,
    /// Measured architectures to learn from, the most informative ones; all but those held out where not given.
    pub measurements: Option<usize>,
    /// Profiles of other devices to learn from too.
    pub sources: Vec<PathBuf>,
    /// Random splits into training and test set that are averaged.
    pub splits: u64,
}

/// Clips to sample.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Captions, one clip each.
    pub captions: Vec<String>,
    /// Denoising steps.
    pub steps: usize,
    /// Use the few-step student.
    pub student: bool,
    /// Scheduler of the many-step sampler.
    pub scheduler: SchedulerChoice,
    /// Seed of the noise.
    pub seed: u64,
    /// Guidance away from the empty caption, 1 for none; `samples.guidance` of the study where not given.
    pub guidance: Option<f32>,
    /// Frames of a clip; the study's where not given.
    pub frames: Option<usize>,
    /// Rows and columns in pixels; the study's where not given.
    pub size: Option<usize>,
    /// First frame of every clip, for models that were trained with one.
    pub image: Option<PathBuf>,
    /// Frames a second; `data.fps` of the study where not given, or about 8.
    pub fps: Option<f64>,
    /// Format of the films.
    pub format: FilmFormat,
    /// Folder for the clips.
    pub out: PathBuf,
}

/// Ways of many-step sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    DpmSolver,
    /// Latent consistency, for models distilled to it.
    Lcm,
}
