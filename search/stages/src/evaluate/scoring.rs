//! Clips to figures: the evaluator's features and predictions, motion, and the distance to the nearest training clip.

use anyhow::Context;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tnas_clips::mean_frame_difference;
use tnas_clips::{Clip, ClipError};
use tnas_evaluation::{BlockMatching, ScoredClips, Whitening, nearest_neighbours, thumbnail, warp_error};
use tnas_evaluation::{Evaluator, label_value};
use tnas_record::{EvaluatorIdentity, PublishedEvaluator};

use super::{
    super::evaluator::read_whitening,
    arms::{Arm, LoadedModel, ModelArm},
};
use crate::{
    Interrupted,
    progress::{Bar, interrupted},
    workbench::Workbench,
};

/// Clips decoded and evaluated at once: all of a set may be more than memory holds.
const CHUNK: usize = 64;

/// Scores clips, and remembers those that were sampled.
pub struct Scorer<'a> {
    bench: &'a Workbench,
    stage: &'static str,
    evaluator: &'a Evaluator,
    evaluator_hash: &'a str,
    whitening: Whitening,
    /// Thumbnails of the training clips.
    training: Vec<Vec<f64>>,
}

/// Scores of a set, for each seed, and its first clips to look at.
pub struct Scored {
    /// A set for each seed.
    pub seeds: Vec<ScoredClips>,
    /// The first clips of the first seed.
    pub shown: Vec<Clip>,
}

impl Scored {
    /// Clips of each seed.
    pub fn len(&self) -> usize {
        self.seeds.first().map_or(0, ScoredClips::len)
    }
}

/// Sampled clips that were scored before: sampling is what takes time.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format_version: u32,
    scored: ScoredClips,
    /// Pixels of the first clips, a byte each, `[F, 3, H, W]`.
    shown: Vec<Vec<u8>>,
}

impl<'a> Scorer<'a> {
    /// For the study's clips, in a stage of this name.
    pub fn new(
        bench: &'a Workbench,
        stage: &'static str,
        evaluator: &'a Evaluator,
        evaluator_hash: &'a str,
    ) -> anyhow::Result<Self> {
        let train = &bench.clips()?.train;
        let of = |index| Ok::<_, ClipError>(thumbnail(&*train.clip(index)?));
        let training = (0..train.len()).into_par_iter().map(of).collect::<Result<_, _>>()?;
        Ok(Self { bench, stage, evaluator, evaluator_hash, whitening: read_whitening(bench)?, training })
    }

    /// Length of the evaluator's features.
    pub fn features(&self) -> usize {
        self.evaluator.features()
    }

    /// Which evaluator it is.
    pub fn identity(&self) -> anyhow::Result<EvaluatorIdentity> {
        let published: Option<PublishedEvaluator> = self.bench.run.read()?;
        let published = published.context("failed to name the evaluator: evaluator/evaluator.json is gone")?;
        Ok(EvaluatorIdentity {
            hash: self.evaluator_hash.into(),
            evaluator_sha256: published.evaluator_sha256,
            training_split_sha256: published.training_split_sha256,
            training_clips: published.training_clips,
            features: self.features(),
            labels: published.labels,
            network: published.network,
            settings: published.settings,
        })
    }

    /// Scores of real clips and films.
    pub fn real(&self, name: &str, clips: &[Clip], shown: usize) -> anyhow::Result<Scored> {
        let mut bar = Bar::new("evaluate clips", clips.len() as u64);
        let mut scored = ScoredClips::default();
        for chunk in clips.chunks(CHUNK) {
            scored.extend(self.score(chunk)?);
            bar.set(scored.len() as u64, name.to_owned());
            self.stop_where_asked()?;
        }
        Ok(Scored { seeds: vec![scored], shown: clips.iter().take(shown).cloned().collect() })
    }

    fn stop_where_asked(&self) -> anyhow::Result<()> {
        if interrupted() { Err(Interrupted { stage: self.stage.into() }.into()) } else { Ok(()) }
    }

    /// Predictions of each clip.
    fn score(&self, clips: &[Clip]) -> anyhow::Result<ScoredClips> {
        let evaluated = self.evaluator.evaluate(clips)?;
        let how = BlockMatching::for_size(self.bench.study.data.size);
        let thumbnails: Vec<Vec<f64>> = clips.par_iter().map(thumbnail).collect();
        let nearest = nearest_neighbours(&thumbnails, &self.training)?;
        let right = |label: &String| {
            let predicted = clips.iter().zip(&evaluated.predicted);
            predicted
                .map(|(clip, predicted)| {
                    Some(label_value(label, &clip.caption, &clip.labels)? == predicted.get(label)?.as_str())
                })
                .collect()
        };
        Ok(ScoredClips {
            right: evaluated.accuracy.keys().map(|label| (label.clone(), right(label))).collect(),
            features: self.whitening.apply(&evaluated.features)?,
            predicted: evaluated.predicted,
            frame_difference: clips.par_iter().map(mean_frame_difference).collect(),
            warp_error: clips.par_iter().map(|clip| warp_error(clip, &how)).collect(),
            nearest: nearest.iter().map(|found| found.distance).collect(),
            captions: clips.iter().map(|clip| clip.caption.clone()).collect(),
        })
    }

