//! A published motion model as a point of the search space.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::{Map, Value};
use tnas_graph::Weights;
use tnas_models::{Backbone, DenoiserShape, MotionAdapter, MotionModel, UNetConfig};
use tnas_network::{Device, Parameters, open_device};
use tnas_record::ModelGenotype;
use tnas_space::Genotype;

use crate::{
    genotype_file::{model_genotype, write_genotype},
    model_folder::{DIFFUSERS_STEM, check_weights, save_parameters, text_layer},
    motion_weights::{here, read_published, without},
    space_file::read_space,
};

/// Parts of a pipeline that are copied as they are.
const PARTS: [&str; 8] = [
    "model_index.json",
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "vae",
    "image_encoder",
];

/// First convolution of a UNet.
const CONV_IN: &str = "conv_in.weight";

/// Which published motion model to import.
#[derive(Clone, Debug)]
pub struct Import {
    /// Folder of a motion model in diffusers layout, or of a pipeline with one in `unet/`.
    pub motion: PathBuf,
    /// Pipeline or UNet whose image weights are taken; the motion model's own where not given.
    pub base: Option<PathBuf>,
    /// New folder for the pipeline.
    pub out: PathBuf,
    /// A search space (TOML) that must hold the genotype.
    pub space: Option<PathBuf>,
}

/// What was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The genotype that the temporal weights belong to.
    pub genotype: Genotype,
    /// Parameters of the image model.
    pub image_parameters: usize,
    /// Parameters of the temporal layers.
    pub temporal_parameters: usize,
}

/// Reads the models, checks that they fit, and writes the pipeline.
pub fn import(args: &Import) -> anyhow::Result<Imported> {
    let device = open_device("cpu")?;
    let base = args.base.as_deref().map(|folder| Base::read(folder, &device)).transpose()?;
    let folder = unet_folder(&args.motion);
    let use_it = || format!("failed to use {}", folder.display());
    let text = read_config(&folder)?;
    let published = read_published(&folder, &device)?;
    let (weights, model) = if MotionModel::reads(&text) {
        whole_model(&text, published, base).with_context(use_it)?
    } else {
        adapter(&text, published, base).with_context(use_it)?
    };
    check(&weights, &model).with_context(use_it)?;
    if let Some(space) = &args.space {
        let known = read_space(space, &model.backbone)?;
        known
            .genome(&model.genotype)
            .with_context(|| format!("failed to find the genotype in {}", space.display()))?;
    }
    write(args, &weights, &model)?;
    let elements = |temporal: bool| -> usize {
        let part = weights.iter().filter(|(name, _)| name.starts_with("temporal.") == temporal);
        part.map(|(_, parameter)| parameter.shape.iter().product::<usize>()).sum()
    };
    let (image_parameters, temporal_parameters) = (elements(false), elements(true));
    Ok(Imported { genotype: model.genotype, image_parameters, temporal_parameters })
}

/// The image model under a motion model.
struct Base {
    backbone: Backbone,
    weights: Parameters,
}

impl Base {
    fn read(folder: &Path, device: &Device) -> anyhow::Result<Self> {
        let folder = unet_folder(folder);
        let config = UNetConfig::from_json(&read_config(&folder)?)
            .with_context(|| format!("failed to use {}", folder.join("config.json").display()))?;
        Ok(Self { backbone: Backbone::new(config), weights: read_published(&folder, device)? })
    }
}

/// Motion modules alone, over an image model.
fn adapter(text: &str, published: Parameters, base: Option<Base>) -> anyhow::Result<(Parameters, MotionModel)> {
    let adapter = MotionAdapter::from_json(text)?;
    let Base { mut backbone, mut weights } =
        base.context("a MotionAdapter has no image model of its own: name one with --base FOLDER")?;
    let mut modules = published;
    if let Some(channels) = adapter.conv_in_channels {
        widen_input(&mut backbone, &mut weights, &modules, channels)?;
        modules = without(modules, |name| name.starts_with("conv_in."));
    }
    let (modules, model) = here(modules, adapter.over(&backbone)?)?;
    if let Some(stray) = modules.names().find(|name| !name.starts_with("temporal.")) {
        anyhow::bail!("{stray} is no weight of a motion module");
    }
    weights.absorb(modules);
    Ok((weights, model))
}

