use anyhow::Context;
use serde_json::{Value, json};
use tnas_clips::Tokenizer;
use tnas_space::{DenoiserShape, Genotype, TextEncoder};
use tnas_training::{TrainSet, train_backbone};

use super::{loop_settings, staged};
use crate::{
    model_folder::{self, Pipeline, read_configs},
    progress::Watch,
    workbench::Workbench,
};
use tnas_study::hash_path;

/// Copies the study's image model into the run, or trains one on the frames of its clips.
pub fn backbone(bench: &Workbench) -> anyhow::Result<Value> {
    let source = &bench.study.backbone;
    let outputs = [bench.run.path("backbone/unet/diffusion_pytorch_model.safetensors")];
    let inputs = if source.train {
        // Only the configs are read.
        let (backbone, text) = read_configs(&source.path)?;
        json!([backbone.config, text, source.training, bench.study.data, bench.study.autoencoder, bench.study.seed])
    } else {
        let hash = hash_path(&source.path)
            .with_context(|| format!("failed to read the backbone {}", source.path.display()))?;
        json!([hash])
    };
    staged(&bench.run, "backbone", &inputs, &outputs, &["backbone"], || {
        if source.train { train(bench) } else { copy(bench) }
    })
}

fn copy(bench: &Workbench) -> anyhow::Result<Value> {
    let folder = &bench.study.backbone.path;
    let pipeline = Pipeline::read(folder)?;
    let unet = model_folder::read_unet(folder, &bench.device)?;
    let text = model_folder::read_text(folder, &bench.device)?;
    // Temporal weights that come with the folder are where the supernet's begin.
    let genotype = model_folder::read_genotype(folder)?;
    let shape = DenoiserShape { batch: 1, frames: 1, height: 8, width: 8, tokens: 4 };
    let graph = pipeline.backbone.denoiser(&genotype, shape)?;
    model_folder::check_weights(&unet, &[&graph], str::to_owned)
        .with_context(|| format!("failed to use {}", folder.display()))?;
    pipeline.write(&bench.run.backbone(), &unet, &text, &genotype, 1.0)?;
    Ok(json!({"trained": false, "parameters": unet.count(), "text_parameters": text.count()}))
}

fn train(bench: &Workbench) -> anyhow::Result<Value> {
    let settings = &bench.study.backbone.training;
    let (backbone, mut text_config) = read_configs(&bench.study.backbone.path)?;
    let tokenizer = Tokenizer::from_captions(&bench.captions);
    text_config.vocab_size = tokenizer.vocabulary_size();
    text_config.max_position_embeddings = text_config.max_position_embeddings.max(tokenizer.max_length());
    let encoder = TextEncoder::new(text_config);
    let captions = bench.caption_tokens(&tokenizer, &encoder)?;
    let latents = bench.latents()?;
    let [_, _, height, width] = bench.clip_shape();
    let shape = DenoiserShape { batch: 1, frames: 1, height, width, tokens: captions.length };
    let unet_graph = backbone.denoiser(&Genotype::none(), shape)?;
    let text_graph = encoder.graph(1, captions.length)?;
    let mut parameters = tnas_network::Parameters::new(&bench.device);
    parameters.init(unet_graph.weights().into_iter().chain(text_graph.weights()), bench.study.seed);
    let mut set = TrainSet::new(parameters, |_| true, &settings.optimizer, settings.ema_decay);
    let run = loop_settings(&bench.run, "backbone", settings.steps);
    let mut log = bench.run.metrics()?;
    let mut watch = Watch::new(&mut log, "loss");
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
    pipeline.write(&bench.run.backbone(), &unet, &text, &Genotype::none(), settings.flow.shift)?;
    Ok(
        json!({"trained": true, "steps": settings.steps, "parameters": unet.count(), "text_parameters": text.count()}),
    )
}
