//! Clips sampled from captions.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tnas_clips::mean_frame_difference;
use tnas_clips::{Clip, FilmSettings, SheetSettings, animated_gif, contact_sheet, join_side_by_side, still};
use tnas_evaluation::{EvaluatedClips, Evaluator};
use tnas_evaluation::{bootstrap_interval, frechet_distance, nearest_neighbours};
use tnas_models::Backbone;
use tnas_network::Parameters;
use tnas_record::{
    EvaluatedLabels, FilmMetadata, FormatVersion, GeneratedClip, GeneratedClips, Interval, RequestedClip,
    SampledArm, SamplesSummary, SheetCaptions,
};
use tnas_schedulers::{Class, Sampler, SchedulerConfig};
use tnas_space::Genotype;
use tnas_training::{GenerateSettings, VideoModel, generate};

use super::{Inputs, Stage, distill::read_student, evaluator::read_evaluator, finetune::read_winner, up_to_date};
use crate::{
    options::{GenerateOptions, SchedulerChoice},
    progress::Bar,
    recorded,
    workbench::{ImageModel, Latents, Workbench},
};
use tnas_pipeline::{codec::LatentStatistics, model_folder::goes_on_from_a_frame};

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 100;

/// One way of sampling.
struct Arm {
    name: String,
    student: bool,
    steps: usize,
    sampler: Sampler,
    shift: f32,
}

/// Samples clips from validation captions many-step and few-step, evaluates them, and writes sheets and GIFs.
pub struct Samples<'a> {
    /// The trained architecture.
    pub winner: &'a Genotype,
}

impl Stage for Samples<'_> {
    type Output = SamplesSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let id = self.winner.arch_id().to_string();
        Inputs::of_noised_clips(bench)?
            .file(bench.run.model(&id))
            .file(bench.run.model(&format!("{id}-student")))
            .file(bench.run.path("evaluator"))
            .setting("samples", &bench.study.samples)
    }

    fn outputs(&self, bench: &Workbench) -> Vec<PathBuf> {
        vec![bench.run.path("samples/sheet.png")]
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<SamplesSummary> {
        let winner = self.winner;
        let scene = Scene::open(bench, winner)?;
        let mut figures = Vec::new();
        let mut shown: Vec<(String, Vec<Clip>)> = vec![("real".into(), scene.real[..scene.shown].to_vec())];
        figures.push(scene.figures("real", &scene.real, &scene.evaluator.evaluate(&scene.real)?)?);
        if bench.codec.is_some() {
            let decoded = &scene.decoded;
            figures.push(scene.figures(
                "real, through the autoencoder",
                decoded,
                &scene.evaluator.evaluate(decoded)?,
            )?);
        }
        let mut plain = None;
        let mut predicted = BTreeMap::new();
        for arm in arms(bench) {
            let clips = scene.sample(&arm)?;
            let evaluated = scene.evaluator.evaluate(&clips)?;
            predicted.insert(arm.name.clone(), evaluated.predicted.clone());
            let mut figure = scene.figures(&arm.name, &clips, &evaluated)?;
            match &plain {
                Some(plain) if arm.student => {
                    figure.frechet_minus_plain = Some(scene.difference(&evaluated, plain)?)
                }
                _ => plain = Some(evaluated),
            }
            figures.push(SampledArm {
                steps: Some(arm.steps),
                shift: Some(arm.shift),
                sampler: Some(recorded::sampler(arm.sampler)),
                student: Some(arm.student),
                ..figure
            });
            shown.push((arm.name.clone(), clips[..scene.shown].to_vec()));
        }
        let chosen = chosen_sampler(&figures, bench.study.distill.student_steps);
        let clip = |clip: &Clip| RequestedClip { caption: clip.caption.clone(), labels: clip.labels.clone() };
        let requested = scene.real.iter().map(clip).collect();
        bench.run.write_record(&EvaluatedLabels { format_version: FormatVersion, requested, predicted })?;
        write_pictures(bench, &shown, chosen)?;
        Ok(SamplesSummary {
            clips: scene.real.len(),
            arms: figures,
            student_sampler: recorded::sampler(chosen),
            nearest_training_clip: scene.memorisation(&shown)?,
        })
    }
}

/// Samples and evaluates clips of the winner and its student, where that is not done.
pub fn samples(bench: &Workbench, winner: &Genotype) -> anyhow::Result<SamplesSummary> {
    up_to_date(bench, &Samples { winner })
}

