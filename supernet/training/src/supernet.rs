use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use tnas_graph::cost;
use tnas_models::{Backbone, DenoiserShape};
use tnas_network::{Device, Parameters, Value, side_by_side, stream};
use tnas_space::{Genome, Genotype, SearchSpace};

use crate::{
    AdamWSettings, Checkpointing, Compute, FairSampler, FlowSettings, HeldOut, LatentSource, LoopSettings,
    Observer, StabilitySettings, StepOutcome, TextFeatures, TrainError, TrainSet, Turn,
    defaults::{is_nothing, is_one},
    denoise::on,
    flow_loss::{Cut, FlowBatch, HalfGraphs, mean_squared, part_loss},
    learning_rate,
    loader::beside,
    stills::Stills,
    train_loop,
};

/// Front part of the names of all temporal weights.
pub const TEMPORAL_PREFIX: &str = "temporal.";

/// What happens to the image backbone's weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpatialWeights {
    /// They stay.
    Frozen,
    /// They train at this fraction of the learning rate.
    Slow(f64),
    /// They stay; adapters of this rank on them train (Hu et al. 2022).
    Lora(usize),
}

/// How a supernet is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SupernetSettings {
    /// Optimiser steps.
    pub steps: u64,
    /// Clips a step.
    pub batch: usize,
    /// Image weights.
    pub spatial: SpatialWeights,
    /// Decay of the average of weights.
    pub ema_decay: f64,
    /// Steps before distillation starts.
    pub warmup_steps: u64,
    /// Weight of the distance to the teacher's prediction; 0 turns it off.
    pub distillation: f64,
    /// Weight of the distance to the teacher's block outputs, each over their mean square; 0 turns it off.
    #[serde(skip_serializing_if = "is_nothing")]
    pub feature_distillation: f64,
    /// Every so many steps the teacher's own path trains.
    pub teacher_every: u64,
    /// Train each path's widest or narrowest twin of the same kinds with it, in turn.
    pub sandwich: bool,
    /// Optimiser.
    pub optimizer: AdamWSettings,
    /// Times.
    pub flow: FlowSettings,
    /// Fraction of the steps that train on single frames of the clips.
    #[serde(skip_serializing_if = "is_nothing")]
    pub images: f64,
    /// Micro-batches of `batch` whose gradients add up to one step's.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Devices that share each micro-batch's clips, a copy of the weights on each; the command's own where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// What the network computes in, `"f32"`, `"bf16"` or `"f16"`, over weights in f32.
    #[serde(skip_serializing_if = "Compute::is_f32")]
    pub compute: Compute,
    /// What a step keeps for its backward pass, `"off"` (all) or `"blocks"`.
    #[serde(skip_serializing_if = "Checkpointing::is_off")]
    pub checkpointing: Checkpointing,
    /// What happens to bad steps.
    #[serde(skip_serializing_if = "StabilitySettings::is_default")]
    pub stability: StabilitySettings,
}

impl Default for SupernetSettings {
    fn default() -> Self {
        Self {
            steps: 600,
            batch: 4,
            spatial: SpatialWeights::Frozen,
            ema_decay: 0.99,
            warmup_steps: 100,
            distillation: 0.5,
            feature_distillation: 0.0,
            teacher_every: 4,
            sandwich: true,
            optimizer: AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() },
            flow: FlowSettings::default(),
            images: 0.0,
            accumulate: 1,
            devices: Vec::new(),
            compute: Compute::F32,
            checkpointing: Checkpointing::Off,
            stability: StabilitySettings::default(),
        }
    }
}

