//! What is evaluated: models at numbers of steps, and folders.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tnas_network::Parameters;
use tnas_record::ArmSettings;
use tnas_schedulers::Sampler;
use tnas_space::Genotype;
use tnas_study::hash_path;
use tnas_training::{GenerateSettings, TextFeatures, VideoModel, text_features};
use tnas_weights::WeightFiles;

use super::gaps::Role;
use crate::{
    front::winner,
    options::{EvaluateOptions, SamplerChoice, StudentArm},
    recorded,
    run::Run,
    workbench::{Workbench, caption_indices},
};
use tnas_pipeline::{
    codec::LatentStatistics,
    genotype_file::read_genotype,
    model_folder::{Pipeline, read_text, read_unet},
};

/// One way of making clips.
pub struct Arm {
    /// What the table calls it.
    pub name: String,
    /// Where the clips come from.
    pub kind: ArmKind,
    /// What it is to the question how much few steps lose.
    pub role: Option<Role>,
}

/// Where clips come from.
pub enum ArmKind {
    /// Sampled.
    Model(ModelArm),
    /// Read.
    Folder(PathBuf),
}

/// A model, and how it is sampled.
pub struct ModelArm {
    /// Pipeline folder.
    pub folder: PathBuf,
    /// UNet weights of another file than the folder's.
    pub weights: Option<PathBuf>,
    /// Hash of its contents and of those weights.
    pub hash: String,
    /// Steps.
    pub steps: usize,
    /// How a step moves.
    pub sampler: Sampler,
    /// Shift of its times.
    pub shift: f32,
    /// Guidance.
    pub guidance: f32,
}

/// A model that is ready to sample.
pub struct LoadedModel {
    pipeline: Pipeline,
    genotype: Genotype,
    weights: Parameters,
    text: Parameters,
    /// The normalisation of its latents.
    pub statistics: Vec<(f32, f32)>,
}

impl Arm {
    /// All that its clips depend on, captions and noise apart. Models of the run are named from its folder, which may move.
    pub fn settings(&self, run: &Run) -> anyhow::Result<ArmSettings> {
        let name = |path: &Path| path.strip_prefix(run.root()).unwrap_or(path).to_owned();
        Ok(match &self.kind {
            ArmKind::Model(model) => ArmSettings::Model {
                model: name(&model.folder),
                weights: model.weights.as_deref().map(name),
                model_hash: model.hash.clone(),
                steps: model.steps,
                sampler: recorded::sampler(model.sampler),
                shift: model.shift,
                guidance: model.guidance,
            },
            ArmKind::Folder(folder) => {
                ArmSettings::Folder { folder: folder.clone(), folder_hash: hash_path(folder)? }
            }
        })
    }
}

/// The arms that were asked for; the run's winner and all its students where none was.
pub fn planned(bench: &Workbench, args: &EvaluateOptions) -> anyhow::Result<Vec<Arm>> {
    if args.models.is_empty() && args.students.is_empty() && args.folders.is_empty() {
        let id = winner(bench)?.arch_id().to_string();
        let students = own_students(bench, &id)?;
        return distinct(of_run(bench, args, &id, &students)?);
    }
    let mut arms = Vec::new();
    for (index, folder) in args.models.iter().enumerate() {
        let of_model = model_arms(bench, args, folder, &format!("{}, ", short_name(folder)))?;
        // Few steps are compared with the many steps of the first model.
        arms.extend(of_model.into_iter().map(|arm| Arm { role: arm.role.filter(|_| index == 0), ..arm }));
    }
    for student in &args.students {
        arms.extend(student_arms(bench, args, student, &short_name(&student.path))?);
    }
    for folder in &args.folders {
        anyhow::ensure!(folder.is_dir(), "failed to evaluate the films of {}: it is no folder", folder.display());
        let name = format!("films of {}", short_name(folder));
        arms.push(Arm { name, kind: ArmKind::Folder(folder.clone()), role: None });
    }
    distinct(arms)
}

/// An error where two arms have one name.
fn distinct(arms: Vec<Arm>) -> anyhow::Result<Vec<Arm>> {
    let mut names = std::collections::BTreeSet::new();
    match arms.iter().find(|arm| !names.insert(&arm.name)) {
        Some(twice) => anyhow::bail!(
            "failed to name the arms: {:?} comes twice; give folders other names, and numbers of steps once",
            twice.name
        ),
        None => Ok(arms),
    }
}

