//! Clips of the user's captions.

use std::path::Path;

use anyhow::Context;
use tnas_clips::{FilmSettings, still};
use tnas_models::Backbone;
use tnas_record::{FilmMetadata, GeneratedClip, GeneratedClips, SamplesSummary, Summary};
use tnas_schedulers::{Class, Sampler, SchedulerConfig};
use tnas_space::Genotype;
use tnas_study::StaleReason;
use tnas_training::{GenerateSettings, VideoModel, generate};

use super::{distill::read_student, finetune::read_winner};
use crate::{
    options::{GenerateOptions, SchedulerChoice},
    progress::Bar,
    recorded,
    workbench::Workbench,
};
use tnas_pipeline::{codec::LatentStatistics, genotype_file::continues_from_a_frame};

/// Samples clips from the user's captions, one file each.
pub fn generate_captions(bench: &Workbench, args: &GenerateOptions) -> anyhow::Result<GeneratedClips> {
    let wanted = args.captions.clone();
    let shape = asked_shape(bench, args)?;
    let winner = super::front::winner(bench)?;
    let mut model = bench.image_model()?;
    let asked: Vec<String> = std::iter::once(String::new()).chain(wanted.iter().cloned()).collect();
    let tokens = bench.tokens_of(&model.pipeline.tokenizer, &model.pipeline.encoder, &asked)?;
    model.features = tnas_training::text_features(&model.pipeline.encoder, &model.text, &tokens)?;
    let statistics = LatentStatistics::read(&bench.run.backbone())?.mean_and_deviation;
    let given = args.image.as_deref();
    let first_frame =
        given.map(|image| first_frame(bench, args, &winner, image, shape, &statistics)).transpose()?;
    let weights = if args.student { read_student(bench, &winner)? } else { read_winner(bench, &winner)? };
    let settings = &bench.study.samples;
    let how = GenerateSettings {
        steps: args.steps,
        sampler: student_sampler(bench).filter(|_| args.student).unwrap_or(Sampler::Euler),
        shift: if args.student { bench.study.distill.shift } else { settings.shift },
        scheduler: scheduler(&model.pipeline.backbone, args.scheduler, settings.shift)?,
        guidance: if args.student { 1.0 } else { args.guidance.unwrap_or(settings.guidance) },
        seed: args.seed,
        batch: settings.batch,
        first_frame,
    };
    // The empty one stands before those asked for.
    let captions: Vec<usize> = (1..=wanted.len()).collect();
    let mut bar = Bar::new("generate", captions.len() as u64);
    let (backbone, text) = (&model.pipeline.backbone, &model.features);
    let model = VideoModel { backbone, genotype: &winner, parameters: &weights, text };
    let data = generate(&model, &captions, shape, &how, |done| bar.set(done as u64, String::new()))?;
    let mut film = FilmSettings { upscale: settings.upscale, ..FilmSettings::default() };
    if let Some(fps) = args.fps.or(bench.study.data.fps) {
        film.delay_ms = (1000.0 / fps).round() as u32;
    }
    let mut files = Vec::new();
    for (index, clip) in data.iter().enumerate() {
        let path = args.out.join(format!("{index:02}.{}", args.format.extension()));
        let clip = bench.to_clip(clip, shape, &statistics, None)?;
        tnas_weights::write_atomic(&path, &args.format.encode(&clip, &film)?)?;
        files.push(GeneratedClip { caption: wanted[index].clone(), file: path });
    }
    // So that the folder is one of films: `evaluate --folder`.
    let line = |clip: &GeneratedClip| -> anyhow::Result<String> {
        let file_name = clip.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(serde_json::to_string(&FilmMetadata { file_name, text: clip.caption.clone() })? + "\n")
    };
    let lines = files.iter().map(line).collect::<anyhow::Result<String>>()?;
    tnas_weights::write_atomic(args.out.join("metadata.jsonl"), lines.as_bytes())?;
    eprintln!("{} clips in {}", files.len(), args.out.display());
    Ok(GeneratedClips { clips: files })
}

/// An image as the first frame `[C, H, W]` of clips of `shape`, for a model that was trained to go on from one.
fn first_frame(
    bench: &Workbench,
    args: &GenerateOptions,
    winner: &Genotype,
    image: &Path,
    shape: [usize; 4],
    statistics: &[(f32, f32)],
) -> anyhow::Result<Vec<f32>> {
    let folder = bench.run.model(&winner.arch_id().to_string())?;
    anyhow::ensure!(
        !args.student && continues_from_a_frame(&folder)?,
        "failed to begin with {}: {} was not trained to go on from a first frame; {}",
        image.display(),
        if args.student { "the student" } else { "the model" },
        if args.student {
            "leave --student or --image out"
        } else {
            "train it anew with finetune.first_frame, the fraction of clips whose first frame is given, e.g. --set \
             finetune.first_frame=0.3, or leave --image out"
        }
    );
    anyhow::ensure!(
        matches!(args.scheduler, SchedulerChoice::Flow),
        "failed to begin with {}: that needs --scheduler flow",
        image.display()
    );
    let data = &bench.study.data;
    let size = args.size.unwrap_or(data.size);
    bench.latent_of(&still(image, size, data.fit, data.background)?, shape, statistics)
}

/// Shape of the clips asked for: the study's, unless others are wanted.
fn asked_shape(bench: &Workbench, args: &GenerateOptions) -> anyhow::Result<[usize; 4]> {
    let data = &bench.study.data;
    let frames = args.frames.unwrap_or(data.frames);
    let size = args.size.unwrap_or(data.size);
    if let Some(codec) = &bench.codec {
        codec.check_size("--size", size)?;
    }
    Ok(bench.shape_of(frames, size))
}

/// The scheduler's config for a backbone; none for sampling along the flow.
fn scheduler(backbone: &Backbone, choice: SchedulerChoice, shift: f32) -> anyhow::Result<Option<SchedulerConfig>> {
    let own = backbone.parameterisation.config();
    let class = match choice {
        SchedulerChoice::Flow => return Ok(None),
        SchedulerChoice::Own => return Ok(Some(own.clone())),
        SchedulerChoice::Ddim => Class::Ddim,
        SchedulerChoice::Ddpm => Class::Ddpm,
        SchedulerChoice::Pndm => Class::Pndm,
        SchedulerChoice::Euler => Class::Euler,
        SchedulerChoice::EulerAncestral => Class::EulerAncestral,
        SchedulerChoice::DpmSolver => Class::DpmSolver,
        SchedulerChoice::Lcm => Class::Lcm,
    };
    let wanted = own.converted(class, shift);
    Ok(Some(wanted.with_context(|| format!("failed to sample by {}", class.name()))?))
}

/// The sampler that evaluated best for the student; none where that was not evaluated.
fn student_sampler(bench: &Workbench) -> Option<Sampler> {
    let warn = |message: &dyn std::fmt::Display| {
        eprintln!(
            "warning: the figures of `samples` cannot be read: {message}; the student is sampled by Euler; run `tnas samples`"
        );
    };
    let figures = match bench.run.dir().stamp(SamplesSummary::STAGE) {
        Ok(Ok(stamp)) => stamp.figures::<SamplesSummary>(),
        Ok(Err(StaleReason::NotFinished)) => return None,
        Ok(Err(reason)) => Err(reason.to_string()),
        Err(error) => Err(error.to_string()),
    };
    figures.inspect_err(|message| warn(message)).ok().map(|found| recorded::sampler_of(found.student_sampler))
}
