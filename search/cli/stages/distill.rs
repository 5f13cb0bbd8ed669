use serde_json::{Value, json};
use tnas_network::Parameters;
use tnas_space::Genotype;
use tnas_training::{AdversarialSettings, Student, train_student};

use super::{
    finetune::{read_winner, write_pipeline},
    loop_settings, staged,
};
use crate::{args::DistillArgs, model_folder::read_unet, progress::Watch, workbench::Workbench};
use tnas_study::hash_path;

/// A few-step student of the winner's: the study's own, or one of another method or number of steps beside it.
pub struct Variant {
    settings: AdversarialSettings,
    /// What its stage, figures and folder are called after; empty for the study's own.
    suffix: String,
}

impl Variant {
    /// The study's own.
    pub fn own(bench: &Workbench) -> Self {
        Self { settings: bench.study.distill.clone(), suffix: String::new() }
    }

    /// The one asked for; the study's own where the study asks for the same.
    pub fn asked(bench: &Workbench, args: &DistillArgs) -> Self {
        let mut settings = bench.study.distill.clone();
        settings.student_steps = args.steps.map_or(settings.student_steps, usize::from);
        settings.method = args.method.map_or(settings.method, Into::into);
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
pub fn distill(bench: &Workbench, winner: &Genotype) -> anyhow::Result<Value> {
    distill_variant(bench, winner, &Variant::own(bench))
}

/// The same for any student; its pipeline lies beside the winner's.
pub fn distill_variant(bench: &Workbench, winner: &Genotype, variant: &Variant) -> anyhow::Result<Value> {
    let settings = &variant.settings;
    let teacher = bench.run.model(&winner.arch_id().to_string());
    let inputs = json!([settings, hash_path(&teacher)?, bench.data_key, bench.study.seed]);
    let folder = bench.run.model(&variant.folder(winner));
    let outputs = [folder.join("unet/diffusion_pytorch_model.safetensors")];
    let stage = format!("distill{}", variant.suffix);
    staged(&bench.run, &stage, &inputs, &outputs, &[&stage], || {
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let backbone = &model.pipeline.backbone;
        let weights = read_winner(bench, winner)?;
        let shape = bench.denoiser_shape(settings.batch, model.features.tokens);
        let mut student = Student::new(&weights, backbone, winner, shape, settings, bench.study.seed)?;
        let run = loop_settings(&bench.run, &stage, settings.steps);
        let mut watch = Watch::open(&bench.run, settings.watched())?;
        train_student(
            backbone,
            winner,
            &mut student,
            &latents.train,
            &model.features,
            settings,
            bench.study.seed,
            &run,
            &mut watch,
        )?;
        write_pipeline(bench, &model, &folder, &student.generator.averaged(), winner)?;
        Ok(json!({
            "method": settings.method, "steps": settings.steps, "student_steps": settings.student_steps,
            "folder": folder.strip_prefix(bench.run.root()).unwrap_or(&folder), "loading": watch.loading(),
        }))
    })
}

/// The weights of the study's own student.
pub fn read_student(bench: &Workbench, winner: &Genotype) -> anyhow::Result<Parameters> {
    read_unet(&bench.run.model(&Variant::own(bench).folder(winner)), &bench.device)
}
