//! Models and folders of films beside real clips, by the run's evaluator.

mod arms;
mod figures;
mod gaps;
mod real;
mod scoring;

use std::path::PathBuf;

use anyhow::Context;
use tnas_clips::{Clip, ClipSet, SheetSettings, contact_sheet};
use tnas_evaluation::{Evaluator, Measures, Memorisation, Yardstick, fitness};
use tnas_network::stream;
use tnas_record::{
    ArmDifference, ArmSettings, EvaluateSummary, EvaluatedArm, Evaluation, FormatVersion, MetricFitness, Reference,
};
use tnas_study::hash_path;

use self::{
    arms::{Arm, ArmKind},
    figures::{difference, mean, metrics},
    real::RealSets,
    scoring::{Scored, Scorer},
};
use super::{Inputs, Stage, evaluator::read_evaluator, up_to_date};
use crate::{options::EvaluateOptions, recorded, workbench::Workbench};

/// What a stored evaluation means; raise where it changes.
const FORMAT_VERSION: u32 = 1;

/// Where the evaluation of a run lies.
const FOLDER: &str = "evaluation";

/// Deviation of the noise of noisy real clips, as where the evaluator is trained.
const NOISE: f32 = 0.3;

/// The ways in which real clips are corrupted to evaluate the metrics.
const CONTROLS: [&str; 6] = ["shuffled frames", "frozen", "noisy", "independent frames", "blended", "blurred"];

/// Clips for each feature below which distances are said to be uncertain.
const CLIPS_PER_FEATURE: usize = 8;

/// Evaluates models and folders of films beside real clips, and the evaluator by corrupted real clips.
pub fn evaluate(bench: &Workbench, args: &EvaluateOptions) -> anyhow::Result<Evaluation> {
    evaluate_into(bench, args, FOLDER)
}

/// The same with figures and sheets in a folder of the run.
pub fn evaluate_into(bench: &Workbench, options: &EvaluateOptions, folder: &str) -> anyhow::Result<Evaluation> {
    options.check()?;
    let stage = Evaluate {
        options,
        folder,
        evaluator: read_evaluator(bench)?,
        evaluator_hash: hash_path(bench.run.path("evaluator"))?,
        arms: arms::planned(bench, options)?,
        held_out: bench.held_out(2 * options.clips.unwrap_or(bench.study.samples.evaluated))?,
    };
    up_to_date(bench, &stage)?;
    let path = bench.run.path(&stage.file());
    let found = tnas_record::read_from(&path).context("failed to read the evaluation")?;
    found.with_context(|| format!("failed to read the evaluation: {} is gone", path.display()))
}

/// Arms, real clips and the evaluator, of one evaluation.
struct Evaluate<'a> {
    options: &'a EvaluateOptions,
    folder: &'a str,
    evaluator: Evaluator,
    evaluator_hash: String,
    arms: Vec<Arm>,
    held_out: Vec<ClipSet>,
}

impl Evaluate<'_> {
    /// Where its figures are written, in the run.
    fn file(&self) -> String {
        format!("{}/evaluation.json", self.folder)
    }

    fn clips(&self, bench: &Workbench) -> usize {
        self.options.clips.unwrap_or(bench.study.samples.evaluated)
    }

    fn seeds(&self, bench: &Workbench) -> Vec<u64> {
        let asked = &self.options.seeds;
        if asked.is_empty() { vec![bench.study.seed] } else { asked.clone() }
    }
}

impl Stage for Evaluate<'_> {
    type Output = EvaluateSummary;

    fn variant(&self) -> String {
        let inner = self.folder.trim_start_matches(FOLDER).replace('/', "-");
        if inner.is_empty() { String::new() } else { inner }
    }

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let unseen = self.held_out.iter().map(ClipSet::content_hash).collect::<Result<Vec<_>, _>>()?;
        let arms: Vec<ArmSettings> = self.arms.iter().map(Arm::settings).collect::<anyhow::Result<_>>()?;
        Inputs::new()
            .file(bench.run.path("evaluator"))
            .contents("clips", &bench.clips()?.key)
            .setting("held_out_clips", &unseen)?
            .setting("format_version", &FORMAT_VERSION)?
            .setting("seed", &bench.study.seed)?
            .setting("samples.shown", &bench.study.samples.shown)?
            .setting("samples.upscale", &bench.study.samples.upscale)?
            .setting("clips_per_arm", &self.clips(bench))?
            .setting("seeds", &self.seeds(bench))?
            .setting("reference", &self.options.reference)?
            .setting("resamples", &self.options.resamples)?
            .setting("arms", &arms)?
            .setting("controls", &CONTROLS)
    }

    fn outputs(&self, bench: &Workbench) -> Vec<PathBuf> {
        vec![bench.run.path(&self.file())]
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<EvaluateSummary> {
        let clips = self.clips(bench);
        let sets = RealSets::new(bench, self.options.reference, clips, &self.held_out)?;
        let scorer = Scorer::new(bench, &self.evaluator, &self.evaluator_hash)?;
        let seeds = self.seeds(bench);
        let comparison = Comparison { bench, args: self.options, scorer, sets, seeds, folder: self.folder };
        let found = comparison.found(&self.arms)?;
        bench.run.write_json(&self.file(), &found)?;
        Ok(EvaluateSummary {
            evaluator_hash: self.evaluator_hash.clone(),
            clips,
            arms: self.arms.len(),
            unfit: found.unfit().map(|metric| metric.metric.clone()).collect(),
        })
    }
}

