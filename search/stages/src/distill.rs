//! Few-step students.

use std::path::PathBuf;

use tnas_network::Parameters;
use tnas_record::{DistillSummary, EvaluatedArm, Summary, SweepRow, SweepSummary};
use tnas_space::Genotype;
use tnas_training::{DistillMethod, DistillSettings, Student, TimeDistribution, TrainingContext, train_student};

use super::{
    Inputs, Stage,
    evaluate::evaluate_into,
    evaluator::evaluator,
    finetune::{read_winner, write_pipeline},
    loop_settings, up_to_date,
};
use crate::{
    options::{DistillOptions, EvaluateOptions, SamplerChoice, StudentArm, SweepOptions},
    previews::Previews,
    watch::Watch,
    workbench::Workbench,
};
use tnas_pipeline::model_folder::read_unet;

/// A few-step student of the winner's: the study's own, or one of another method or number of steps next to it.
pub struct Variant {
    settings: DistillSettings,
    /// What its stage, figures and folder are called after; empty for the study's own.
    suffix: String,
}

impl Variant {
    /// The study's own.
    pub fn own(bench: &Workbench) -> Self {
        Self { settings: bench.study.distill.clone(), suffix: String::new() }
    }

    /// The one asked for; the study's own where the study asks for the same.
    pub fn asked(bench: &Workbench, args: &DistillOptions) -> Self {
        let mut settings = bench.study.distill.clone();
        settings.student_steps = args.steps.unwrap_or(settings.student_steps);
        settings.method = args.method.unwrap_or(settings.method);
        if settings == bench.study.distill {
            return Self::own(bench);
        }
        let suffix = format!("-{}-{}", settings.method.name(), settings.student_steps);
        Self { settings, suffix }
    }

    fn folder(&self, winner: &Genotype) -> String {
        format!("{}-student{}", winner.arch_id(), self.suffix)
    }
}

/// Fine-tunes the winner to few steps: the study's own student.
pub fn distill(bench: &Workbench, winner: &Genotype) -> anyhow::Result<DistillSummary> {
    distill_variant(bench, winner, &Variant::own(bench))
}

/// The same for any student; its pipeline folder is next to the winner's.
pub struct Distill<'a> {
    /// The teacher's architecture.
    pub winner: &'a Genotype,
    /// The student.
    pub student: &'a Variant,
}

impl Stage for Distill<'_> {
    type Output = DistillSummary;

    fn variant(&self) -> String {
        self.student.suffix.clone()
    }

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let teacher = bench.run.model(&self.winner.arch_id().to_string())?;
        Inputs::of_noised_clips(bench)?.file(teacher).setting("distill", &self.student.settings)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        let folder = bench.run.model(&self.student.folder(self.winner))?;
        Ok(vec![folder.join("unet/diffusion_pytorch_model.safetensors")])
    }

    fn checkpoints(&self) -> Vec<String> {
        vec![format!("{}{}", Self::NAME, self.variant())]
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<DistillSummary> {
        let (winner, settings) = (self.winner, &self.student.settings);
        let recipe = &settings.training;
        let stage = format!("{}{}", Self::NAME, self.variant());
        let folder = bench.run.model(&self.student.folder(winner))?;
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let backbone = &model.pipeline.backbone;
        let weights = read_winner(bench, winner)?;
        let shape = bench.denoiser_shape(recipe.batch, model.features.tokens);
        let mut student = Student::new(&weights, backbone, winner, shape, settings, bench.study.seed)?;
        let run = loop_settings(&bench.run, &stage, recipe.steps)?;
        let previews = Previews::new(bench, &model, &latents, winner).of_student(settings);
        let mut watch = Watch::open(&bench.run, settings.watched(), recipe.clips_per_step())?.previewing(previews);
        let context = TrainingContext {
            backbone,
            text: &model.features,
            data: &latents.train,
            held_out: None,
            seed: bench.study.seed,
            run: &run,
            observer: &mut watch,
        };
        train_student(context, winner, &mut student, settings)?;
        write_pipeline(bench, &model, &folder, &student.generator.averaged(), winner, false)?;
        Ok(DistillSummary {
            method: settings.method.name().into(),
            steps: recipe.steps,
            student_steps: settings.student_steps,
            folder: folder.strip_prefix(bench.run.root()).unwrap_or(&folder).into(),
            loading: watch.loading(),
        })
    }
}