fn arms(bench: &Workbench) -> Vec<Arm> {
    let settings = &bench.study.samples;
    let mut arms = vec![Arm {
        name: format!("{} steps", settings.many_steps),
        student: false,
        steps: settings.many_steps,
        sampler: Sampler::Euler,
        shift: settings.shift,
    }];
    // With few steps the trained model goes through the student's times; its guidance stays its own.
    let shift = bench.study.distill.shift;
    for steps in [4, 2, 1] {
        let arm = |name: &str, student, sampler| Arm {
            name: format!("{steps} steps, {name}"),
            student,
            steps,
            sampler,
            shift,
        };
        arms.push(arm("plain Euler", false, Sampler::Euler));
        arms.push(arm("student, Euler", true, Sampler::Euler));
        if steps > 1 {
            // At one step both samplers are the same.
            arms.push(arm("student, re-noising", true, Sampler::Renoise));
        }
    }
    arms
}

/// The student's sampler with the smaller distance at its own number of steps.
fn chosen_sampler(figures: &[SampledArm], steps: usize) -> Sampler {
    let distance = |sampler: Sampler| {
        let sampler = Some(recorded::sampler(sampler));
        let of =
            |arm: &&SampledArm| arm.student == Some(true) && arm.steps == Some(steps) && arm.sampler == sampler;
        figures.iter().find(of).map_or(f64::INFINITY, |arm| arm.frechet.estimate)
    };
    if distance(Sampler::Renoise) < distance(Sampler::Euler) { Sampler::Renoise } else { Sampler::Euler }
}

/// What sampling and evaluating need.
struct Scene<'a> {
    bench: &'a Workbench,
    winner: &'a Genotype,
    model: ImageModel,
    latents: Latents,
    weights: Parameters,
    student: Parameters,
    evaluator: Evaluator,
    real: Vec<Clip>,
    /// The same as the evaluator meets them.
    decoded: Vec<Clip>,
    reference: EvaluatedClips,
    shown: usize,
}

impl<'a> Scene<'a> {
    fn open(bench: &'a Workbench, winner: &'a Genotype) -> anyhow::Result<Self> {
        let settings = &bench.study.samples;
        let (evaluator, model, latents) = (read_evaluator(bench)?, bench.image_model()?, bench.latents()?);
        let count = settings.evaluated.min(bench.clips()?.validation.len() / 2).max(2);
        // Real clips to be evaluated are not the ones that distances are taken to.
        let real = bench.clips()?.validation.clips(0..count)?;
        let all = bench.clips()?.validation.len();
        let mut decoded = bench.seen_by_evaluator(
            &latents.validation,
            &latents.statistics,
            &bench.clips()?.validation,
            0..all,
        )?;
        let reference = evaluator.evaluate(&decoded.split_off(count))?;
        let (weights, student) = (read_winner(bench, winner)?, read_student(bench, winner)?);
        Ok(Self {
            bench,
            winner,
            model,
            latents,
            weights,
            student,
            evaluator,
            reference,
            shown: settings.shown.min(count),
            real,
            decoded,
        })
    }

    fn sample(&self, arm: &Arm) -> anyhow::Result<Vec<Clip>> {
        let settings = &self.bench.study.samples;
        let captions = self.bench.caption_indices(self.real.iter().map(|clip| clip.caption.as_str()))?;
        let how = GenerateSettings {
            steps: arm.steps,
            sampler: arm.sampler,
            shift: arm.shift,
            guidance: if arm.student { 1.0 } else { settings.guidance },
            seed: self.bench.study.seed,
            batch: settings.batch,
            ..GenerateSettings::default()
        };
        let weights = if arm.student { &self.student } else { &self.weights };
        let mut bar = Bar::new("samples", captions.len() as u64);
        let backbone = &self.model.pipeline.backbone;
        let shape = self.bench.clip_shape();
        let text = &self.model.features;
        let model = VideoModel { backbone, genotype: self.winner, parameters: weights, text };
        let data = generate(&model, &captions, shape, &how, |done| bar.set(done as u64, arm.name.clone()))?;
        let statistics = &self.latents.statistics;
        data.iter()
            .zip(&self.real)
            .map(|(clip, like)| self.bench.to_clip(clip, shape, statistics, Some(like)))
            .collect()
    }