struct Comparison<'a> {
    bench: &'a Workbench,
    args: &'a EvaluateOptions,
    scorer: Scorer<'a>,
    sets: RealSets,
    seeds: Vec<u64>,
    folder: &'a str,
}

/// A named set of clips, measured.
struct Row {
    name: String,
    settings: ArmSettings,
    scored: Scored,
    measures: Measures,
}

impl Row {
    /// With differences to the first arm, and with nearest training clips where `distances` of held-out clips are given.
    fn recorded(&self, first: Option<&Self>, distances: Option<&Vec<f64>>) -> anyhow::Result<EvaluatedArm> {
        let nearest = || self.scored.seeds.iter().flat_map(|set| set.nearest.iter().copied()).collect::<Vec<f64>>();
        let memorisation = distances.map(|distances| Memorisation::new(&nearest(), distances)).transpose()?;
        let seeds = &self.scored.seeds;
        Ok(EvaluatedArm {
            arm: self.name.clone(),
            settings: self.settings.clone(),
            clips: self.scored.len(),
            seeds: seeds.len(),
            metrics: metrics(&self.measures, seeds),
            mean_frame_difference: mean(seeds, |set| &set.frame_difference),
            warp_error: mean(seeds, |set| &set.warp_error),
            minus_first: first.map(|first| difference(&self.measures, &first.measures)),
            memorisation: memorisation.as_ref().map(recorded::memorisation),
        })
    }
}

fn recorded_fitness(found: &tnas_evaluation::Fitness) -> MetricFitness {
    MetricFitness { metric: found.metric.to_string(), fit: found.is_fit(), blind_to: found.blind_to.clone() }
}

/// Every two arms, paired.
fn differences(rows: &[Row]) -> Vec<ArmDifference> {
    let pairs = (0..rows.len()).flat_map(|a| (a + 1..rows.len()).map(move |b| (&rows[a], &rows[b])));
    let of = |(one, other): (&Row, &Row)| ArmDifference {
        arm: one.name.clone(),
        minus: other.name.clone(),
        difference: difference(&one.measures, &other.measures),
    };
    pairs.map(of).collect()
}

