use serde_json::{Value, json};
use tnas_network::Parameters;
use tnas_space::Genotype;
use tnas_training::{Student, train_student};

use super::{
    finetune::{read_winner, write_pipeline},
    loop_settings, staged,
};
use crate::{model_folder::read_unet, progress::Watch, workbench::Workbench};
use tnas_study::hash_path;

/// Folder name of the few-step student.
fn folder_name(winner: &Genotype) -> String {
    format!("{}-student", winner.arch_id())
}

/// Fine-tunes the winner adversarially to few steps.
pub fn distill(bench: &Workbench, winner: &Genotype) -> anyhow::Result<Value> {
    let settings = &bench.study.distill;
    let teacher = bench.run.model(&winner.arch_id().to_string());
    let inputs = json!([settings, hash_path(&teacher)?, bench.data_key, bench.study.seed]);
    let folder = bench.run.model(&folder_name(winner));
    let outputs = [folder.join("unet/diffusion_pytorch_model.safetensors")];
    staged(&bench.run, "distill", &inputs, &outputs, &["distill"], || {
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let backbone = &model.pipeline.backbone;
        let weights = read_winner(bench, winner)?;
        let shape = bench.denoiser_shape(settings.batch, model.features.tokens);
        let mut student = Student::new(&weights, backbone, winner, shape, settings, bench.study.seed)?;
        let run = loop_settings(&bench.run, "distill", settings.steps);
        let mut watch = Watch::open(&bench.run, "loss_heads")?;
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
        Ok(json!({"steps": settings.steps, "student_steps": settings.student_steps, "loading": watch.loading()}))
    })
}

/// The student's weights.
pub fn read_student(bench: &Workbench, winner: &Genotype) -> anyhow::Result<Parameters> {
    read_unet(&bench.run.model(&folder_name(winner)), &bench.device)
}
