use clap::{Args, ValueEnum};
use tnas_stages::options::{DistillOptions, SweepOptions};
use tnas_training::DistillMethod;

use super::StudyArgs;

/// Which student to train.
#[derive(Args, Clone)]
pub struct DistillArgs {
    /// The study and its run.
    #[command(flatten)]
    pub study: StudyArgs,
    /// Denoising steps of the student; distill.student_steps of the study where not given. Another student than the study's
    /// own is next to it, in a folder named by method and steps.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: Option<u8>,
    /// What pulls the student; distill.method of the study where not given.
    #[arg(long, value_enum)]
    pub method: Option<DistillMethodChoice>,
    /// Sweep: train one student per mean of the noise-time distribution (distill.noise, or distill.scores.noise for dmd2), e.g.
    /// `-2,-1,0,1`, and evaluate all of them. The stage is most sensitive to this distribution.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "MEANS")]
    pub sweep_mean: Vec<f32>,
    /// Standard deviations to combine with each mean, e.g. `0.5,1,2`; the study's by default.
    #[arg(long, value_delimiter = ',', value_name = "DEVIATIONS", requires = "sweep_mean")]
    pub sweep_deviation: Vec<f32>,
    /// Clips per student of the sweep; samples.evaluated by default.
    #[arg(long, requires = "sweep_mean")]
    pub sweep_clips: Option<usize>,
}

impl DistillArgs {
    /// Which student is asked for.
    pub fn options(&self) -> DistillOptions {
        DistillOptions { steps: self.steps.map(usize::from), method: self.method.map(Into::into) }
    }

    /// The sweep, where one is asked for.
    pub fn sweep(&self) -> Option<SweepOptions> {
        let Self { sweep_mean, sweep_deviation, sweep_clips, .. } = self.clone();
        let sweep = SweepOptions {
            student: self.options(),
            means: sweep_mean,
            deviations: sweep_deviation,
            clips: sweep_clips,
        };
        (!sweep.means.is_empty()).then_some(sweep)
    }
}

/// Methods of distillation.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DistillMethodChoice {
    /// A discriminator, and the distance to the data.
    Adversarial,
    /// The difference of the teacher's score and the student's.
    Dmd2,
}

impl From<DistillMethodChoice> for DistillMethod {
    fn from(choice: DistillMethodChoice) -> Self {
        match choice {
            DistillMethodChoice::Adversarial => Self::Adversarial,
            DistillMethodChoice::Dmd2 => Self::Dmd2,
        }
    }
}
