//! The image model of a run.

use std::path::PathBuf;

use anyhow::Context;
use tnas_clips::Tokenizer;
use tnas_models::{DenoiserShape, TextEncoder};
use tnas_network::Parameters;
use tnas_record::BackboneSummary;
use tnas_space::Genotype;
use tnas_training::{TrainSet, TrainedText, TrainingContext, train_backbone};

use super::{Inputs, Stage, loop_settings, up_to_date};
use crate::{watch::Watch, workbench::Workbench};
use tnas_pipeline::{
    codec::LatentStatistics,
    genotype_file,
    model_folder::{self, Pipeline, Trained, read_configs},
};

/// Copies the study's image model into the run, or trains one on the frames of its clips.
pub struct ImageBackbone;

impl Stage for ImageBackbone {
    type Output = BackboneSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let (study, source) = (&bench.study, &bench.study.backbone);
        if !source.train {
            anyhow::ensure!(
                source.path.exists(),
                "failed to read the backbone {}: there is no such folder; set backbone.path",
                source.path.display()
            );
            return Inputs::new().file(&source.path).setting("backbone.text_layer", &source.text_layer);
        }
        // Only the configs are read.
        let (backbone, text) = read_configs(&source.path)?;
        let inputs = Inputs::new()
            .contents("clips", &bench.clips()?.key)
            .setting("seed", &study.seed)?
            .setting("backbone.config", &backbone.config)?
            .setting("backbone.text_encoder", &text)?
            .setting("backbone.text_layer", &source.text_layer)?
            .setting("backbone.training", &source.training)?;
        inputs.setting("backbone.scheduler", backbone.parameterisation.config().options())
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![bench.run.path("backbone/unet/diffusion_pytorch_model.safetensors")])
    }

    fn checkpoints(&self) -> Vec<String> {
        vec![Self::NAME.into()]
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<BackboneSummary> {
        if bench.study.backbone.train { train(bench) } else { copy(bench) }
    }
}

/// Trains or copies the image model, where that is not done.
pub fn backbone(bench: &Workbench) -> anyhow::Result<BackboneSummary> {
    up_to_date(bench, &ImageBackbone)
}

fn copy(bench: &Workbench) -> anyhow::Result<BackboneSummary> {
    let folder = &bench.study.backbone.path;
    let mut pipeline = Pipeline::read(folder)?;
    let unet = model_folder::read_unet(folder, &bench.device)?;
    let text = model_folder::read_text(folder, &bench.device)?;
    // Temporal weights that come with the folder are where the supernet's begin.
    let genotype = genotype_file::read_genotype(folder)?;
    let layer = bench.study.backbone.text_layer.unwrap_or(pipeline.encoder.layer);
    pipeline.encoder = pipeline.encoder.with_layer(layer).for_weights(text.names());
    check(&pipeline, &genotype, &unet, &text).with_context(|| format!("failed to use {}", folder.display()))?;
    pipeline.write(&bench.run.backbone(), &unet, &text, &genotype, Trained::default())?;
    LatentStatistics::read(folder)?.write(&bench.run.backbone())?;
    Ok(BackboneSummary {
        trained: false,
        steps: None,
        parameters: unet.count(),
        text_parameters: text.count(),
        text_layer: Some(layer.name().into()),
        loading: None,
    })
}

/// Missing, extra and misshapen weights are errors.
fn check(pipeline: &Pipeline, genotype: &Genotype, unet: &Parameters, text: &Parameters) -> anyhow::Result<()> {
    let shape = DenoiserShape { batch: 1, frames: 1, height: 8, width: 8, tokens: 4 };
    let graph = pipeline.backbone.denoiser(genotype, shape)?;
    model_folder::check_weights(unet, &[&graph], str::to_owned)?;
    let graph = pipeline.encoder.whole_graph(1, 1)?;
    model_folder::check_weights(text, &[&graph], str::to_owned)
}

fn train(bench: &Workbench) -> anyhow::Result<BackboneSummary> {
    let recipe = &bench.study.backbone.training;
    let (backbone, text_config) = read_configs(&bench.study.backbone.path)?;
    let words = Tokenizer::from_captions(&bench.clips()?.captions);
    let text_config = text_config.for_vocabulary(words.vocabulary_size(), words.max_length(), words.eos_id());
    let layer = bench.study.backbone.text_layer.unwrap_or_default();
    let encoder = TextEncoder::new(text_config).with_layer(layer);
    let tokenizer = words.into();
    let captions = bench.caption_tokens(&tokenizer, &encoder)?;
    let latents = bench.latents()?;
    let [_, _, height, width] = bench.clip_shape();
    let shape = DenoiserShape { batch: 1, frames: 1, height, width, tokens: captions.length };
    let unet_graph = backbone.denoiser(&Genotype::none(), shape)?;
    let text_graph = encoder.graph(1, captions.length)?;
    let mut parameters = Parameters::new(&bench.device);
    parameters.init(unet_graph.weights().into_iter().chain(text_graph.weights()), bench.study.seed);
    let mut set = TrainSet::new(parameters, |_| true, &recipe.optimizer, recipe.ema_decay);
    let run = loop_settings(&bench.run, "backbone", recipe.steps)?;
    let mut watch = Watch::open(&bench.run, "loss", recipe.clips_per_step())?;
    let encoded = TrainedText { encoder, captions };
    let context = TrainingContext {
        backbone: &backbone,
        text: &encoded,
        data: &latents.train,
        held_out: None,
        seed: bench.study.seed,
        run: &run,
        observer: &mut watch,
    };
    train_backbone(context, &mut set, recipe)?;
    let averaged = set.averaged();
    let (unet, text) = (averaged.extract(&unet_graph)?, averaged.extract(&text_graph)?);
    let pipeline = Pipeline { backbone, encoder: encoded.encoder, tokenizer };
    let shift = recipe.flow.shift.factor(height, width);
    pipeline.write(
        &bench.run.backbone(),
        &unet,
        &text,
        &Genotype::none(),
        Trained { shift: Some(shift), first_frame: false },
    )?;
    LatentStatistics::new(latents.statistics).write(&bench.run.backbone())?;
    Ok(BackboneSummary {
        trained: true,
        steps: Some(recipe.steps),
        parameters: unet.count(),
        text_parameters: text.count(),
        text_layer: None,
        loading: Some(watch.loading()),
    })
}