/// The run's winner and the study's own student of it.
pub fn of_winner(bench: &Workbench, args: &EvaluateOptions) -> anyhow::Result<Vec<Arm>> {
    let id = winner(bench)?.arch_id().to_string();
    let student = StudentArm { path: bench.run.model(&format!("{id}-student"))?, steps: None };
    of_run(bench, args, &id, &[student])
}

/// A model of the run and students of it, without their folders' names.
fn of_run(
    bench: &Workbench,
    args: &EvaluateOptions,
    id: &str,
    students: &[StudentArm],
) -> anyhow::Result<Vec<Arm>> {
    let mut arms = model_arms(bench, args, &bench.run.model(id)?, "")?;
    for student in students {
        arms.extend(student_arms(bench, args, student, &student_name(&student.path))?);
    }
    Ok(arms)
}

/// Numbers of few steps that were asked for.
fn few_steps(bench: &Workbench, args: &EvaluateOptions) -> Vec<usize> {
    if args.steps.is_empty() { vec![bench.study.distill.student_steps] } else { args.steps.clone() }
}

/// A model in many steps and in few, by plain Euler.
fn model_arms(bench: &Workbench, args: &EvaluateOptions, folder: &Path, front: &str) -> anyhow::Result<Vec<Arm>> {
    let many = bench.study.samples.many_steps;
    let few = few_steps(bench, args).into_iter().filter(|&steps| steps != many);
    let files = ModelFiles::find(bench, folder)?;
    let arm = |steps: usize| {
        let (plain, role) = if steps == many { ("", Role::Many) } else { (", plain Euler", Role::Plain(steps)) };
        files.arm(bench, format!("{front}{}{plain}", plural(steps)), role, steps, Sampler::Euler)
    };
    Ok(std::iter::once(many).chain(few).map(arm).collect())
}

/// A few-step model in its numbers of steps, by each sampler.
fn student_arms(
    bench: &Workbench,
    args: &EvaluateOptions,
    student: &StudentArm,
    name: &str,
) -> anyhow::Result<Vec<Arm>> {
    let (files, mut arms) = (ModelFiles::find(bench, &student.path)?, Vec::new());
    for steps in student.steps.map_or_else(|| few_steps(bench, args), |steps| vec![steps]) {
        // At one step all samplers are the same.
        let samplers = if steps > 1 { args.samplers.len() } else { 1 };
        for sampler in args.samplers.iter().take(samplers) {
            let (sampler, how) = match sampler {
                SamplerChoice::Euler => (Sampler::Euler, "Euler"),
                SamplerChoice::Renoise => (Sampler::Renoise, "re-noising"),
            };
            let arm = format!("{name}, {}, {how}", plural(steps));
            arms.push(files.arm(bench, arm, Role::Student(steps), steps, sampler));
        }
    }
    Ok(arms)
}

