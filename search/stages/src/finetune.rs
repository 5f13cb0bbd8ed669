//! Training of the winner.

use std::path::PathBuf;

use tnas_network::Parameters;
use tnas_record::{FinetuneSummary, LoadingTimes, TrainedArm};
use tnas_space::Genotype;
use tnas_training::{
    FinetuneSettings, HeldOut, HeldOutLoss, Paired, TEMPORAL_PREFIX, TrainSet, TrainingContext, finetune as train,
};

use super::{
    Inputs, Stage, loop_settings,
    supernet::{held_out, read_supernet, teacher},
    up_to_date,
};
use crate::{
    previews::Previews,
    recorded,
    watch::Watch,
    workbench::{ImageModel, Latents, Workbench},
};
use tnas_pipeline::{
    codec::LatentStatistics,
    model_folder::{self, read_unet, save_parameters},
};

/// Trains the winner, and with the same steps, data and spatial weights the genotypes that it is compared with.
pub struct Finetune<'a> {
    /// The winner.
    pub winner: &'a Genotype,
}

impl Stage for Finetune<'_> {
    type Output = FinetuneSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let search = &bench.study.search;
        Inputs::of_noised_clips(bench)?
            .file(bench.run.supernet())
            .setting("winner", &self.winner.to_string())?
            .setting("finetune", &bench.study.finetune)?
            .setting("search.flow", &search.flow)?
            .setting("search.batch", &search.batch)?
            .setting("search.compared_clips", &search.compared_clips)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        let folder = bench.run.model(&self.winner.arch_id().to_string())?;
        Ok(vec![folder.join("unet/diffusion_pytorch_model.safetensors")])
    }

    fn checkpoints(&self) -> Vec<String> {
        ["winner", "none", "teacher"].map(|arm| format!("finetune-{arm}")).into()
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<FinetuneSummary> {
        let (winner, settings) = (self.winner, &bench.study.finetune);
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let space = bench.space(&model.pipeline.backbone)?;
        let teacher = teacher(bench, &model.pipeline.backbone, &space, &model)?;
        let compared = held_out(bench, &model, &latents, bench.study.search.compared_clips)?;
        let arms = [("winner", winner.clone()), ("none", Genotype::none()), ("teacher", teacher)];
        let (mut losses, mut loading) = (Vec::new(), Vec::new());
        let material = Material { model: &model, latents: &latents, compared: &compared };
        for (name, genotype) in &arms {
            let (loss, times) = arm(bench, &material, name, genotype)?;
            losses.push(loss);
            loading.push(times);
        }
        let figures = |index: usize| {
            let (name, genotype) = &arms[index];
            let paired = Paired::new(&losses[0], &losses[index])?;
            Ok(TrainedArm {
                arm: (*name).into(),
                genotype: genotype.to_string(),
                held_out_loss: losses[index].mean,
                bands: recorded::bands(&losses[index].bands),
                winner_minus_this: paired.difference,
                standard_error: paired.standard_error,
                clips: paired.clips,
                loading: loading[index],
            })
        };
        Ok(FinetuneSummary {
            steps: settings.training.steps,
            spatial_rate: settings.spatial_rate,
            lora_rank: settings.lora_rank,
            arms: (0..arms.len()).map(figures).collect::<anyhow::Result<_>>()?,
        })
    }
}

/// Trains the winner and what it is compared with, where that is not done.
pub fn finetune(bench: &Workbench, winner: &Genotype) -> anyhow::Result<FinetuneSummary> {
    up_to_date(bench, &Finetune { winner })
}

/// What every architecture of a comparison is trained and compared on.
pub struct Material<'a> {
    /// The image model.
    pub model: &'a ImageModel,
    /// Clips to train on.
    pub latents: &'a Latents,
    /// Clips to compare on.
    pub compared: &'a HeldOut,
}

