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
    workbench::Workbench,
};
use tnas_pipeline::{
    codec::LatentStatistics,
    model_folder::{Pipeline, read_genotype, read_text, read_unet},
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
    /// All that its clips depend on, captions and noise apart.
    pub fn settings(&self) -> ArmSettings {
        match &self.kind {
            ArmKind::Model(model) => ArmSettings::Model {
                model: model.folder.clone(),
                weights: model.weights.clone(),
                model_hash: model.hash.clone(),
                steps: model.steps,
                sampler: recorded::sampler(model.sampler),
                shift: model.shift,
                guidance: model.guidance,
            },
            ArmKind::Folder(folder) => {
                ArmSettings::Folder { folder: folder.clone(), folder_hash: hash_path(folder).unwrap_or_default() }
            }
        }
    }
}

/// The arms that were asked for; the run's winner and its students where none was.
pub fn planned(bench: &Workbench, args: &EvaluateOptions) -> anyhow::Result<Vec<Arm>> {
    let (mut models, mut students) = (args.models.clone(), args.students.clone());
    let own = models.is_empty() && students.is_empty() && args.folders.is_empty();
    if own {
        let id = winner(bench)?.arch_id().to_string();
        models.push(bench.run.model(&id));
        students = own_students(bench, &id)?;
    }
    let steps = if args.steps.is_empty() { vec![bench.study.distill.student_steps] } else { args.steps.clone() };
    let many = bench.study.samples.many_steps;
    let mut arms = Vec::new();
    for (index, folder) in models.iter().enumerate() {
        let name = if own { String::new() } else { format!("{}, ", short_name(folder)) };
        let all = std::iter::once(many).chain(steps.iter().copied().filter(|&steps| steps != many));
        for steps in all {
            let (plain, role) =
                if steps == many { ("", Role::Many) } else { (", plain Euler", Role::Plain(steps)) };
            let arm = format!("{name}{}{plain}", plural(steps));
            let role = Some(role).filter(|_| index == 0);
            arms.push(model_arm(bench, folder, arm, role, steps, Sampler::Euler)?);
        }
    }
    for StudentArm { path, steps: only } in &students {
        let name = if own { student_name(path) } else { short_name(path) };
        for &steps in only.as_ref().map_or(steps.as_slice(), std::slice::from_ref) {
            // At one step all samplers are the same.
            let samplers = if steps > 1 { args.samplers.len() } else { 1 };
            for sampler in args.samplers.iter().take(samplers) {
                let (sampler, how) = match sampler {
                    SamplerChoice::Euler => (Sampler::Euler, "Euler"),
                    SamplerChoice::Renoise => (Sampler::Renoise, "re-noising"),
                };
                let arm = format!("{name}, {}, {how}", plural(steps));
                arms.push(model_arm(bench, path, arm, Some(Role::Student(steps)), steps, sampler)?);
            }
        }
    }
    for folder in &args.folders {
        anyhow::ensure!(folder.is_dir(), "failed to evaluate the films of {}: it is no folder", folder.display());
        let name = format!("films of {}", short_name(folder));
        arms.push(Arm { name, kind: ArmKind::Folder(folder.clone()), role: None });
    }
    let mut names = std::collections::BTreeSet::new();
    match arms.iter().find(|arm| !names.insert(&arm.name)) {
        Some(twice) => {
            anyhow::bail!("failed to name the arms: {:?} comes twice; give folders other names", twice.name)
        }
        None => Ok(arms),
    }
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

fn model_arm(
    bench: &Workbench,
    path: &Path,
    name: String,
    role: Option<Role>,
    steps: usize,
    sampler: Sampler,
) -> anyhow::Result<Arm> {
    // Weights alone are the winner's: its configs, text encoder and captions.
    let (folder, weights) = if path.is_file() {
        (bench.run.model(&winner(bench)?.arch_id().to_string()), Some(path.to_owned()))
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
    let settings = &bench.study.samples;
    let student = matches!(role, Some(Role::Student(_)));
    let few = student || steps != settings.many_steps;
    let hash = match &weights {
        None => hash_path(&folder)?,
        Some(weights) => format!("{} {}", hash_path(&folder)?, hash_path(weights)?),
    };
    let kind = ArmKind::Model(ModelArm {
        folder,
        weights,
        hash,
        steps,
        sampler,
        // With few steps a model goes through the student's times.
        shift: if few { bench.study.distill.shift } else { settings.shift },
        guidance: if student { 1.0 } else { settings.guidance },
    });
    Ok(Arm { name, kind, role })
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
        let index = |caption: &String| distinct.binary_search(caption).unwrap_or(0);
        let captions: Vec<usize> = captions.iter().map(index).collect();
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
