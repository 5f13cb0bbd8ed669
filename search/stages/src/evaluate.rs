//! Models and folders of films compared with real clips, by the run's evaluator.

mod arms;
mod comparison;
mod figures;
mod gaps;
mod real;
mod scoring;

use std::path::PathBuf;

use anyhow::Context;
use tnas_clips::{Clip, ClipSet};
use tnas_evaluation::Evaluator;
use tnas_record::{ArmSettings, EvaluateSummary, Evaluation, run_files};
use tnas_study::hash_path;

use self::{
    arms::Arm,
    comparison::{CONTROLS, Compared, Comparison},
    real::{HeldOut, RealSets},
    scoring::Scorer,
};
use super::{Inputs, Stage, evaluator::read_evaluator, up_to_date};
use crate::{options::EvaluateOptions, workbench::Workbench};

pub use self::gaps::Role;

/// What a stored evaluation means; raise where it changes.
const FORMAT_VERSION: u32 = 2;

/// Where the evaluation of a run lies.
const FOLDER: &str = "evaluation";

/// Compares models and folders of films with real clips, and checks the evaluator's metrics on corrupted real clips.
pub fn evaluate(bench: &Workbench, args: &EvaluateOptions) -> anyhow::Result<Evaluation> {
    evaluate_into(bench, args, FOLDER)
}

/// The same with figures and sheets in a folder of the run.
pub fn evaluate_into(bench: &Workbench, options: &EvaluateOptions, folder: &str) -> anyhow::Result<Evaluation> {
    let clips = options.clips.unwrap_or(bench.study.samples.evaluated);
    let held_out = HeldOut { name: "held-out clips", sets: bench.held_out(2 * clips)? };
    let stage = Evaluate::new(bench, options, folder, arms::planned(bench, options)?, held_out)?;
    up_to_date(bench, &stage)?;
    stage.read(bench)
}

/// An evaluation: its arms, real clips and evaluator.
pub struct Evaluate<'a> {
    options: &'a EvaluateOptions,
    folder: &'a str,
    evaluator: Evaluator,
    evaluator_hash: String,
    arms: Vec<Arm>,
    held_out: HeldOut,
}

/// What an evaluation leaves in memory.
pub struct Evaluated {
    /// Its figures, as they were written.
    pub evaluation: Evaluation,
    /// The first clips that were asked for, before an autoencoder.
    pub real: Vec<Clip>,
    /// Role of each arm in the comparison of few steps with many, and the first clips of its first seed; in the order of the table.
    pub shown: Vec<(Option<Role>, Vec<Clip>)>,
}

impl<'a> Evaluate<'a> {
    /// With figures and sheets in a folder of the run.
    fn new(
        bench: &Workbench,
        options: &'a EvaluateOptions,
        folder: &'a str,
        arms: Vec<Arm>,
        held_out: HeldOut,
    ) -> anyhow::Result<Self> {
        options.check()?;
        Ok(Self {
            options,
            folder,
            evaluator: read_evaluator(bench)?,
            evaluator_hash: hash_path(bench.run.path("evaluator"))?,
            arms,
            held_out,
        })
    }

    /// Of the run's winner and of its own student alone, compared with validation clips: no network was trained on them, and every
    /// word of their captions is known to a backbone that was trained on the study.
    pub fn of_winner(bench: &Workbench, options: &'a EvaluateOptions, folder: &'a str) -> anyhow::Result<Self> {
        let held_out = HeldOut { name: "validation clips", sets: vec![bench.clips()?.validation.clone()] };
        Self::new(bench, options, folder, arms::of_winner(bench, options)?, held_out)
    }

    /// Where its figures are written, in the run.
    pub fn file(&self) -> String {
        format!("{}/{}", self.folder, run_files::EVALUATION)
    }

    /// Its figures, where it is up to date.
    fn read(&self, bench: &Workbench) -> anyhow::Result<Evaluation> {
        let path = bench.run.path(&self.file());
        let found = tnas_record::read_from(&path).context("failed to read the evaluation")?;
        found.with_context(|| format!("failed to read the evaluation: {} is gone", path.display()))
    }

    /// Scores every set of clips in a stage of this name, and writes figures, predicted labels and contact sheets.
    pub fn evaluated(&self, bench: &Workbench, stage: &'static str) -> anyhow::Result<Evaluated> {
        let sets = RealSets::new(bench, self.options.reference, self.clips(bench), &self.held_out)?;
        let scorer = Scorer::new(bench, stage, &self.evaluator, &self.evaluator_hash)?;
        let (seeds, resamples) = (self.seeds(bench), self.options.resamples);
        let comparison = Comparison { bench, scorer, sets, seeds, resamples };
        let compared = comparison.compare(&self.arms)?;
        let evaluation = comparison.evaluation(&self.arms, &compared)?;
        comparison.write_sheets(self.folder, &compared)?;
        let labels = comparison.predictions(&self.arms, &compared);
        bench.run.write_json(&format!("{}/{}", self.folder, run_files::EVALUATED_LABELS), &labels)?;
        bench.run.write_json(&self.file(), &evaluation)?;
        let real = comparison.sets.asked.iter().take(bench.study.samples.shown).cloned().collect();
        let Compared { arms, .. } = compared;
        let shown = self.arms.iter().zip(arms).map(|(arm, row)| (arm.role, row.scored.shown)).collect();
        Ok(Evaluated { evaluation, real, shown })
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
        let unseen = self.held_out.sets.iter().map(ClipSet::content_hash).collect::<Result<Vec<_>, _>>()?;
        let arms: Vec<ArmSettings> =
            self.arms.iter().map(|arm| arm.settings(&bench.run)).collect::<anyhow::Result<_>>()?;
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

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![bench.run.path(&self.file())])
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<EvaluateSummary> {
        Ok(self.evaluated(bench, Self::NAME)?.evaluation.summary())
    }
}
