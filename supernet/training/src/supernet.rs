use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tnas_models::{Backbone, DenoiserShape};
use tnas_network::{Leaves, Parameters, Value, side_by_side, stream};
use tnas_space::{Genotype, SearchSpace};

use crate::{
    HeldOut, LatentSource, PathSampler, SupernetSettings, TextFeatures, TrainError, TrainSet, TrainingContext,
    TrainingObjective, Update, WeightedLoss,
    flow_batch::FlowBatch,
    image_step::ImageStep,
    micro_batches::{HalfGraphs, MicroBatches},
    objective::{Schedule, UpdateFigures, optimize},
    paths::Paths,
    teacher::{TeacherTargets, is_better_than_none},
};

/// Prefix of the names of all temporal weights.
pub const TEMPORAL_PREFIX: &str = "temporal.";

/// Steps between comparisons of the teacher with no temporal layers.
const COMPARED_EVERY: u64 = 100;

/// Name of the note that keeps their outcome.
const TEACHING: &str = "teacher is better";

/// Trains all paths of a space at once over shared weights (single-path sampling, Guo et al. 2020, with strict fairness).
///
/// Each step trains one sampled path and, by the sandwich rule (Yu & Huang 2019) within each kind of operator, the widest or
/// narrowest path of the same kinds. Over all kinds there is no largest path; instead the averaged weights of the `teacher`
/// genotype are distilled, once warm and only while their held-out loss is below that of no temporal layers. Early stopping goes
/// by the teacher's held-out loss.
pub fn train_supernet(
    context: TrainingContext,
    space: &SearchSpace,
    teacher: &Genotype,
    set: &mut TrainSet,
    settings: &SupernetSettings,
) -> Result<(), TrainError> {
    context.check()?;
    let TrainingContext { backbone, text, data, held_out, seed, run, observer } = context;
    let held_out = held_out
        .ok_or_else(|| TrainError::Data("none are held out to compare the supernet's teacher on".into()))?;
    let recipe = &settings.training;
    set.configure(recipe)?;
    let [_, frames, height, width] = data.shape();
    let micro = MicroBatches::new(recipe, frames);
    let shape = DenoiserShape { batch: 1, frames, height, width, tokens: text.tokens };
    let features = settings.feature_distillation > 0.0;
    let objective = AllPaths {
        graphs: GraphCache { backbone, shape, micro: micro.clone(), features, graphs: Mutex::default() },
        paths: Paths { space, sampler: PathSampler::new(space, seed), teacher, settings },
        micro,
        backbone,
        teacher,
        text,
        data,
        held_out,
        settings,
        seed,
        steps: run.steps,
    };
    optimize(&objective, set, data.loading(), &recipe.stability, run, observer)
}

/// The flow of clips, by the paths of each step, with distillation from the teacher.
struct AllPaths<'a> {
    graphs: GraphCache<'a>,
    paths: Paths<'a>,
    micro: MicroBatches,
    backbone: &'a Backbone,
    teacher: &'a Genotype,
    text: &'a TextFeatures,
    data: &'a dyn LatentSource,
    held_out: &'a HeldOut,
    settings: &'a SupernetSettings,
    seed: u64,
    steps: u64,
}

/// Clips on one path.
struct PathPart {
    graphs: Arc<HalfGraphs>,
    clips: Arc<Clips>,
    /// Fraction of the step's loss.
    weight: f64,
    /// Whether the path is not the teacher's own.
    distilled: bool,
}

/// Clips, with the teacher's predictions while it is distilled.
struct Clips {
    batch: FlowBatch,
    targets: Option<TeacherTargets>,
}

