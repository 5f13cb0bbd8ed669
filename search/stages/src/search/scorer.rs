use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Map, Value as Json};
use tnas_evolution::Evaluation;
use tnas_latency::CandidateModel;
use tnas_network::Parameters;
use tnas_record::{OBJECTIVES, Objective, ObjectiveSet, ObjectiveValues, Source};
use tnas_space::{Genome, Genotype, Limits, SearchSpace, Verdict, verdict};
use tnas_study::{CandidateRecord, CandidateState};
use tnas_training::{HeldOut, HeldOutLoss};

use crate::workbench::{ImageModel, Workbench};
use crate::{
    latency::Predictor,
    measuring::space_blocks,
    objectives::{Candidate, Computation, Value},
    pipeline_times::PipelineTimes,
    supernet::{held_out, read_supernet},
};

/// Evaluates candidates: limits first, by what is counted and predicted; then the loss through the supernet.
pub struct Scorer<'a> {
    pub(super) bench: &'a Workbench,
    pub(super) space: SearchSpace,
    pub(super) objectives: ObjectiveSet,
    model: ImageModel,
    supernet: Parameters,
    held_out: HeldOut,
    predictor: Predictor,
    candidates: CandidateModel,
    pub(super) pipeline: Option<PipelineTimes>,
    /// On what is known before a candidate is scored.
    limits: Bounds,
    /// On what scoring shows.
    scored_limits: Bounds,
}

/// Limits of named objectives, oriented so that small values are better.
struct Bounds {
    objectives: Vec<&'static Objective>,
    limits: Limits,
}

/// The place of a candidate in the search.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub generation: u32,
    pub order_in_generation: u32,
}

impl<'a> Scorer<'a> {
    /// Loads supernet, predictor and held-out clips.
    pub fn open(bench: &'a Workbench, pipeline: Option<PipelineTimes>) -> anyhow::Result<Self> {
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let space = bench.space(&model.pipeline.backbone)?;
        let held_out = held_out(bench, &model, &latents, bench.study.search.clips)?;
        let (supernet, predictor) = (read_supernet(bench)?, Predictor::read(bench)?);
        let shape = bench.denoiser_shape(1, model.features.tokens);
        let candidates = predictor.candidates(space_blocks(&model.pipeline.backbone, &space, shape)?);
        let objectives = bench.study.search.objectives.set();
        let bounds = |scored: bool| Bounds::new(bench, &predictor, |source| (source == Source::Scored) == scored);
        let (limits, scored_limits) = (bounds(false)?, bounds(true)?);
        let scorer = Self {
            bench,
            space,
            objectives,
            model,
            supernet,
            held_out,
            predictor,
            candidates,
            pipeline,
            limits,
            scored_limits,
        };
        scorer.refuse_unknown_values()?;
        if pipeline.is_some_and(|times| !times.measured) {
            eprintln!(
                "{:>16} the profile has no times of the text encoder and the decoder: their counted work is taken at the speed \
                 of the image model",
                "search"
            );
        }
        Ok(scorer)
    }

    /// Held-out loss of a genotype through the supernet.
    pub(super) fn loss(&self, genotype: &Genotype) -> anyhow::Result<HeldOutLoss> {
        let backbone = &self.model.pipeline.backbone;
        Ok(self.held_out.loss(&self.supernet, |shape| Ok(backbone.denoiser(genotype, shape)?))?)
    }

    /// What scoring shows of a genotype: of the study's objectives, and of what is limited.
    fn scores(&self, genotype: &Genotype) -> anyhow::Result<ObjectiveValues> {
        let limited = |name: &str| self.scored_limits.limits.iter().any(|limit| limit.name == name);
        let wanted = |objective: &&Objective| {
            objective.source == Source::Scored
                && (self.objectives.get(&objective.name).is_some() || limited(&objective.name))
        };
        let mut scores = ObjectiveValues::new();
        for objective in OBJECTIVES.iter().filter(wanted) {
            let score = match Computation::of(&objective.name)?.value {
                Value::HeldOutLoss => self.loss(genotype)?.mean,
                Value::Counted(_) | Value::Predicted { .. } => continue,
            };
            scores.insert(objective.to_string(), score);
        }
        Ok(scores)
    }

    fn candidate<'b>(&'b self, genome: &'b [u16]) -> Candidate<'b> {
        let (model, target) = (&self.candidates, &self.predictor);
        Candidate { genome, cost: model.cost(genome), model, target, pipeline: self.pipeline }
    }

    /// What is expected of a genome's objectives, as far as it is known before it is scored.
    pub(super) fn expected(&self, genome: &[u16]) -> anyhow::Result<ObjectiveValues> {
        estimates(&self.candidate(genome), self.objectives.iter())
    }

    /// The evaluation of a candidate, and its line in the store. Beyond the limits a candidate only has to come nearer to them:
    /// it is not scored.
    pub(super) fn score(&self, genome: &Genome, place: Place) -> anyhow::Result<(Evaluation, CandidateRecord)> {
        let genotype = self.space.genotype(genome);
        let candidate = self.candidate(genome);
        let mut objectives = estimates(&candidate, self.objectives.iter())?;
        let mut violation = self.limits.violation(&self.limited(&candidate)?);
        if violation == 0.0 {
            let scores = self.scores(&genotype)?;
            violation = self.scored_limits.violation(&self.scored_limits.oriented(|name| Ok(scores[name]))?);
            objectives.extend(scores.into_iter().filter(|(name, _)| self.objectives.get(name).is_some()));
        }
        let evaluation = if violation > 0.0 {
            Evaluation::infeasible(violation)?
        } else {
            let missing = |name: &str| anyhow::anyhow!("failed to evaluate {genotype}: it has no {name}");
            Evaluation::feasible(self.objectives.vector(&objectives).map_err(missing)?)?
        };
        let record = CandidateRecord {
            arch_id: genotype.arch_id().to_string(),
            genotype: genotype.to_string(),
            generation: place.generation,
            order_in_generation: place.order_in_generation,
            objectives,
            metrics: Json::Object(metrics(&candidate, violation)?),
            state: if violation > 0.0 { CandidateState::Infeasible } else { CandidateState::Evaluated },
            measured_by: self.predictor.device().to_string(),
        };
        Ok((evaluation, record))
    }

