//! The supernet.

use std::path::PathBuf;

use tnas_models::Backbone;
use tnas_network::{Parameters, merged_weights};
use tnas_record::SupernetSummary;
use tnas_space::{Genotype, SearchSpace};
use tnas_training::{
    HeldOut, HeldOutSettings, SpatialWeights, TEMPORAL_PREFIX, TrainSet, TrainingContext, largest_genotype,
    train_supernet,
};

use super::{Inputs, Stage, loop_settings, up_to_date};
use crate::{
    previews::Previews,
    watch::Watch,
    workbench::{ImageModel, Latents, Workbench},
};
use tnas_pipeline::model_folder::{read_parameters, save_parameters};

/// Trains the supernet of the study's space over the run's backbone.
pub struct Supernet;

impl Stage for Supernet {
    type Output = SupernetSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        Inputs::of_noised_clips(bench)?
            .file(bench.run.backbone())
            .file(&bench.study.space)
            .setting("supernet", &bench.study.supernet)?
            .setting("search.flow", &bench.study.search.flow)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![bench.run.supernet()])
    }

    fn checkpoints(&self) -> Vec<String> {
        vec![Self::NAME.into()]
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<SupernetSummary> {
        let settings = &bench.study.supernet;
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let backbone = &model.pipeline.backbone;
        let space = bench.space(backbone)?;
        let teacher = teacher(bench, backbone, &space, &model)?;
        let recipe = &settings.training;
        let parameters = fresh(bench, &model, &space)?;
        let spatial = settings.spatial;
        let trains = |name: &str| name.starts_with(TEMPORAL_PREFIX) || matches!(spatial, SpatialWeights::Slow(_));
        let mut set = TrainSet::new(parameters, trains, &recipe.optimizer, recipe.ema_decay);
        if let SpatialWeights::Slow(rate) = spatial {
            set.rates = [(TEMPORAL_PREFIX.to_string(), 1.0)].into();
            set.other_rate = rate;
        }
        if let SpatialWeights::Lora(rank) = spatial {
            set.adapt(rank, |name| !name.starts_with(TEMPORAL_PREFIX), bench.study.seed);
        }
        let probe = held_out(bench, &model, &latents, 32)?;
        let run = loop_settings(&bench.run, "supernet", recipe.steps)?;
        let previews = Previews::new(bench, &model, &latents, &teacher);
        let mut watch = Watch::open(&bench.run, "loss", recipe.clips_per_step())?.previewing(previews);
        let context = TrainingContext {
            backbone,
            text: &model.features,
            data: &latents.train,
            held_out: Some(&probe),
            seed: bench.study.seed,
            run: &run,
            observer: &mut watch,
        };
        train_supernet(context, &space, &teacher, &mut set, settings)?;
        let averaged = set.averaged();
        save_parameters(&bench.run.supernet(), &averaged)?;
        let loss = |genotype: &Genotype| probe.loss(&averaged, |shape| Ok(backbone.denoiser(genotype, shape)?));
        let (with, without) = (loss(&teacher)?, loss(&Genotype::none())?);
        let mut order: Vec<usize> = (0..bench.study.data.frames).rev().collect();
        order.rotate_left(bench.study.data.frames / 2);
        order.swap(0, bench.study.data.frames - 1);
        let shuffled =
            probe.with_frame_order(&order).loss(&averaged, |shape| Ok(backbone.denoiser(&teacher, shape)?))?;
        let temporal: usize = averaged
            .iter()
            .filter(|(name, _)| name.starts_with(TEMPORAL_PREFIX))
            .map(|(_, p)| p.shape.iter().product::<usize>())
            .sum();
        Ok(SupernetSummary {
            steps: recipe.steps,
            cardinality: space.cardinality(),
            slots: space.slots().len(),
            parameters: averaged.count(),
            temporal_parameters: temporal,
            teacher: teacher.to_string(),
            loss_teacher: with.mean,
            loss_none: without.mean,
            loss_teacher_on_shuffled_frames: shuffled.mean,
            loading: watch.loading(),
        })
    }
}

/// Trains the supernet, where that is not done.
pub fn supernet(bench: &Workbench) -> anyhow::Result<SupernetSummary> {
    up_to_date(bench, &Supernet)
}

/// The image model's weights with every choice's fresh temporal weights.
fn fresh(bench: &Workbench, model: &ImageModel, space: &SearchSpace) -> anyhow::Result<Parameters> {
    let shape = bench.denoiser_shape(1, model.features.tokens);
    let graphs: Vec<_> = space
        .covering()
        .iter()
        .map(|genome| model.pipeline.backbone.denoiser(&space.genotype(genome), shape))
        .collect::<Result<_, _>>()?;
    let mut parameters = model.unet.clone();
    parameters.init(merged_weights(&graphs).values(), bench.study.seed);
    Ok(parameters)
}

/// The study's teacher, or the genotype with the most multiply-accumulates at each slot.
pub fn teacher(
    bench: &Workbench,
    backbone: &Backbone,
    space: &SearchSpace,
    model: &ImageModel,
) -> anyhow::Result<Genotype> {
    match &bench.study.supernet.teacher {
        Some(text) => {
            let genotype = text.parse().and_then(|genotype| space.genome(&genotype).map(|_| genotype));
            Ok(genotype.map_err(|error| bench.source.error("supernet.teacher", error.to_string()))?)
        }
        None => Ok(largest_genotype(backbone, space, bench.denoiser_shape(1, model.features.tokens))?),
    }
}

/// The first validation clips at fixed times and noise.
pub fn held_out(bench: &Workbench, model: &ImageModel, latents: &Latents, clips: usize) -> anyhow::Result<HeldOut> {
    let search = &bench.study.search;
    let settings = HeldOutSettings { clips, batch: search.batch, flow: search.flow, seed: bench.study.seed };
    let parameterisation = &model.pipeline.backbone.parameterisation;
    let (set, text) = (&latents.validation, &model.features);
    Ok(HeldOut::new(set, parameterisation, text, &settings)?)
}

/// The trained supernet.
pub fn read_supernet(bench: &Workbench) -> anyhow::Result<Parameters> {
    read_parameters(&bench.run.path("supernet"), "supernet", &bench.device)
}