/// A motion model with an image model of its own, or over another one.
fn whole_model(text: &str, published: Parameters, base: Option<Base>) -> anyhow::Result<(Parameters, MotionModel)> {
    let model = MotionModel::from_json(text)?;
    let Some(Base { backbone, mut weights }) = base else { return here(published, model) };
    anyhow::ensure!(
        !model.frames_first(),
        "its temporal halves lie inside its image model's blocks, so it cannot be laid over another: leave --base out"
    );
    let (own, other) = (model.backbone.config.norm_num_groups, backbone.config.norm_num_groups);
    anyhow::ensure!(own == other, "its norm_num_groups is {own}, the image model's {other}");
    backbone.check_slots(&model.genotype)?;
    let temporal = |name: &str| !model.names.is_temporal(name);
    let modules = without(published, temporal);
    let (modules, model) = here(modules, model.clone())?;
    weights.absorb(modules);
    Ok((weights, MotionModel { backbone, ..model }))
}

/// Gives the first convolution the adapter's channels behind the image model's own, as in PIA.
fn widen_input(
    backbone: &mut Backbone,
    weights: &mut Parameters,
    adapter: &Parameters,
    channels: usize,
) -> anyhow::Result<()> {
    let shape = |weights: &Parameters| weights.shape(CONV_IN).with_context(|| format!("there is no {CONV_IN}"));
    let (image, wide) = (shape(weights)?, shape(adapter)?);
    anyhow::ensure!(
        image.len() == 4 && image[1] < channels && wide == [image[0], channels, image[2], image[3]],
        "{CONV_IN} is {wide:?} for conv_in_channels = {channels}, the image model's is {image:?}"
    );
    let (own, added) = (weights.values(CONV_IN)?.into_owned(), adapter.values(CONV_IN)?.into_owned());
    let kernel = image[2] * image[3];
    let rows = own.chunks(image[1] * kernel).zip(added.chunks(channels * kernel));
    let joined = rows.flat_map(|(own, added)| [own, &added[image[1] * kernel..]].concat()).collect();
    weights.insert_host(CONV_IN, &wide, joined);
    let mut config: Map<String, Value> = serde_json::from_str(&backbone.config.to_json())?;
    config.insert("in_channels".into(), channels.into());
    backbone.config = UNetConfig::from_json(&serde_json::to_string(&config)?)?;
    Ok(())
}

/// An error where a weight is missing, misshapen or not read.
fn check(weights: &Parameters, model: &MotionModel) -> anyhow::Result<()> {
    let size = 8 << model.backbone.config.levels().min(8);
    let shape = DenoiserShape { batch: 1, frames: 1, height: size, width: size, tokens: 1 };
    let graph = model.backbone.denoiser(&model.genotype, shape)?;
    check_weights(weights, &[&graph], |name| model.names.published(name))
}

fn write(args: &Import, weights: &Parameters, model: &MotionModel) -> anyhow::Result<()> {
    let out = &args.out;
    let taken = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    anyhow::ensure!(!taken, "failed to write {}: it is not empty", out.display());
    let pipeline = args.base.as_ref().unwrap_or(&args.motion);
    if unet_folder(pipeline) != *pipeline {
        for part in PARTS {
            copy(&pipeline.join(part), &out.join(part))
                .with_context(|| format!("failed to copy {}", pipeline.join(part).display()))?;
        }
    }
    let config = out.join("unet/config.json");
    tnas_weights::write_atomic(&config, model.backbone.config.to_json().as_bytes())
        .with_context(|| format!("failed to write {}", config.display()))?;
    save_parameters(&out.join(format!("unet/{DIFFUSERS_STEM}.safetensors")), weights)?;
    // Last: a folder with a genotype is whole.
    let layer = text_layer(pipeline)?.name().into();
    write_genotype(out, &ModelGenotype { text_layer: Some(layer), ..model_genotype(&model.genotype) })
}

/// Copies a file or folder, where it is there; pickled weights are left behind.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
    } else if from.is_file() {
        let pickled = ["bin", "pt", "pth", "ckpt"].iter().any(|end| from.extension().is_some_and(|e| e == *end));
        if !pickled {
            fs::create_dir_all(to.parent().unwrap_or(to))?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// The UNet's folder of a pipeline, or the folder itself.
fn unet_folder(folder: &Path) -> PathBuf {
    let inner = folder.join("unet");
    if inner.join("config.json").exists() { inner } else { folder.into() }
}

fn read_config(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("config.json");
    fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}
