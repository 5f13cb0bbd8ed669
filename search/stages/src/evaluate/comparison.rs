//! Sets of clips, measured beside real ones and beside corrupted real ones.

use anyhow::Context;
use tnas_clips::{Clip, SheetSettings, contact_sheet};
use tnas_evaluation::{Measures, Memorisation, ReferenceClips, ScoredClips, fitness};
use tnas_network::stream;
use tnas_record::{
    ArmDifference, ArmSettings, EvaluatedArm, EvaluatedLabels, Evaluation, FormatVersion, MetricFitness, Reference,
    RequestedClip, run_files::EVALUATION_SHEETS,
};

use super::{
    arms::{Arm, ArmKind, slug},
    figures::{difference, mean, metrics},
    gaps,
    real::{RealSets, films},
    scoring::{Scored, Scorer},
};
use crate::{recorded, workbench::Workbench};

/// Deviation of the noise of noisy real clips, as where the evaluator is trained.
const NOISE: f32 = 0.3;

/// The ways in which real clips are corrupted to evaluate the metrics.
pub const CONTROLS: [&str; 6] = ["shuffled frames", "frozen", "noisy", "independent frames", "blended", "blurred"];

/// Clips for each feature below which distances are said to be uncertain.
const CLIPS_PER_FEATURE: usize = 8;

/// Sets of clips and what they are measured by.
pub struct Comparison<'a> {
    /// Settings, device and clips.
    pub bench: &'a Workbench,
    /// The evaluator.
    pub scorer: Scorer<'a>,
    /// Real clips.
    pub sets: RealSets,
    /// Seeds of the noise.
    pub seeds: Vec<u64>,
    /// Bootstrap resamples of the intervals.
    pub resamples: usize,
}

/// Every set of an evaluation, measured.
pub struct Compared {
    reference: ScoredClips,
    /// Real clips.
    pub floor: Row,
    before_autoencoder: Option<Row>,
    held_out: Option<Row>,
    /// Arms in their order.
    pub arms: Vec<Row>,
    controls: Vec<Row>,
}

/// A named set of clips, measured.
pub struct Row {
    /// What the table calls it.
    pub name: String,
    settings: ArmSettings,
    /// What the evaluator says of it.
    pub scored: Scored,
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
    /// Scores and measures every set.
    pub fn compare(&self, arms: &[Arm]) -> anyhow::Result<Compared> {
        let (bench, sets) = (self.bench, &self.sets);
        let reference = self.scorer.real(&sets.reference_name, &sets.reference, 0)?.seeds.remove(0);
        let measure = ReferenceClips::new(&reference, self.resamples, bench.study.seed)?;
        let row = |name: &str, settings: ArmSettings, scored: Scored| -> anyhow::Result<Row> {
            let measures = measure.measure(&scored.seeds).with_context(|| format!("failed to evaluate {name}"))?;
            Ok(Row { name: name.into(), settings, scored, measures })
        };
        let shown = bench.study.samples.shown;
        let real = |name: &str, clips: &[Clip]| row(name, ArmSettings::Real, self.scorer.real(name, clips, shown)?);
        let some = |name: &str, clips: &[Clip]| (!clips.is_empty()).then(|| real(name, clips)).transpose();
        let floor = real(&sets.floor_name, &sets.floor)?;
        let before_autoencoder = some("real, before the autoencoder", &sets.before_autoencoder)?;
        let held_out = some("real, held out", &sets.held_out)?;
        let controls = self.controls(&row)?;
        let arm = |arm: &Arm| {
            let scored = match &arm.kind {
                ArmKind::Model(model) => self.scorer.sampled(arm, model, &sets.asked, &self.seeds)?,
                ArmKind::Folder(folder) => {
                    self.scorer.real(&arm.name, &films(bench, folder, sets.floor.len())?, shown)?
                }
            };
            row(&arm.name, arm.settings(&bench.run)?, scored)
        };
        let arms = arms.iter().map(arm).collect::<anyhow::Result<_>>()?;
        Ok(Compared { reference, floor, before_autoencoder, held_out, arms, controls })
    }