/// Trains all paths of a space at once over shared weights (single-path sampling, Guo et al. 2020, with strict fairness).
///
/// Each step trains one fairly drawn path and, in turn, its widest or narrowest twin: the same kinds of operators with
/// their largest or smallest arguments, the sandwich rule (Yu & Huang 2019) within a kind. Between kinds there is no
/// largest path; there the averaged weights of the `teacher` genotype teach, once warm and only while they are better
/// than no temporal layers on `probe`. Early stopping looks at the teacher's loss there.
#[allow(clippy::too_many_arguments)]
pub fn train_supernet(
    backbone: &Backbone,
    space: &SearchSpace,
    teacher: &Genotype,
    set: &mut TrainSet,
    data: &dyn LatentSource,
    text: &TextFeatures,
    probe: &HeldOut,
    settings: &SupernetSettings,
    seed: u64,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    data.check(text.context.len())?;
    set.checkpointing = settings.checkpointing;
    set.spread(&settings.devices, settings.compute)?;
    let [_, frames, height, width] = data.shape();
    let cut = Cut::new(settings.batch, settings.accumulate, &settings.devices, frames, settings.images);
    let shape = DenoiserShape { batch: 1, frames, height, width, tokens: text.tokens };
    let features = settings.feature_distillation > 0.0;
    let graphs = GraphCache { backbone, shape, cut: &cut, features, graphs: RefCell::default() };
    let paths = Paths { space, sampler: FairSampler::new(space, seed), teacher, settings };
    let make = |step| {
        let mut rng = stream(seed, "supernet/batch", step);
        let batch = FlowBatch::draw(data, &backbone.parameterisation, cut.rows, &settings.flow, &mut rng)?;
        Ok(Stills::of_step(settings.images, seed, "supernet", step).take(batch))
    };
    let train = |batch: FlowBatch, set: &mut TrainSet, turn: &mut Turn| {
        let step = turn.step;
        let warm = (settings.distillation > 0.0 || features) && step >= settings.warmup_steps;
        if warm && (step.is_multiple_of(PROBE_EVERY) || !set.notes.contains_key(TEACHING)) {
            let better = teaches(backbone, teacher, set, probe)?;
            set.notes.insert(TEACHING.into(), u64::from(better));
        }
        let teaching = warm && set.notes.get(TEACHING) == Some(&1);
        let groups = batch.groups(cut.groups);
        let groups: Vec<Vec<Half>> = if teaching {
            let averaged = set.averaged();
            let graphs = graphs.halves(teacher)?;
            let teach = |half: FlowBatch| {
                let lesson = Lesson::of(&half, &graphs, &averaged, text)?;
                Ok::<_, TrainError>((half, Some(lesson)))
            };
            groups
                .into_iter()
                .map(|halves| side_by_side(averaged.device(), halves, teach))
                .collect::<Result<_, _>>()?
        } else {
            groups.into_iter().map(|halves| halves.into_iter().map(|half| (half, None)).collect()).collect()
        };
        let paths = paths.of_step(step);
        let path_graphs: Vec<_> = paths.iter().map(|path| graphs.halves(path)).collect::<Result<_, _>>()?;
        let of_paths = |halves| paths.iter().zip(&path_graphs).flat_map(move |path| with_path(path, halves));
        let parts = groups.iter().map(|halves| of_paths(halves).collect()).collect();
        let weight = 1.0 / paths.len() as f64;
        let (loss, gradients) = set.gradients_of(parts, |leaves, (genotype, graphs, (half, lesson))| {
            let device = leaves.device();
            let (v, features) = half.velocity_and_features(graphs.of(half), leaves, text, device)?;
            let share = half.share(cut.rows) * weight;
            let target = on(half.target(), &half.shape, device);
            let mut part = part_loss(half.loss(v.clone(), target, device), share);
            if let Some(lesson) = lesson.as_ref().filter(|_| genotype != teacher) {
                if settings.distillation > 0.0 {
                    let taught = on(lesson.velocity.clone(), &half.shape, device);
                    let distance = half.loss(v, taught, device);
                    part.loss = part.loss + distance.mul_scalar(share * settings.distillation);
                }
                if let Some(distance) = lesson.feature_distance(features, device) {
                    part.loss = part.loss + distance.mul_scalar(share * settings.feature_distillation);
                }
            }
            Ok(part)
        })?;
        let rate =
            learning_rate(settings.optimizer.learning_rate, step, run.steps, settings.optimizer.warmup_steps)
                * turn.rate;
        let report =
            set.apply_if(gradients, rate, step, |norm| turn.accepts(&[("loss", loss), ("gradient_norm", norm)]));
        let figures = vec![
            ("loss", loss),
            ("gradient_norm", report.gradient_norm),
            ("learning_rate", rate),
            ("teaching", f64::from(u8::from(teaching))),
        ];
        let held_out = if settings.stability.held_out_due(step) {
            Some(probe.loss(&set.averaged(), |shape| Ok(backbone.denoiser(teacher, shape)?))?.mean)
        } else {
            None
        };
        Ok(StepOutcome { held_out, ..StepOutcome::new(figures, report.good()) })
    };
    beside(data.loading(), run, observer, make, |loader, observer| {
        train_loop(run, &settings.stability, set, observer, |set, turn| train(loader.take(turn.step)?, set, turn))
    })
}

type Half = (FlowBatch, Option<Lesson>);

/// A path's part for each half.
fn with_path<'a>(
    (genotype, graphs): (&'a Genotype, &'a Arc<HalfGraphs>),
    halves: &'a [Half],
) -> impl Iterator<Item = (&'a Genotype, Arc<HalfGraphs>, &'a Half)> {
    halves.iter().map(move |half| (genotype, graphs.clone(), half))
}

/// What the teacher makes of a half.
struct Lesson {
    velocity: Vec<f32>,
    /// Block outputs with their shapes.
    features: Vec<(Vec<usize>, Vec<f32>)>,
}

impl Lesson {
    fn of(
        half: &FlowBatch,
        graphs: &HalfGraphs,
        averaged: &Parameters,
        text: &TextFeatures,
    ) -> Result<Self, TrainError> {
        let device = averaged.device();
        let (velocity, features) = half.velocity_and_features(graphs.of(half), averaged, text, device)?;
        let features = features.iter().map(|feature| (feature.shape(), feature.to_vec())).collect();
        Ok(Self { velocity: velocity.to_vec(), features })
    }

