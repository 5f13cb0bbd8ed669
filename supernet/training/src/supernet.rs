use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tnas_graph::cost;
use tnas_network::{side_by_side, stream};
use tnas_space::{Backbone, DenoiserShape, Genome, Genotype, SearchSpace};

use crate::{
    AdamWSettings, Checkpointing, FairSampler, FlowSettings, HeldOut, LatentSource, LoopSettings, Observer,
    StabilitySettings, StepOutcome, TextFeatures, TrainError, TrainSet, Turn,
    denoise::on,
    flow_loss::{FlowBatch, HalfGraphs, mean_squared, part_loss},
    learning_rate,
    loader::beside,
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
    /// They train at this share of the learning rate.
    Slow(f64),
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
    /// Every so many steps the teacher's own path trains.
    pub teacher_every: u64,
    /// Train each path's widest or narrowest twin of the same kinds with it, in turn.
    pub sandwich: bool,
    /// Optimiser.
    pub optimizer: AdamWSettings,
    /// Times.
    pub flow: FlowSettings,
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
            teacher_every: 4,
            sandwich: true,
            optimizer: AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() },
            flow: FlowSettings::default(),
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
    let [_, frames, height, width] = data.shape();
    let shape = DenoiserShape { batch: settings.batch, frames, height, width, tokens: text.tokens };
    let graphs = GraphCache { backbone, shape, graphs: RefCell::default() };
    let paths = Paths { space, sampler: FairSampler::new(space, seed), teacher, settings };
    let make = |step| {
        let mut rng = stream(seed, "supernet/batch", step);
        FlowBatch::draw(data, &backbone.parameterisation, settings.batch, &settings.flow, &mut rng)
    };
    let train = |batch: FlowBatch, set: &mut TrainSet, turn: &mut Turn| {
        let step = turn.step;
        let warm = settings.distillation > 0.0 && step >= settings.warmup_steps;
        if warm && (step.is_multiple_of(PROBE_EVERY) || !set.notes.contains_key(TEACHING)) {
            let better = teaches(backbone, teacher, set, probe)?;
            set.notes.insert(TEACHING.into(), u64::from(better));
        }
        let teaching = warm && set.notes.get(TEACHING) == Some(&1);
        let halves: Vec<(FlowBatch, Option<Vec<f32>>)> = if teaching {
            let averaged = set.averaged();
            let graphs = graphs.halves(teacher)?;
            side_by_side(averaged.device(), batch.halves(), |half| {
                let taught = half.velocity(graphs.of(&half), &averaged, text, averaged.device())?.to_vec();
                Ok::<_, TrainError>((half, Some(taught)))
            })?
        } else {
            batch.halves().into_iter().map(|half| (half, None)).collect()
        };
        let paths = paths.of_step(step);
        let mut parts = Vec::new();
        for genotype in &paths {
            let graphs = graphs.halves(genotype)?;
            parts.extend(halves.iter().map(|half| (genotype, graphs.clone(), half)));
        }
        let weight = 1.0 / paths.len() as f64;
        let (loss, gradients) = set.gradients(parts, |leaves, (genotype, graphs, (half, taught))| {
            let device = leaves.device();
            let v = half.velocity(graphs.of(half), leaves, text, device)?;
            let constant = |values: Vec<f32>| on(values, &half.shape, device);
            let mut part =
                part_loss(mean_squared(v.clone(), constant(half.target())), half.share(settings.batch) * weight);
            if let Some(taught) = taught.as_ref().filter(|_| genotype != teacher) {
                let distance = mean_squared(v, constant(taught.clone()));
                let share = half.share(settings.batch) * weight * settings.distillation;
                part.loss = part.loss + distance.mul_scalar(share);
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
        Ok(StepOutcome { held_out, ..StepOutcome::new(figures, report.moved) })
    };
    beside(data.loading(), run, observer, make, |loader, observer| {
        train_loop(run, &settings.stability, set, observer, |set, turn| train(loader.take(turn.step)?, set, turn))
    })
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
    graphs: RefCell<BTreeMap<Genotype, Arc<HalfGraphs>>>,
}

impl GraphCache<'_> {
    fn halves(&self, genotype: &Genotype) -> Result<Arc<HalfGraphs>, TrainError> {
        const KEPT: usize = 64;
        if let Some(graph) = self.graphs.borrow().get(genotype) {
            return Ok(graph.clone());
        }
        let shape = |batch| DenoiserShape { batch, ..self.shape };
        let graph =
            Arc::new(HalfGraphs::new(self.shape.batch, |batch| self.backbone.denoiser(genotype, shape(batch)))?);
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
    let mut genome: Genome = vec![0; space.slots().len()];
    for slot in 0..genome.len() {
        let mut best = (0, 0);
        for choice in 0..space.slots()[slot].choices.len() as u16 {
            let mut one: Genome = vec![0; genome.len()];
            one[slot] = choice;
            let macs = cost(&backbone.denoiser(&space.genotype(&one), shape)?).macs;
            best = best.max((macs, choice));
        }
        genome[slot] = best.1;
    }
    Ok(space.genotype(&genome))
}
