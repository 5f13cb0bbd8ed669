//! Clips sampled from captions of held-out clips: `evaluate` of the winner and its student, with pictures.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Context;
use tnas_clips::{Clip, FilmSettings, SheetSettings, animated_gif, contact_sheet, join_side_by_side};
use tnas_record::{ArmSettings, EvaluatedArm, FormatVersion, Sampler, SamplesSummary, SheetCaptions};

use super::{Inputs, Stage, up_to_date};
use crate::{
    evaluate::{Evaluate, Role},
    options::{EvaluateOptions, Reference},
    settings::SampleSettings,
    workbench::Workbench,
};

/// Where clips and figures lie, in the run.
const FOLDER: &str = "samples";

/// Numbers of few steps that the winner and its student are sampled in, besides the student's own.
const FEW_STEPS: [usize; 3] = [4, 2, 1];

/// Samples clips of the winner in many and few steps, evaluates them, and writes sheets and GIFs.
struct Samples<'a> {
    evaluate: Evaluate<'a>,
}

impl Stage for Samples<'_> {
    type Output = SamplesSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        self.evaluate.inputs(bench)?.setting("distill.student_steps", &bench.study.distill.student_steps)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![bench.run.path(&self.evaluate.file()), bench.run.files().sheet()])
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<SamplesSummary> {
        let found = self.evaluate.evaluated(bench, Self::NAME)?;
        let arms = || found.evaluation.arms.iter().zip(&found.shown);
        let many = arms().find(|(_, (role, _))| *role == Some(Role::Many)).context("no clips of many steps")?;
        let steps = bench.study.distill.student_steps;
        let of_student = arms().filter(|(_, (role, _))| *role == Some(Role::Student(steps)));
        // The first of equals is Euler's.
        let few = of_student.min_by(|(a, _), (b, _)| distance(a).total_cmp(&distance(b))).unwrap_or(many);
        let column = |(arm, (_, clips)): (&EvaluatedArm, &(_, Vec<Clip>))| (arm.arm.clone(), clips.clone());
        write_pictures(bench, &[("real".into(), found.real.clone()), column(many), column(few)])?;
        Ok(SamplesSummary {
            evaluation: found.evaluation.summary(),
            student_sampler: sampler(few.0),
            student_kernel_mmd: few.0.metrics.get("kernel_mmd").copied(),
        })
    }
}

/// Samples and evaluates clips of the winner and its student, where that is not done.
pub fn samples(bench: &Workbench) -> anyhow::Result<SamplesSummary> {
    let options = options(bench)?;
    up_to_date(bench, &Samples { evaluate: Evaluate::of_winner(bench, &options, FOLDER)? })
}

/// The evaluation that this stage is: `samples.evaluated` clips, or as many as the study has.
///
/// Distances are to validation clips, or to training clips where there are too few of those. An error where there are too few of
/// both, which `run` reports before its first stage.
pub fn options(bench: &Workbench) -> anyhow::Result<EvaluateOptions> {
    const LEAST_CLIPS: usize = SampleSettings::LEAST_CLIPS;
    let wanted = bench.study.samples.evaluated;
    let clips = bench.clips()?;
    let (held_out, train) = (clips.validation.len(), clips.train.len());
    let of = |found: usize| wanted.min(found / 2);
    let (reference, clips) = match (of(held_out), of(train)) {
        (clips, _) if clips >= LEAST_CLIPS => (Reference::HeldOut, clips),
        (_, clips) if clips >= LEAST_CLIPS && held_out > 0 => (Reference::Train, clips),
        _ => anyhow::bail!(
            "failed to plan the evaluation of samples: samples.evaluated = {wanted}, and the data has {held_out} validation clips and \
             {train} for training; {LEAST_CLIPS} are to be compared with {LEAST_CLIPS} others, so {} validation clips, or as many \
             for training and one to validate on, are needed",
            2 * LEAST_CLIPS
        ),
    };
    Ok(EvaluateOptions {
        steps: few_steps(bench.study.distill.student_steps),
        clips: Some(clips),
        reference,
        ..EvaluateOptions::default()
    })
}

/// Four, two, one and the student's own number of steps, most first.
fn few_steps(student_steps: usize) -> Vec<usize> {
    let steps: BTreeSet<usize> = FEW_STEPS.into_iter().chain([student_steps]).collect();
    steps.into_iter().rev().collect()
}

fn distance(arm: &EvaluatedArm) -> f64 {
    arm.metrics.get("kernel_mmd").map_or(f64::INFINITY, |distance| distance.estimate)
}

fn sampler(arm: &EvaluatedArm) -> Sampler {
    match &arm.settings {
        ArmSettings::Model { sampler, .. } => *sampler,
        _ => Sampler::Euler,
    }
}

/// Films of real, many-step and few-step clips side by side, a sheet of each kind, and one of all.
fn write_pictures(bench: &Workbench, columns: &[(String, Vec<Clip>); 3]) -> anyhow::Result<()> {
    let [(_, real), (_, many), (_, few)] = columns;
    let (run, upscale) = (&bench.run, bench.study.samples.upscale);
    let gif = FilmSettings { upscale, ..FilmSettings::default() };
    let rows: Vec<[&Clip; 3]> = real.iter().zip(many).zip(few).map(|((a, b), c)| [a, b, c]).collect();
    for (index, row) in rows.iter().enumerate() {
        let joined = join_side_by_side(row, 1)?;
        run.write(&format!("{FOLDER}/{index:02}.gif"), &animated_gif(&joined, &gif)?)?;
    }
    let sheet = SheetSettings { upscale: upscale.min(3), ..SheetSettings::default() };
    for (name, clips) in [("real", real), ("many", many), ("student", few)] {
        let clips: Vec<&Clip> = clips.iter().collect();
        run.write(&format!("{FOLDER}/sheet-{name}.png"), &contact_sheet(&clips, &sheet)?)?;
    }
    run.write_record(&SheetCaptions {
        format_version: FormatVersion,
        captions: rows.iter().map(|[real, ..]| real.caption.clone()).collect(),
        columns: columns.iter().map(|(name, _)| name.clone()).collect(),
    })?;
    let clips: Vec<&Clip> = rows.into_iter().flatten().take(18).collect();
    run.write(&format!("{FOLDER}/sheet.png"), &contact_sheet(&clips, &sheet)?)
}