impl Comparison<'_> {
    fn found(&self, arms: &[Arm]) -> anyhow::Result<Evaluation> {
        let (bench, sets) = (self.bench, &self.sets);
        let reference = self.scorer.real(&sets.reference_name, &sets.reference, 0)?.seeds.remove(0);
        let yardstick = Yardstick::new(&reference, self.args.resamples, bench.study.seed)?;
        let row = |name: String, settings: ArmSettings, scored: Scored| -> anyhow::Result<Row> {
            let measures =
                yardstick.measure(&scored.seeds).with_context(|| format!("failed to evaluate {name}"))?;
            Ok(Row { name, settings, scored, measures })
        };
        let shown = bench.study.samples.shown;
        let real = |name: &str, clips: &[Clip]| self.scorer.real(name, clips, shown);
        let floor = row(sets.floor_name.clone(), ArmSettings::Real, real(&sets.floor_name, &sets.floor)?)?;
        let held_out = if sets.held_out.is_empty() {
            None
        } else {
            Some(row("real, held out".into(), ArmSettings::Real, real("held out", &sets.held_out)?)?)
        };
        let controls = self.controls(&row)?;
        let mut rows = Vec::new();
        for arm in arms {
            let scored = match &arm.kind {
                ArmKind::Model(model) => self.scorer.sampled(arm, model, &sets.asked, &self.seeds)?,
                ArmKind::Folder(folder) => real(&arm.name, &real::films(bench, folder, sets.floor.len())?)?,
            };
            rows.push(row(arm.name.clone(), arm.settings()?, scored)?);
        }
        // What held-out real clips are away from training clips.
        let untrained = held_out.as_ref().unwrap_or(&floor);
        let mut distances: Vec<f64> = untrained.scored.seeds.iter().flat_map(|set| set.nearest.clone()).collect();
        if held_out.is_none() {
            distances.extend(&reference.nearest);
        }
        // The floor's clips are training clips where there are held-out ones beside them.
        let trained_on = held_out.is_some();
        let described = |row: &Row| row.recorded(None, Some(&distances));
        self.write_sheets(&floor, &rows)?;
        let named: Vec<(String, Measures)> =
            controls.iter().map(|row| (row.name.clone(), row.measures.clone())).collect();
        let fit = fitness(&floor.measures, &named);
        let roles = arms.iter().zip(&rows);
        let roles: Vec<_> =
            roles.filter_map(|(arm, row)| Some((arm.role?, row.name.as_str(), &row.measures))).collect();
        Ok(Evaluation {
            format_version: FormatVersion,
            evaluator: self.scorer.identity()?,
            clips: sets.floor.len(),
            reference: Reference { clips: sets.reference.len(), of: sets.reference_name.clone() },
            seeds: self.seeds.clone(),
            resamples: self.args.resamples,
            warnings: self.warnings(&rows),
            floor: floor.recorded(None, Some(&distances).filter(|_| !trained_on))?,
            held_out: held_out.as_ref().map(described).transpose()?,
            arms: rows.iter().map(|row| row.recorded(rows.first(), Some(&distances))).collect::<Result<_, _>>()?,
            controls: controls.iter().map(described).collect::<Result<_, _>>()?,
            fitness: fit.iter().map(recorded_fitness).collect(),
            few_steps: gaps::gaps(&roles),
            differences: differences(&rows),
        })
    }

    /// Real clips corrupted in one way each.
    fn controls(
        &self,
        row: &impl Fn(String, ArmSettings, Scored) -> anyhow::Result<Row>,
    ) -> anyhow::Result<Vec<Row>> {
        let real = &self.sets.floor;
        let mut rng = stream(self.bench.study.seed, "evaluate/controls", 0);
        let corrupted: [Vec<Clip>; CONTROLS.len()] = [
            real.iter().map(|clip| tnas_evaluation::shuffled_frames(clip, &mut rng)).collect(),
            real.iter().map(tnas_evaluation::frozen).collect(),
            real.iter().map(|clip| tnas_evaluation::noisy(clip, &mut rng, NOISE)).collect(),
            tnas_evaluation::independent_frames(real, &mut rng),
            tnas_evaluation::blended(real, &mut rng),
            real.iter().map(tnas_evaluation::blurred).collect(),
        ];
        let one = |(name, clips): (&str, Vec<Clip>)| {
            row(format!("real, {name}"), ArmSettings::Control, self.scorer.real(name, &clips, 0)?)
        };
        CONTROLS.into_iter().zip(corrupted).map(one).collect()
    }

    /// What a reader should know before the figures.
    fn warnings(&self, rows: &[Row]) -> Vec<String> {
        let (clips, features) = (self.sets.floor.len(), self.scorer.features());
        let mut warnings = Vec::new();
        let reference = self.sets.reference.len();
        if clips.min(reference) < CLIPS_PER_FEATURE * features {
            warnings.push(format!(
                "{clips} clips beside {reference}, for {features} features: {} of each are wanted before distances are trusted",
                CLIPS_PER_FEATURE * features
            ));
        }
        for row in rows.iter().filter(|row| row.scored.len() != reference) {
            warnings.push(format!(
                "{} has {} clips, the reference {reference}: the Fréchet distance of sets of unequal size is biased \
                 differently from the floor's",
                row.name,
                row.scored.len()
            ));
        }
        if self.sets.reference_trained {
            warnings.push("the reference is of clips that the evaluator was trained on".into());
        }
        warnings
    }

    /// A contact sheet for the real clips and for each arm.
    fn write_sheets(&self, floor: &Row, rows: &[Row]) -> anyhow::Result<()> {
        let folder = self.bench.run.path(&format!("{}/sheets", self.folder));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("failed to clear {}", folder.display()))?;
        }
        let upscale = self.bench.study.samples.upscale.clamp(1, 3);
        let sheet = SheetSettings { upscale, ..SheetSettings::default() };
        for (index, row) in std::iter::once(floor).chain(rows).enumerate() {
            let clips: Vec<&Clip> = row.scored.shown.iter().collect();
            if !clips.is_empty() {
                let name = format!("{}/sheets/{index:02}-{}.png", self.folder, arms::slug(&row.name));
                self.bench.run.write(&name, &contact_sheet(&clips, &sheet)?)?;
            }
        }
        Ok(())
    }
}