fn arm(
    bench: &Workbench,
    material: &Material<'_>,
    name: &str,
    genotype: &Genotype,
) -> anyhow::Result<(HeldOutLoss, LoadingTimes)> {
    let stage = format!("finetune-{name}");
    let trained = train_arm(bench, material, &bench.study.finetune, &stage, genotype)?;
    if name == "winner" {
        let folder = bench.run.model(&genotype.arch_id().to_string())?;
        write_pipeline(
            bench,
            material.model,
            &folder,
            &trained.weights,
            genotype,
            bench.study.finetune.first_frame > 0.0,
        )?;
    } else {
        save_parameters(&bench.run.files().compared_weights(name)?, &trained.weights)?;
    }
    Ok((trained.loss, trained.loading))
}

/// An architecture taken out of the supernet and trained on.
pub struct Trained {
    /// Averaged weights.
    pub weights: Parameters,
    /// Their loss on the clips compared on.
    pub loss: HeldOutLoss,
    /// What loading cost.
    pub loading: LoadingTimes,
}

/// Takes an architecture out of the supernet and trains it on; `stage` names its checkpoint and figures.
pub fn train_arm(
    bench: &Workbench,
    material: &Material<'_>,
    settings: &FinetuneSettings,
    stage: &str,
    genotype: &Genotype,
) -> anyhow::Result<Trained> {
    let Material { model, latents, compared } = *material;
    let backbone = &model.pipeline.backbone;
    let graph = backbone.denoiser(genotype, bench.denoiser_shape(1, model.features.tokens))?;
    let parameters = read_supernet(bench)?.extract(&graph)?;
    let spatial = settings.spatial_rate;
    let whole = spatial > 0.0 && settings.lora_rank == 0;
    let trains = |name: &str| whole || name.starts_with(TEMPORAL_PREFIX);
    let recipe = &settings.training;
    let mut set = TrainSet::new(parameters, trains, &recipe.optimizer, recipe.ema_decay);
    if settings.lora_rank > 0 {
        set.adapt(settings.lora_rank, |name| !name.starts_with(TEMPORAL_PREFIX), bench.study.seed);
    }
    set.rates = [(TEMPORAL_PREFIX.to_string(), 1.0)].into();
    set.other_rate = spatial;
    let run = loop_settings(&bench.run, stage, recipe.steps)?;
    let mut watch = Watch::open(&bench.run, "loss", recipe.clips_per_step())?;
    if stage == "finetune-winner" {
        watch = watch.previewing(Previews::new(bench, model, latents, genotype));
    }
    let context = TrainingContext {
        backbone,
        text: &model.features,
        data: &latents.train,
        held_out: Some(compared),
        seed: bench.study.seed,
        run: &run,
        observer: &mut watch,
    };
    train(context, genotype, &mut set, settings)?;
    let weights = set.averaged();
    let loss = compared.loss(&weights, |shape| Ok(backbone.denoiser(genotype, shape)?))?;
    Ok(Trained { weights, loss, loading: watch.loading() })
}

/// Writes a pipeline folder, with the autoencoder and the latents' normalisation where there is one. `first_frame` is whether the
/// weights learned to go on from one.
pub fn write_pipeline(
    bench: &Workbench,
    model: &ImageModel,
    folder: &std::path::Path,
    unet: &tnas_network::Parameters,
    genotype: &Genotype,
    first_frame: bool,
) -> anyhow::Result<()> {
    let trained = model_folder::Trained { shift: Some(bench.study.samples.shift), first_frame };
    model.pipeline.write(folder, unet, &model.text, genotype, trained)?;
    if let Some(codec) = &bench.codec {
        codec.write(folder)?;
        LatentStatistics::new(bench.latents()?.statistics).write(folder)?;
    }
    Ok(())
}

/// The trained winner's weights.
pub fn read_winner(bench: &Workbench, winner: &Genotype) -> anyhow::Result<tnas_network::Parameters> {
    let folder = bench.run.model(&winner.arch_id().to_string())?;
    bench.check_noise(&folder, "`tnas finetune`")?;
    read_unet(&folder, &bench.device)
}