    /// The limited quantities of a candidate as the limits are tested: `search.limit_sigmas` standard deviations worse than
    /// expected.
    fn limited(&self, candidate: &Candidate) -> anyhow::Result<Vec<f64>> {
        let sigmas = self.bench.study.search.limit_sigmas;
        self.limits.oriented(|name| {
            let computation = Computation::of(name)?;
            let value = estimate(computation, candidate, name)?;
            let margin = if sigmas == 0.0 { 0.0 } else { sigmas * computation.sigma(candidate) };
            // Larger is worse once it is oriented.
            let objective = Objective::known(name)?;
            Ok(objective.oriented(objective.oriented(value) + margin))
        })
    }

    /// An error where the profile of the target lacks what an objective or a limit takes.
    fn refuse_unknown_values(&self) -> anyhow::Result<()> {
        let baseline = self.space.baseline();
        let candidate = self.candidate(&baseline);
        estimates(&candidate, self.objectives.iter())?;
        self.limits.oriented(|name| estimate(Computation::of(name)?, &candidate, name)).map(|_| ())
    }

    /// An error where no architecture of the space keeps the limits, with the nearest.
    pub(super) fn refuse_impossible_limits(&self) -> anyhow::Result<()> {
        let limited = |genome: &[u16]| self.limited(&self.candidate(genome));
        match verdict(&self.space, &self.limits.limits, limited)? {
            Verdict::Feasible(_) => Ok(()),
            Verdict::Infeasible { nearest, least } => anyhow::bail!(
                "failed to search: no architecture of the space keeps the limits: {}; the nearest is {}",
                self.limits.described(&least, self.bench.study.search.limit_sigmas).join("; "),
                self.space.genotype(&nearest)
            ),
        }
    }
}

impl Bounds {
    /// The study's limits on objectives of some sources, and below them what the profile showed not to fit the device.
    fn new(bench: &Workbench, target: &Predictor, of: impl Fn(Source) -> bool) -> anyhow::Result<Self> {
        let (mut objectives, mut limits) = (Vec::new(), Vec::new());
        for objective in OBJECTIVES.iter().filter(|objective| of(objective.source)) {
            let asked = bench.study.limits.get(&objective.name);
            let seen = (Computation::of(&objective.name)?.bound_of)(target);
            let bounds = [asked, seen].into_iter().flatten().map(|bound| objective.oriented(bound));
            if let Some(bound) = bounds.reduce(f64::min) {
                objectives.push(objective);
                limits.push((objective.name.to_string(), bound));
            }
        }
        Ok(Self { objectives, limits: Limits::new(limits) })
    }

    /// Values in the limits' order, oriented.
    fn oriented(&self, value: impl Fn(&str) -> anyhow::Result<f64>) -> anyhow::Result<Vec<f64>> {
        self.objectives.iter().map(|objective| Ok(objective.oriented(value(&objective.name)?))).collect()
    }

    fn violation(&self, oriented: &[f64]) -> f64 {
        self.limits.violation(oriented)
    }

    /// What comes nearest to each limit that cannot be kept.
    fn described(&self, least: &BTreeMap<String, (f64, f64)>, sigmas: f64) -> Vec<String> {
        let described = |objective: &&'static Objective| {
            let (value, limit) = least.get(&*objective.name)?;
            let (value, limit) = (objective.oriented(*value), objective.oriented(*limit));
            let margin = if objective.source == Source::Predicted && sigmas > 0.0 {
                format!(" ({sigmas} standard deviations of the prediction in it)")
            } else {
                String::new()
            };
            let best = if objective.oriented(1.0) > 0.0 { "at least" } else { "at most" };
            Some(format!("{objective} is {best} {value:.4}{margin}, the limit is {limit}"))
        };
        self.objectives.iter().filter_map(described).collect()
    }
}

/// The objectives that are known before a candidate is scored.
fn estimates<'o>(
    candidate: &Candidate,
    objectives: impl Iterator<Item = &'o Objective>,
) -> anyhow::Result<ObjectiveValues> {
    let known = objectives.filter(|objective| objective.source != Source::Scored);
    let named = |objective: &Objective| {
        Ok((objective.to_string(), estimate(Computation::of(&objective.name)?, candidate, &objective.name)?))
    };
    known.map(named).collect()
}

fn estimate(computation: &Computation, candidate: &Candidate, name: &str) -> anyhow::Result<f64> {
    computation.estimate(candidate).with_context(|| {
        format!(
            "failed to use {name} as an objective or a limit: the profile of {} lacks the measurements that it is predicted from",
            candidate.target.device()
        )
    })
}

/// What is counted of a candidate, and how far it is beyond the limits.
fn metrics(candidate: &Candidate, violation: f64) -> anyhow::Result<Map<String, Json>> {
    let counted = OBJECTIVES.iter().filter(|objective| objective.source == Source::Counted);
    let mut metrics = estimates(candidate, counted)?;
    metrics.insert("violation".into(), violation);
    Ok(metrics.into_iter().map(|(name, value)| (name, Json::from(value))).collect())
}