impl TrainingObjective for AllPaths<'_> {
    type Networks = TrainSet;
    type Batch = FlowBatch;
    type Part = PathPart;

    fn updates(&self, step: u64) -> Result<Vec<Update<Self>>, TrainError> {
        let recipe = &self.settings.training;
        let mut rng = stream(self.seed, "supernet/batch", step);
        let (parameterisation, clips) = (&self.backbone.parameterisation, self.micro.clips);
        let batch = FlowBatch::draw(self.data, parameterisation, clips, &recipe.flow, &mut rng)?;
        let batch = ImageStep::draw(recipe.images, self.seed, "supernet", step).apply(batch);
        let schedule = Schedule { optimizer: recipe.optimizer, index: step, count: self.steps };
        Ok(vec![Update { network: (), schedule, figures: UpdateFigures::PLAIN, batch }])
    }

    fn micro_batches(
        &self,
        step: u64,
        set: &mut TrainSet,
        batch: FlowBatch,
    ) -> Result<Vec<Vec<PathPart>>, TrainError> {
        self.compare_teacher(step, set)?;
        let micro_batches =
            self.with_targets(batch, self.is_teaching(step, set).then(|| set.averaged()).as_ref())?;
        let paths = self.paths.of_step(step);
        let graphs: Vec<_> = paths.iter().map(|path| self.graphs.of(path)).collect::<Result<_, _>>()?;
        let weight = 1.0 / paths.len() as f64;
        let part = |path: usize, clips: &Arc<Clips>| PathPart {
            graphs: graphs[path].clone(),
            clips: clips.clone(),
            weight: clips.batch.fraction_of(self.micro.clips) * weight,
            distilled: paths[path] != *self.teacher,
        };
        let parts = |halves: &Vec<Arc<Clips>>| {
            (0..paths.len())
                .flat_map(|path| halves.iter().map(move |half| (path, half)))
                .map(|(p, c)| part(p, c))
                .collect()
        };
        Ok(micro_batches.iter().map(parts).collect())
    }

    fn loss(&self, _: &TrainSet, leaves: &Leaves, part: PathPart) -> Result<WeightedLoss, TrainError> {
        let (device, half, settings) = (leaves.device(), &part.clips.batch, self.settings);
        let (v, features) = half.velocity_and_features(part.graphs.of(half.shape), leaves, self.text, device)?;
        let target = Value::constant(half.target(), &half.shape, device);
        let mut loss = WeightedLoss::new(half.loss(v.clone(), target, device), part.weight);
        if let Some(targets) = part.clips.targets.as_ref().filter(|_| part.distilled) {
            if settings.distillation > 0.0 {
                let predicted = Value::constant(targets.velocity.clone(), &half.shape, device);
                let distance = half.loss(v, predicted, device);
                loss.add_unreported(distance.mul_scalar(part.weight * settings.distillation));
            }
            if let Some(distance) = targets.feature_distance(features, device) {
                loss.add_unreported(distance.mul_scalar(part.weight * settings.feature_distillation));
            }
        }
        Ok(loss)
    }

    fn held_out_loss(&self, set: &TrainSet) -> Result<Option<f64>, TrainError> {
        let graph = |shape| Ok(self.backbone.denoiser(self.teacher, shape)?);
        Ok(Some(self.held_out.loss(&set.averaged(), graph)?.mean))
    }

    fn figures(&self, step: u64, set: &TrainSet) -> Vec<(&'static str, f64)> {
        vec![("teaching", f64::from(u8::from(self.is_teaching(step, set))))]
    }
}

impl AllPaths<'_> {
    fn is_warm(&self, step: u64) -> bool {
        self.settings.distils() && step >= self.settings.warmup_steps
    }

    fn is_teaching(&self, step: u64, set: &TrainSet) -> bool {
        self.is_warm(step) && set.notes.get(TEACHING) == Some(&1)
    }

    /// Notes from time to time whether the teacher's held-out loss is below that of no temporal layers.
    fn compare_teacher(&self, step: u64, set: &mut TrainSet) -> Result<(), TrainError> {
        if self.is_warm(step) && (step.is_multiple_of(COMPARED_EVERY) || !set.notes.contains_key(TEACHING)) {
            let better = is_better_than_none(self.teacher, self.backbone, &set.averaged(), self.held_out)?;
            set.notes.insert(TEACHING.into(), u64::from(better));
        }
        Ok(())
    }

    /// The halves of each micro-batch, with the teacher's predictions under its averaged weights, if given.
    fn with_targets(
        &self,
        batch: FlowBatch,
        averaged: Option<&Parameters>,
    ) -> Result<Vec<Vec<Arc<Clips>>>, TrainError> {
        let micro_batches = batch.micro_batches(self.micro.count).into_iter();
        let Some(averaged) = averaged else {
            let clips = |batch| Arc::new(Clips { batch, targets: None });
            return Ok(micro_batches.map(|halves| halves.into_iter().map(clips).collect()).collect());
        };
        let graphs = self.graphs.of(self.teacher)?;
        let teach = |batch: FlowBatch| {
            let targets = Some(TeacherTargets::of(&batch, &graphs, averaged, self.text)?);
            Ok::<_, TrainError>(Arc::new(Clips { batch, targets }))
        };
        micro_batches.map(|halves| side_by_side(averaged.device(), halves, teach)).collect()
    }
}

/// Graphs of a step's halves by genotype: building one is cheap, but the same ones come again.
struct GraphCache<'a> {
    backbone: &'a Backbone,
    shape: DenoiserShape,
    micro: MicroBatches,
    /// Whether they give their block outputs too.
    features: bool,
    graphs: Mutex<BTreeMap<Genotype, Arc<HalfGraphs>>>,
}

impl GraphCache<'_> {
    fn of(&self, genotype: &Genotype) -> Result<Arc<HalfGraphs>, TrainError> {
        const KEPT: usize = 64;
        let mut graphs = self.graphs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = graphs.get(genotype) {
            return Ok(graph.clone());
        }
        let graph = Arc::new(self.micro.graphs(|batch, frames| {
            let shape = DenoiserShape { batch, frames, ..self.shape };
            if self.features {
                self.backbone.denoiser_with_features(genotype, shape)
            } else {
                self.backbone.denoiser(genotype, shape)
            }
        })?);
        if graphs.len() >= KEPT {
            graphs.clear();
        }
        graphs.insert(genotype.clone(), graph.clone());
        Ok(graph)
    }
}