    /// Mean over blocks of ‖h − h_teacher‖² / ‖h_teacher‖² (hints, Romero et al. 2015); none where no blocks are told.
    fn feature_distance(&self, features: Vec<Value>, device: &Device) -> Option<Tensor<1>> {
        let count = features.len();
        let distance = |(feature, (shape, taught)): (Value, &(Vec<usize>, Vec<f32>))| {
            let size = taught.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / taught.len() as f64;
            mean_squared(feature, on(taught.clone(), shape, device)).div_scalar(size.max(1e-12))
        };
        let sum = features.into_iter().zip(&self.features).map(distance).reduce(|a, b| a + b)?;
        Some(sum.div_scalar(count as f64))
    }
}

/// Steps between looks at whether the teacher beats no temporal layers.
const PROBE_EVERY: u64 = 100;

/// The note that keeps its answer.
const TEACHING: &str = "teacher is better";

fn teaches(backbone: &Backbone, teacher: &Genotype, set: &TrainSet, probe: &HeldOut) -> Result<bool, TrainError> {
    let averaged = set.averaged();
    let with = probe.loss(&averaged, |shape| Ok(backbone.denoiser(teacher, shape)?))?;
    let without = probe.loss(&averaged, |shape| Ok(backbone.denoiser(&Genotype::none(), shape)?))?;
    Ok(with.mean < without.mean)
}

struct Paths<'a> {
    space: &'a SearchSpace,
    sampler: FairSampler,
    teacher: &'a Genotype,
    settings: &'a SupernetSettings,
}

impl Paths<'_> {
    /// The genotypes that a step trains.
    fn of_step(&self, step: u64) -> Vec<Genotype> {
        let every = self.settings.teacher_every;
        if every > 0 && step % every == every - 1 {
            return vec![self.teacher.clone()];
        }
        let path = self.sampler.path(step);
        let mut paths = vec![self.space.genotype(&path)];
        if self.settings.sandwich {
            let twin = self.space.genotype(&twins(self.space, &path, step.is_multiple_of(2)));
            if twin != paths[0] {
                paths.push(twin);
            }
        }
        paths
    }
}

/// The same kinds of operators with the largest (or smallest) arguments that the space has at each slot.
pub fn twins(space: &SearchSpace, path: &[u16], widest: bool) -> Genome {
    let twin = |(slot, &index): (&tnas_space::SlotChoices, &u16)| {
        let kinds = |choice: &tnas_space::Choice| -> Vec<&str> {
            choice.operators().iter().map(tnas_space::OperatorSpec::name).collect()
        };
        let own = kinds(&slot.choices[usize::from(index)]);
        let same = (0..slot.choices.len()).filter(|&other| kinds(&slot.choices[other]) == own);
        let size = |&other: &usize| {
            slot.choices[other].operators().iter().map(tnas_space::OperatorSpec::size).sum::<usize>()
        };
        let found = if widest { same.max_by_key(size) } else { same.min_by_key(size) };
        found.map_or(index, |found| found as u16)
    };
    space.slots().iter().zip(path).map(twin).collect()
}

/// Graphs of one shape by genotype: building is cheap but repeats.
struct GraphCache<'a> {
    backbone: &'a Backbone,
    shape: DenoiserShape,
    cut: &'a Cut,
    /// Whether they give their block outputs too.
    features: bool,
    graphs: RefCell<BTreeMap<Genotype, Arc<HalfGraphs>>>,
}

impl GraphCache<'_> {
    fn halves(&self, genotype: &Genotype) -> Result<Arc<HalfGraphs>, TrainError> {
        const KEPT: usize = 64;
        if let Some(graph) = self.graphs.borrow().get(genotype) {
            return Ok(graph.clone());
        }
        let graph = Arc::new(HalfGraphs::new(self.cut, |batch, frames| {
            let shape = DenoiserShape { batch, frames, ..self.shape };
            if self.features {
                self.backbone.denoiser_with_features(genotype, shape)
            } else {
                self.backbone.denoiser(genotype, shape)
            }
        })?);
        let mut graphs = self.graphs.borrow_mut();
        if graphs.len() >= KEPT {
            graphs.clear();
        }
        graphs.insert(genotype.clone(), graph.clone());
        Ok(graph)
    }
}

/// The default teacher: at each slot the choice with the most multiply-accumulates.
pub fn richest(backbone: &Backbone, space: &SearchSpace, shape: DenoiserShape) -> Result<Genotype, TrainError> {
    let mut genome = space.baseline();
    for slot in 0..genome.len() {
        let mut best = (0, 0);
        for choice in 0..space.slots()[slot].choices.len() as u16 {
            let mut one = space.baseline();
            one[slot] = choice;
            let macs = cost(&backbone.denoiser(&space.genotype(&one), shape)?).macs;
            best = best.max((macs, choice));
        }
        genome[slot] = best.1;
    }
    Ok(space.genotype(&genome))
}