    /// Fréchet distance to held-out real clips with its bootstrap interval, accuracy, and how much moves.
    fn figures(&self, name: &str, clips: &[Clip], evaluated: &EvaluatedClips) -> anyhow::Result<SampledArm> {
        let distance = |picked: &[usize]| self.distance(evaluated, picked);
        let interval = bootstrap_interval(self.bench.study.seed, RESAMPLES, clips.len(), distance)?;
        let motion = clips.iter().map(mean_frame_difference).sum::<f64>() / clips.len() as f64;
        Ok(SampledArm {
            arm: name.into(),
            frechet: recorded::interval(interval),
            accuracy: evaluated.accuracy.clone(),
            mean_frame_difference: motion,
            frechet_minus_plain: None,
            steps: None,
            shift: None,
            sampler: None,
            student: None,
        })
    }

    /// Fréchet distance of one arm less another's, resampled together: clip by clip both have one caption and one noise.
    fn difference(&self, evaluated: &EvaluatedClips, plain: &EvaluatedClips) -> anyhow::Result<Interval> {
        let distance = |picked: &[usize]| self.distance(evaluated, picked) - self.distance(plain, picked);
        let interval = bootstrap_interval(self.bench.study.seed, RESAMPLES, self.real.len(), distance)?;
        Ok(recorded::interval(interval))
    }

    fn distance(&self, evaluated: &EvaluatedClips, picked: &[usize]) -> f64 {
        let features: Vec<Vec<f64>> = picked.iter().map(|&i| evaluated.features[i].clone()).collect();
        frechet_distance(&features, &self.reference.features).unwrap_or(f64::NAN)
    }

    /// Mean distance of sampled clips to their nearest training clip, compared with that of real validation clips.
    fn memorisation(&self, shown: &[(String, Vec<Clip>)]) -> anyhow::Result<BTreeMap<String, f64>> {
        let rows = |clips: &[Clip]| -> Vec<Vec<f64>> {
            clips.iter().map(|clip| clip.pixels.iter().map(|&x| f64::from(x)).collect()).collect()
        };
        let references = rows(&self.bench.clips()?.train.clips(0..self.bench.clips()?.train.len().min(1000))?);
        let mut means = BTreeMap::new();
        for (name, clips) in shown.iter().take(2) {
            let found = nearest_neighbours(&rows(clips), &references)?;
            let mean = found.iter().map(|neighbour| neighbour.distance).sum::<f64>() / found.len().max(1) as f64;
            means.insert(name.clone(), mean);
        }
        Ok(means)
    }
}

fn write_pictures(bench: &Workbench, shown: &[(String, Vec<Clip>)], sampler: Sampler) -> anyhow::Result<()> {
    let settings = &bench.study.samples;
    let arm = |wanted: &dyn Fn(&str) -> bool| shown.iter().find(|(name, _)| wanted(name)).map(|(_, clips)| clips);
    let student_name = format!(
        "{} steps, student, {}",
        bench.study.distill.student_steps,
        if sampler == Sampler::Renoise { "re-noising" } else { "Euler" }
    );
    let many_name = format!("{} steps", settings.many_steps);
    let real = arm(&|name| name == "real").context("no real clips")?;
    let many = arm(&|name| name == many_name).context("no many-step clips")?;
    let few = arm(&|name| name == student_name).unwrap_or(many);
    let gif = FilmSettings { upscale: settings.upscale, ..FilmSettings::default() };
    let mut captions = Vec::new();
    for index in 0..real.len() {
        let joined = join_side_by_side(&[&real[index], &many[index], &few[index]], 1)?;
        bench.run.write(&format!("samples/{index:02}.gif"), &animated_gif(&joined, &gif)?)?;
        captions.push(real[index].caption.clone());
    }
    let sheet = SheetSettings { upscale: settings.upscale.min(3), ..SheetSettings::default() };
    for (name, clips) in [("real", real), ("many", many), ("student", few)] {
        let rows: Vec<&Clip> = clips.iter().collect();
        bench.run.write(&format!("samples/sheet-{name}.png"), &contact_sheet(&rows, &sheet)?)?;
    }
    let rows: Vec<&Clip> = real.iter().zip(many).zip(few).flat_map(|((a, b), c)| [a, b, c]).take(18).collect();
    let columns = vec!["real".into(), many_name, student_name];
    bench.run.write_record(&SheetCaptions { format_version: FormatVersion, captions, columns })?;
    bench.run.write("samples/sheet.png", &contact_sheet(&rows, &sheet)?)
}

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
    let folder = bench.run.model(&winner.arch_id().to_string());
    anyhow::ensure!(
        !args.student && goes_on_from_a_frame(&folder)?,
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

/// The sampler that evaluated best for the student.
fn student_sampler(bench: &Workbench) -> Option<Sampler> {
    Some(recorded::sampler_of(bench.run.figures::<SamplesSummary>()?.student_sampler))
}