/// The run's students: the study's own, and those of `distill --steps --method`, each in the steps that it was trained to.
fn own_students(bench: &Workbench, id: &str) -> anyhow::Result<Vec<StudentArm>> {
    let folder = bench.run.path("models");
    let own = format!("{id}-student");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        let Some(suffix) = path.file_name().and_then(|name| name.to_str()?.strip_prefix(&own)) else { continue };
        let steps = suffix.rsplit_once('-').and_then(|(_, steps)| steps.parse().ok());
        if suffix.is_empty() || steps.is_some() {
            found.push(StudentArm { path, steps });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A student of the run without the winner's name.
fn student_name(path: &Path) -> String {
    let name = short_name(path);
    name.split_once("-student").map_or(name.clone(), |(_, suffix)| format!("student{}", suffix.replace('-', " ")))
}

fn plural(steps: usize) -> String {
    if steps == 1 { "1 step".into() } else { format!("{steps} steps") }
}

/// The files of a model, hashed once for all of its arms.
struct ModelFiles {
    folder: PathBuf,
    weights: Option<PathBuf>,
    hash: String,
}

impl ModelFiles {
    fn find(bench: &Workbench, path: &Path) -> anyhow::Result<Self> {
        // Weights alone are the winner's: its configs, text encoder and captions.
        let (folder, weights) = if path.is_file() {
            (bench.run.model(&winner(bench)?.arch_id().to_string())?, Some(path.to_owned()))
        } else {
            (path.to_owned(), None)
        };
        anyhow::ensure!(
            folder.join("unet/config.json").is_file(),
            "failed to evaluate the model {}: {} has no unet/config.json; a pipeline folder is expected, such as models/<arch-id> of a \
             run, or a safetensors file of the winner's UNet",
            path.display(),
            folder.display()
        );
        let hash = match &weights {
            None => hash_path(&folder)?,
            Some(weights) => format!("{} {}", hash_path(&folder)?, hash_path(weights)?),
        };
        Ok(Self { folder, weights, hash })
    }

    /// The model in so many steps.
    fn arm(&self, bench: &Workbench, name: String, role: Role, steps: usize, sampler: Sampler) -> Arm {
        let settings = &bench.study.samples;
        let student = matches!(role, Role::Student(_));
        let few = student || steps != settings.many_steps;
        let kind = ArmKind::Model(ModelArm {
            folder: self.folder.clone(),
            weights: self.weights.clone(),
            hash: self.hash.clone(),
            steps,
            sampler,
            // With few steps a model goes through the student's times.
            shift: if few { bench.study.distill.shift } else { settings.shift },
            guidance: if student { 1.0 } else { settings.guidance },
        });
        Arm { name, kind, role: Some(role) }
    }
}

/// A folder's name with that of the run that it lies in.
fn short_name(folder: &Path) -> String {
    folder.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A name as part of a file's name.
pub fn slug(name: &str) -> String {
    let plain =
        name.chars().map(|c| if c.is_alphanumeric() && c.is_ascii() { c.to_ascii_lowercase() } else { '-' });
    let plain: String = plain.collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl LoadedModel {
    /// Reads a model, and refuses one that cannot answer the study's captions in clips of its shape.
    pub fn read(bench: &Workbench, arm: &ModelArm) -> anyhow::Result<Self> {
        let path = arm.weights.as_ref().unwrap_or(&arm.folder);
        Self::open(bench, arm).with_context(|| format!("failed to evaluate the model {}", path.display()))
    }

    fn open(bench: &Workbench, arm: &ModelArm) -> anyhow::Result<Self> {
        let folder = arm.folder.as_path();
        let pipeline = Pipeline::read(folder)?;
        bench.check_inputs(&pipeline)?;
        let genotype = read_genotype(folder)?;
        let weights = match &arm.weights {
            None => read_unet(folder, &bench.device)?,
            Some(file) => Parameters::load(&WeightFiles::open_file(file)?, &bench.device)?,
        };
        let tokens = pipeline.encoder.config.max_position_embeddings;
        weights.extract(&pipeline.backbone.denoiser(&genotype, bench.denoiser_shape(1, tokens))?)?;
        let text = read_text(folder, &bench.device)?;
        let statistics = LatentStatistics::read(folder)?.mean_and_deviation;
        let [channels, ..] = bench.clip_shape();
        anyhow::ensure!(
            statistics.is_empty() || statistics.len() == channels,
            "its latents have {} channels, the study's {channels}",
            statistics.len()
        );
        Ok(Self { pipeline, genotype, weights, text, statistics })
    }

    /// One clip `[C, F, H, W]` per caption.
    pub fn sample(
        &self,
        bench: &Workbench,
        captions: &[String],
        arm: &ModelArm,
        seed: u64,
        progress: impl FnMut(usize) + Send,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        // The empty caption sorts before all others.
        let distinct: std::collections::BTreeSet<String> =
            captions.iter().cloned().chain([String::new()]).collect();
        let distinct: Vec<String> = distinct.into_iter().collect();
        let tokens = bench.tokens_of(&self.pipeline.tokenizer, &self.pipeline.encoder, &distinct)?;
        let features: TextFeatures = text_features(&self.pipeline.encoder, &self.text, &tokens)?;
        let captions = caption_indices(&distinct, captions.iter().map(String::as_str))?;
        let how = GenerateSettings {
            steps: arm.steps,
            sampler: arm.sampler,
            shift: arm.shift,
            guidance: arm.guidance,
            seed,
            batch: bench.study.samples.batch,
            ..GenerateSettings::default()
        };
        let (backbone, genotype, parameters) = (&self.pipeline.backbone, &self.genotype, &self.weights);
        let model = VideoModel { backbone, genotype, parameters, text: &features };
        Ok(tnas_training::generate(&model, &captions, bench.clip_shape(), &how, progress)?)
    }
}
