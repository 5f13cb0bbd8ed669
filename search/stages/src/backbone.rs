//! The image model of a run.

use anyhow::Context;
use serde_json::{Value, json};
use tnas_clips::Tokenizer;
use tnas_models::{DenoiserShape, TextEncoder};
use tnas_network::Parameters;
use tnas_schedulers::Parameterisation;
use tnas_space::Genotype;
use tnas_training::{TrainSet, train_backbone};

use super::{loop_settings, staged};
use crate::{progress::Watch, workbench::Workbench};
use tnas_pipeline::{
    codec::LatentStatistics,
    model_folder::{self, Pipeline, Trained, read_configs},
};
use tnas_study::hash_path;

/// Copies the study's image model into the run, or trains one on the frames of its clips.
pub fn backbone(bench: &Workbench) -> anyhow::Result<Value> {
    let source = &bench.study.backbone;
    let outputs = [bench.run.path("backbone/unet/diffusion_pytorch_model.safetensors")];
    let inputs = if source.train {
        // Only the configs are read.
        let (backbone, text) = read_configs(&source.path)?;
        let study = &bench.study;
        let mut inputs = vec![
            json!(backbone.config),
            json!((&text, source.text_layer)),
            json!(source.training),
            json!(bench.data_key),
            json!(study.seed),
        ];
        if *backbone.parameterisation != Parameterisation::default() {
            inputs.push(json!(backbone.parameterisation.config().options()));
        }
        json!(inputs)
    } else {
        let hash = hash_path(&source.path)
            .with_context(|| format!("failed to read the backbone {}", source.path.display()))?;
        json!([hash, source.text_layer])
    };
    staged(&bench.run, "backbone", &inputs, &outputs, &["backbone"], || {
        if source.train { train(bench) } else { copy(bench) }
    })
}

fn copy(bench: &Workbench) -> anyhow::Result<Value> {
    let folder = &bench.study.backbone.path;
    let mut pipeline = Pipeline::read(folder)?;
    let unet = model_folder::read_unet(folder, &bench.device)?;
    let text = model_folder::read_text(folder, &bench.device)?;
    // Temporal weights that come with the folder are where the supernet's begin.
    let genotype = model_folder::read_genotype(folder)?;
    let layer = bench.study.backbone.text_layer.unwrap_or(pipeline.encoder.layer);
    pipeline.encoder = pipeline.encoder.with_layer(layer).for_weights(text.names());
    check(&pipeline, &genotype, &unet, &text).with_context(|| format!("failed to use {}", folder.display()))?;
    pipeline.write(&bench.run.backbone(), &unet, &text, &genotype, Trained::default())?;
    LatentStatistics::read(folder)?.write(&bench.run.backbone())?;
    Ok(json!({"trained": false, "parameters": unet.count(), "text_parameters": text.count(), "text_layer": layer}))
}

/// Missing, extra and misshapen weights are errors.
fn check(pipeline: &Pipeline, genotype: &Genotype, unet: &Parameters, text: &Parameters) -> anyhow::Result<()> {
    let shape = DenoiserShape { batch: 1, frames: 1, height: 8, width: 8, tokens: 4 };
    let graph = pipeline.backbone.denoiser(genotype, shape)?;
    model_folder::check_weights(unet, &[&graph], str::to_owned)?;
    let graph = pipeline.encoder.whole_graph(1, 1)?;
    model_folder::check_weights(text, &[&graph], str::to_owned)
}

fn train(bench: &Workbench) -> anyhow::Result<Value> {
    let settings = &bench.study.backbone.training;
    let (backbone, text_config) = read_configs(&bench.study.backbone.path)?;
    let words = Tokenizer::from_captions(&bench.captions);
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
    let mut set = TrainSet::new(parameters, |_| true, &settings.optimizer, settings.ema_decay);
    let run = loop_settings(&bench.run, "backbone", settings.steps);
    let mut watch = Watch::open(&bench.run, "loss", settings.batch * settings.accumulate)?;
    train_backbone(
        &backbone,
        &encoder,
        &mut set,
        &latents.train,
        &captions,
        settings,
        bench.study.seed,
        &run,
        &mut watch,
    )?;
    let averaged = set.averaged();
    let (unet, text) = (averaged.extract(&unet_graph)?, averaged.extract(&text_graph)?);
    let pipeline = Pipeline { backbone, encoder, tokenizer };
    let shift = settings.flow.shift.factor(height, width);
    pipeline.write(
        &bench.run.backbone(),
        &unet,
        &text,
        &Genotype::none(),
        Trained { shift: Some(shift), first_frame: false },
    )?;
    LatentStatistics::new(latents.statistics).write(&bench.run.backbone())?;
    Ok(
        json!({"trained": true, "steps": settings.steps, "parameters": unet.count(), "text_parameters": text.count(), "loading": watch.loading()}),
    )
}