    /// Scores of clips that a model makes of the captions asked for, once for each seed.
    pub fn sampled(&self, arm: &Arm, model: &ModelArm, asked: &[Clip], seeds: &[u64]) -> anyhow::Result<Scored> {
        let mut loaded = None;
        let mut scored = Scored { seeds: Vec::new(), shown: Vec::new() };
        for &seed in seeds {
            let record = self.record(arm, model, asked, seed, &mut loaded)?;
            if scored.seeds.is_empty() {
                scored.shown =
                    record.shown.iter().zip(asked).map(|(bytes, like)| from_bytes(bytes, like)).collect();
            }
            scored.seeds.push(record.scored);
        }
        Ok(scored)
    }

    fn record(
        &self,
        arm: &Arm,
        model: &ModelArm,
        asked: &[Clip],
        seed: u64,
        loaded: &mut Option<LoadedModel>,
    ) -> anyhow::Result<Record> {
        let (bench, shown) = (self.bench, self.bench.study.samples.shown);
        let captions: Vec<&String> = asked.iter().map(|clip| &clip.caption).collect();
        let labels: Vec<_> = asked.iter().map(|clip| &clip.labels).collect();
        let how = (&model.hash, model.steps, model.sampler, model.shift, model.guidance, seed, shown);
        let evaluated = (self.evaluator_hash, &bench.clips()?.key, bench.study.seed);
        let key = bench.run.key(&(super::FORMAT_VERSION, how, evaluated, captions, labels))?;
        let path = bench.run.path(&format!("evaluation/arms/{key}.json"));
        if path.exists() {
            let bytes = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let record: Record = serde_json::from_slice(&bytes)
                .with_context(|| format!("failed to read {}; delete it to sample anew", path.display()))?;
            return Ok(record);
        }
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => loaded.insert(LoadedModel::read(bench, model)?),
        };
        let record = self.sample(arm, model, asked, seed, loaded)?;
        let text = serde_json::to_string(&record)?;
        bench.run.write(&format!("evaluation/arms/{key}.json"), text.as_bytes())?;
        Ok(record)
    }

    fn sample(
        &self,
        arm: &Arm,
        model: &ModelArm,
        asked: &[Clip],
        seed: u64,
        loaded: &LoadedModel,
    ) -> anyhow::Result<Record> {
        let bench = self.bench;
        let captions: Vec<String> = asked.iter().map(|clip| clip.caption.clone()).collect();
        let mut bar = Bar::new(self.stage, captions.len() as u64);
        let data = loaded.sample(bench, &captions, model, seed, |done| bar.set(done as u64, arm.name.clone()))?;
        drop(bar);
        let mut record =
            Record { format_version: super::FORMAT_VERSION, scored: ScoredClips::default(), shown: Vec::new() };
        let wanted = bench.study.samples.shown;
        for (data, like) in data.chunks(CHUNK).zip(asked.chunks(CHUNK)) {
            let clips = decoded(bench, data, like, &loaded.statistics)?;
            record.scored.extend(self.score(&clips)?);
            let missing = wanted.saturating_sub(record.shown.len());
            record.shown.extend(clips.iter().take(missing).map(to_bytes));
            self.stop_where_asked()?;
        }
        Ok(record)
    }
}

/// Denoised clips as pixels, with the captions and labels that were asked for.
fn decoded(
    bench: &Workbench,
    data: &[Vec<f32>],
    like: &[Clip],
    statistics: &[(f32, f32)],
) -> anyhow::Result<Vec<Clip>> {
    let jobs: Vec<(&Vec<f32>, &Clip)> = data.iter().zip(like).collect();
    tnas_network::side_by_side(&bench.device, jobs, |(data, like)| {
        bench.to_clip(data, bench.clip_shape(), statistics, Some(like))
    })
}

fn to_bytes(clip: &Clip) -> Vec<u8> {
    clip.pixels.iter().map(|&x| ((x + 1.0) * 127.5).round() as u8).collect()
}

/// A clip of another's shape.
fn from_bytes(bytes: &[u8], like: &Clip) -> Clip {
    Clip { pixels: bytes.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect(), ..like.clone() }
}
