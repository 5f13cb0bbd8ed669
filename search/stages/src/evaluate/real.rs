//! Real clips: what others are measured by, what they are asked for, and films of a folder.

use std::path::Path;

use anyhow::Context;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use tnas_clips::{Clip, ClipSet, FolderSettings, VideoFolder};
use tnas_network::stream;

use crate::{options::Reference, settings::SampleSettings, workbench::Workbench};

const LEAST_CLIPS: usize = SampleSettings::LEAST_CLIPS;

/// Clips that nothing was trained on.
pub struct HeldOut {
    /// What they are, in words.
    pub name: &'static str,
    /// Sets of clips.
    pub sets: Vec<ClipSet>,
}

/// The real clips of an evaluation, as the evaluator meets them. No clip is in two sets.
pub struct RealSets {
    /// What distances are taken to.
    pub reference: Vec<Clip>,
    /// What it is, in words.
    pub reference_name: String,
    /// Whether the evaluator was trained on it.
    pub reference_trained: bool,
    /// As many others of the same kind: the real-against-real floor.
    pub floor: Vec<Clip>,
    /// What it is, in words.
    pub floor_name: String,
    /// The floor's clips before the autoencoder; none where there is no autoencoder, or where those clips are not kept.
    pub before_autoencoder: Vec<Clip>,
    /// Held-out clips, where the floor is none.
    pub held_out: Vec<Clip>,
    /// For each clip to be sampled a held-out clip, whose caption is asked for and whose labels should be recognised.
    pub asked: Vec<Clip>,
}

impl RealSets {
    /// `clips` for the floor, and as many for the reference.
    pub fn new(bench: &Workbench, reference: Reference, clips: usize, held_out: &HeldOut) -> anyhow::Result<Self> {
        anyhow::ensure!(
            clips >= LEAST_CLIPS,
            "failed to evaluate {clips} clips: at least {LEAST_CLIPS} are needed, and 8 for each feature of the evaluator wanted; set \
             --clips"
        );
        let places = held_out.sets.iter().flat_map(|set| (0..set.len()).map(move |index| (set, index)));
        let places = shuffled(bench, places.collect(), 0);
        let made = places.par_iter().take(2 * clips).map(|(set, index)| set.make(*index));
        let made: Vec<Clip> = made.collect::<Result<_, _>>()?;
        match reference {
            Reference::HeldOut => Self::of_held_out(bench, clips, &made, (held_out.name, places.len())),
            Reference::Train => Self::of_training_clips(bench, clips, &made),
        }
    }

    fn of_held_out(
        bench: &Workbench,
        clips: usize,
        held_out: &[Clip],
        (name, found): (&str, usize),
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            held_out.len() >= 2 * clips,
            "failed to compare {clips} {name} with {clips} others: there are {found}; take --clips {}, or --reference train",
            found / 2
        );
        let seen = bench.through_codec(&held_out[..2 * clips])?;
        let (floor, reference) = seen.split_at(clips);
        let asked = held_out[..clips].to_vec();
        Ok(Self {
            reference: reference.to_vec(),
            reference_name: name.into(),
            reference_trained: false,
            floor: floor.to_vec(),
            floor_name: "real".into(),
            before_autoencoder: if bench.codec.is_some() { asked.clone() } else { Vec::new() },
            held_out: Vec::new(),
            asked,
        })
    }

    fn of_training_clips(bench: &Workbench, clips: usize, held_out: &[Clip]) -> anyhow::Result<Self> {
        let train = &bench.clips()?.train;
        anyhow::ensure!(
            train.len() >= 2 * clips && !held_out.is_empty(),
            "failed to compare {clips} training clips with {clips} others: there are {}; take --clips {}",
            train.len(),
            train.len() / 2
        );
        let picked = shuffled(bench, (0..train.len()).collect(), 1);
        let latents = bench.latents()?;
        let seen = |indices: &[usize]| {
            bench.seen_by_evaluator(&latents.train, &latents.statistics, train, indices.iter().copied())
        };
        let shown = &held_out[..clips.min(held_out.len())];
        Ok(Self {
            reference: seen(&picked[..clips])?,
            reference_name: "training clips".into(),
            reference_trained: true,
            floor: seen(&picked[clips..2 * clips])?,
            floor_name: "real, other training clips".into(),
            before_autoencoder: Vec::new(),
            held_out: bench.through_codec(shown)?,
            asked: shown.iter().cycle().take(clips).cloned().collect(),
        })
    }
}

/// In an order of the study's seed: any part is then as any other.
fn shuffled<T>(bench: &Workbench, mut items: Vec<T>, purpose: u64) -> Vec<T> {
    items.shuffle(&mut stream(bench.study.seed, "evaluate/order", purpose));
    items
}

/// At most `count` films of a folder as clips of the study's shape.
pub fn films(bench: &Workbench, folder: &Path, count: usize) -> anyhow::Result<Vec<Clip>> {
    let failed = || format!("failed to evaluate the films of {}", folder.display());
    let mut clips = of_folder(bench, folder).with_context(|| {
        format!("{}; a line {{\"file_name\": …, \"text\": …}} for each in its metadata.jsonl names them", failed())
    })?;
    anyhow::ensure!(
        clips.len() >= LEAST_CLIPS,
        "{}: there are {}, at least {LEAST_CLIPS} are needed",
        failed(),
        clips.len()
    );
    clips.truncate(count);
    Ok(clips)
}

fn of_folder(bench: &Workbench, path: &Path) -> anyhow::Result<Vec<Clip>> {
    let data = &bench.study.data;
    let folder = VideoFolder::open_with(path, FolderSettings { fit: data.fit, ..FolderSettings::default() })?;
    let clip = |index: &usize| folder.clip(*index, data.frames, data.size);
    Ok(folder.order(0).par_iter().map(clip).collect::<Result<_, _>>()?)
}
