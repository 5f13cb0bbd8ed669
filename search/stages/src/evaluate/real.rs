//! Real clips: what others are measured by, what they are asked for, and films of a folder.

use std::path::Path;

use anyhow::Context;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use tnas_clips::{CaptionTokenizer, Clip, ClipSet, FolderSettings, VideoFolder};
use tnas_network::stream;

use crate::{options::Reference, workbench::Workbench};

/// Fewest clips of a set: with fewer, neither distances nor intervals mean anything.
pub const LEAST_CLIPS: usize = 4;

/// Clips that nothing was trained on, as far as the run's image model knows the words of their captions.
pub struct HeldOut {
    /// Sets of clips.
    pub sets: Vec<ClipSet>,
    /// Set and index of each clip with a known caption.
    pub places: Vec<(usize, usize)>,
    /// The others' captions.
    pub unknown: Vec<String>,
}

impl HeldOut {
    /// `count` where they are generated, else all that there are. A run without an image model knows every word.
    pub fn open(bench: &Workbench, count: usize) -> anyhow::Result<Self> {
        let folder = bench.run.backbone().join("tokenizer");
        let tokenizer = folder.exists().then(|| CaptionTokenizer::load(&folder)).transpose()?;
        let sets = bench.held_out(count)?;
        let (mut places, mut unknown) = (Vec::new(), Vec::new());
        for (place, set) in sets.iter().enumerate() {
            for (index, caption) in set.captions().enumerate() {
                let known = tokenizer.as_ref().is_none_or(|tokenizer| tokenizer.unknown_words(caption).is_empty());
                if known { places.push((place, index)) } else { unknown.push(caption.to_owned()) }
            }
        }
        Ok(Self { sets, places, unknown })
    }

    /// What a reader should know of the clips that were left out.
    pub fn warning(&self) -> Option<String> {
        let (first, count) = (self.unknown.first()?, self.unknown.len());
        Some(format!(
            "left out {count} held-out clip{}: the image model's tokenizer does not know every word of {}: {first:?}",
            if count == 1 { "" } else { "s" },
            if count == 1 { "its caption" } else { "their captions" }
        ))
    }
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
        let places = shuffled(bench, held_out.places.clone(), 0);
        let made = places.par_iter().take(2 * clips).map(|&(set, index)| held_out.sets[set].make(index));
        let held_out: Vec<Clip> = made.collect::<Result<_, _>>()?;
        match reference {
            Reference::HeldOut => Self::of_held_out(bench, clips, &held_out, places.len()),
            Reference::Train => Self::of_training_clips(bench, clips, &held_out),
        }
    }

    fn of_held_out(bench: &Workbench, clips: usize, held_out: &[Clip], found: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(
            held_out.len() >= 2 * clips,
            "failed to compare {clips} held-out clips with {clips} others: there are {found}; take --clips {}, or --reference \
             train",
            found / 2
        );
        let seen = bench.through_codec(&held_out[..2 * clips])?;
        let (floor, reference) = seen.split_at(clips);
        let asked = held_out[..clips].to_vec();
        Ok(Self {
            reference: reference.to_vec(),
            reference_name: "held-out clips".into(),
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
