use clap::{Args, ValueEnum};
use tnas_training::DistillMethod;

use super::StudyArgs;

/// Which student to train.
#[derive(Args, Clone)]
pub struct DistillArgs {
    /// The study and its run.
    #[command(flatten)]
    pub study: StudyArgs,
    /// Denoising steps of the student; distill.student_steps of the study where not given. Another student than the study's
    /// own lies beside it, in a folder named by method and steps.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: Option<u8>,
    /// What pulls the student; distill.method of the study where not given.
    #[arg(long, value_enum)]
    pub method: Option<DistillMethodChoice>,
    /// Instead, a student for each of these means of distill.noise (of distill.scores.noise for dmd2), e.g. `-2,-1,0,1`, all
    /// evaluated beside real clips: the times at which a student is looked at are what the stage is most sensitive to.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_name = "MEANS")]
    pub sweep_mean: Vec<f32>,
    /// With each of these deviations, e.g. `0.5,1,2`; the study's where not given.
    #[arg(long, value_delimiter = ',', value_name = "DEVIATIONS", requires = "sweep_mean")]
    pub sweep_deviation: Vec<f32>,
    /// Clips that a student of a sweep is evaluated by; samples.evaluated where not given.
    #[arg(long, requires = "sweep_mean")]
    pub sweep_clips: Option<usize>,
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