    /// The figures of every set, of the metrics and of the differences between arms.
    pub fn evaluation(&self, arms: &[Arm], compared: &Compared) -> anyhow::Result<Evaluation> {
        let Compared { reference, floor, before_autoencoder, held_out, arms: rows, controls } = compared;
        let sets = &self.sets;
        // What held-out real clips are away from training clips.
        let untrained = held_out.as_ref().unwrap_or(floor);
        let mut distances: Vec<f64> = untrained.scored.seeds.iter().flat_map(|set| set.nearest.clone()).collect();
        if held_out.is_none() {
            distances.extend(&reference.nearest);
        }
        // The floor's clips are training clips where there are held-out ones beside them.
        let of_floor = Some(&distances).filter(|_| held_out.is_none());
        let with_distances = |row: &Row| row.recorded(None, Some(&distances));
        let named: Vec<(String, Measures)> =
            controls.iter().map(|row| (row.name.clone(), row.measures.clone())).collect();
        let fit = fitness(&floor.measures, &named);
        let roles = arms.iter().zip(rows);
        let roles: Vec<_> =
            roles.filter_map(|(arm, row)| Some((arm.role?, row.name.as_str(), &row.measures))).collect();
        Ok(Evaluation {
            format_version: FormatVersion,
            evaluator: self.scorer.identity()?,
            clips: sets.floor.len(),
            reference: Reference { clips: sets.reference.len(), of: sets.reference_name.clone() },
            seeds: self.seeds.clone(),
            resamples: self.resamples,
            warnings: self.warnings(rows),
            floor: floor.recorded(None, of_floor)?,
            before_autoencoder: before_autoencoder.as_ref().map(|row| row.recorded(None, of_floor)).transpose()?,
            held_out: held_out.as_ref().map(with_distances).transpose()?,
            arms: rows.iter().map(|row| row.recorded(rows.first(), Some(&distances))).collect::<Result<_, _>>()?,
            controls: controls.iter().map(with_distances).collect::<Result<_, _>>()?,
            fitness: fit.iter().map(recorded_fitness).collect(),
            few_steps: gaps::gaps(&roles),
            differences: differences(rows),
        })
    }

    /// What the evaluator predicts of every clip of the first seed, for the sets whose clips have the captions that are asked for.
    pub fn predictions(&self, arms: &[Arm], compared: &Compared) -> EvaluatedLabels {
        let clip = |clip: &Clip| RequestedClip { caption: clip.caption.clone(), labels: clip.labels.clone() };
        let of = |row: &Row| {
            let predicted = row.scored.seeds.first().map(|set| set.predicted.clone());
            (row.name.clone(), predicted.unwrap_or_default())
        };
        // A floor of training clips has captions of its own, as films of a folder have.
        let floor = Some(&compared.floor).filter(|_| !self.sets.reference_trained);
        let sampled = arms.iter().zip(&compared.arms).filter(|(arm, _)| matches!(arm.kind, ArmKind::Model(_)));
        EvaluatedLabels {
            format_version: FormatVersion,
            requested: self.sets.asked.iter().map(clip).collect(),
            predicted: floor.into_iter().chain(sampled.map(|(_, row)| row)).map(of).collect(),
        }
    }

    /// Real clips corrupted in one way each.
    fn controls(
        &self,
        row: &impl Fn(&str, ArmSettings, Scored) -> anyhow::Result<Row>,
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
            row(&format!("real, {name}"), ArmSettings::Control, self.scorer.real(name, &clips, 0)?)
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

    /// A contact sheet for the real clips and for each arm, in `sheets` of a folder of the run.
    pub fn write_sheets(&self, folder: &str, compared: &Compared) -> anyhow::Result<()> {
        let folder = format!("{folder}/{EVALUATION_SHEETS}");
        let path = self.bench.run.path(&folder);
        if path.exists() {
            std::fs::remove_dir_all(&path).with_context(|| format!("failed to clear {}", path.display()))?;
        }
        let upscale = self.bench.study.samples.upscale.clamp(1, 3);
        let sheet = SheetSettings { upscale, ..SheetSettings::default() };
        for (index, row) in std::iter::once(&compared.floor).chain(&compared.arms).enumerate() {
            let clips: Vec<&Clip> = row.scored.shown.iter().collect();
            if !clips.is_empty() {
                let name = format!("{folder}/{index:02}-{}.png", slug(&row.name));
                self.bench.run.write(&name, &contact_sheet(&clips, &sheet)?)?;
            }
        }
        Ok(())
    }
}