/// Trains a student of the winner, where that is not done; its pipeline folder is next to the winner's.
pub fn distill_variant(bench: &Workbench, winner: &Genotype, student: &Variant) -> anyhow::Result<DistillSummary> {
    up_to_date(bench, &Distill { winner, student })
}

/// Sweep: trains one student per distribution of the times at which the discriminator or the scores are evaluated, and evaluates
/// each.
pub fn sweep(bench: &Workbench, winner: &Genotype, args: &SweepOptions) -> anyhow::Result<SweepSummary> {
    let base = Variant::asked(bench, &args.student);
    let method = base.settings.method;
    let of = |settings: &DistillSettings| match method {
        DistillMethod::Adversarial => settings.noise,
        DistillMethod::Dmd2 => settings.scores.noise,
    };
    let deviations = match &args.deviations[..] {
        [] => vec![of(&base.settings).deviation],
        given => given.to_vec(),
    };
    let mut distributions = Vec::new();
    for &mean in &args.means {
        for &deviation in &deviations {
            anyhow::ensure!(
                mean.is_finite() && deviation > 0.0 && deviation.is_finite(),
                "failed to sweep mean {mean} with deviation {deviation}: numbers are needed, deviations above 0"
            );
            distributions.push(TimeDistribution { mean, deviation });
        }
    }
    let mut students = Vec::new();
    for &distribution in &distributions {
        let mut settings = base.settings.clone();
        match method {
            DistillMethod::Adversarial => settings.noise = distribution,
            DistillMethod::Dmd2 => settings.scores.noise = distribution,
        }
        let suffix = format!("{}-noise_{}_{}", base.suffix, distribution.mean, distribution.deviation);
        let variant = Variant { settings, suffix };
        distill_variant(bench, winner, &variant)?;
        students.push(StudentArm { path: bench.run.model(&variant.folder(winner))?, steps: None });
    }
    evaluator(bench)?;
    let sampler = if base.settings.student_steps > 1 { SamplerChoice::Renoise } else { SamplerChoice::Euler };
    let asked = EvaluateOptions {
        students,
        steps: vec![base.settings.student_steps],
        samplers: vec![sampler],
        clips: args.clips,
        ..EvaluateOptions::default()
    };
    let found = evaluate_into(bench, &asked, "evaluation/sweep")?;
    let row = |(distribution, arm): (&TimeDistribution, &EvaluatedArm)| SweepRow {
        mean: distribution.mean.into(),
        deviation: distribution.deviation.into(),
        kernel_mmd: arm.metrics.get("kernel_mmd").copied(),
        frechet: arm.metrics.get("frechet").copied(),
    };
    let rows: Vec<SweepRow> = distributions.iter().zip(&found.arms).map(row).collect();
    let distance = |row: &SweepRow| row.kernel_mmd.map_or(f64::INFINITY, |distance| distance.estimate);
    let best = rows.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).copied();
    let figures =
        SweepSummary { method: method.name().into(), student_steps: base.settings.student_steps, rows, best };
    bench.run.dir().finish(&bench.run.stage(SweepSummary::STAGE)?, &figures)?;
    Ok(figures)
}

/// The weights of the study's own student.
pub fn read_student(bench: &Workbench, winner: &Genotype) -> anyhow::Result<Parameters> {
    let folder = bench.run.model(&Variant::own(bench).folder(winner))?;
    bench.check_noise(&folder, "`tnas distill`")?;
    read_unet(&folder, &bench.device)
}
