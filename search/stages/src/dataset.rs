//! The clips of a study, by the kind of data that it names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tnas_clips::{
    BrokenFile, ClipSet, Digits, FolderClips, FolderSettings, Memory, MovingMnist, MovingMnistSettings, ShapeClips,
    ShapeSettings, Split, VideoFolder,
};

use tnas_record::BrokenFiles;

use crate::settings::{DataKind, DataSettings};

/// Clips of both splits, and which files could not be used.
pub struct Dataset {
    /// To learn from.
    pub train: ClipSet,
    /// To validate on.
    pub validation: ClipSet,
    /// Broken files of each split.
    pub broken: BrokenFiles,
}

/// How many broken files are named on the terminal; the run's broken_files.json names them all.
const NAMED: usize = 10;

/// Clips of a generated data kind, where the study does not give their number.
const TRAIN_CLIPS: usize = 4000;
const VALIDATION_CLIPS: usize = 512;

impl Dataset {
    /// Finds the clips; what is found out about files is kept in `cache`.
    pub fn open(settings: &DataSettings, seed: u64, memory: &Memory, cache: &Path) -> anyhow::Result<Self> {
        let endless = |train, validation| Self { train, validation, broken: BrokenFiles::default() };
        let (train, validation) = (settings.train_clips, settings.validation_clips);
        let counts = (train.unwrap_or(TRAIN_CLIPS), validation.unwrap_or(VALIDATION_CLIPS));
        match (settings.kind, &settings.path) {
            (DataKind::Videofolder, Some(path)) => {
                let split = |name, count| folder(settings, &path.join(name), count, memory, cache);
                let ((train, broken_train), (validation, broken_validation)) =
                    (split("train", train)?, split("val", validation)?);
                let splits = [("train", broken_train), ("val", broken_validation)];
                let broken = BrokenFiles { splits: recorded(splits), ..BrokenFiles::default() };
                Ok(Self { train, validation, broken })
            }
            (DataKind::MovingMnist, Some(path)) => {
                let digits = Arc::new(Digits::open(path)?);
                let set = |split, count| moving_mnist(settings, &digits, seed, split, count, memory);
                Ok(endless(set(Split::Train, counts.0)?, set(Split::Validation, counts.1)?))
            }
            _ => {
                let set = |split, count| shapes(settings, seed, split, count, memory);
                Ok(endless(set(Split::Train, counts.0)?, set(Split::Validation, counts.1)?))
            }
        }
    }
}

/// Broken files as they are recorded.
fn recorded(splits: [(&str, Vec<BrokenFile>); 2]) -> BTreeMap<String, Vec<tnas_record::BrokenFile>> {
    let file = |BrokenFile { file_name, reason }| tnas_record::BrokenFile { file_name, reason };
    splits.into_iter().map(|(name, files)| (name.into(), files.into_iter().map(file).collect())).collect()
}

/// Clips that nothing is trained on: of kinds without end, `count` of a split of their own; of a folder, those of `val` and
/// of every split whose name begins with `test`.
pub fn held_out(
    settings: &DataSettings,
    seed: u64,
    validation: &ClipSet,
    count: usize,
    memory: &Memory,
    cache: &Path,
) -> anyhow::Result<Vec<ClipSet>> {
    match (settings.kind, &settings.path) {
        (DataKind::Videofolder, Some(path)) => {
            let splits = VideoFolder::splits(path)?.into_iter().filter(|split| split.starts_with("test"));
            let more = splits.map(|split| Ok(folder(settings, &path.join(split), None, memory, cache)?.0));
            std::iter::once(Ok(validation.clone())).chain(more).collect()
        }
        (DataKind::MovingMnist, Some(path)) => {
            let digits = Arc::new(Digits::open(path)?);
            Ok(vec![moving_mnist(settings, &digits, seed, Split::Test, count, memory)?])
        }
        _ => Ok(vec![shapes(settings, seed, Split::Test, count, memory)?]),
    }
}

fn shapes(
    settings: &DataSettings,
    seed: u64,
    split: Split,
    count: usize,
    memory: &Memory,
) -> anyhow::Result<ClipSet> {
    let mut shape_settings =
        ShapeSettings { frames: settings.frames, size: settings.size, seed, split, ..Default::default() };
    if let Some(motions) = &settings.motions {
        shape_settings.motions = motions.clone();
    }
    Ok(ClipSet::new(ShapeClips::new(shape_settings)?, count, memory)?)
}

fn moving_mnist(
    settings: &DataSettings,
    digits: &Arc<Digits>,
    seed: u64,
    split: Split,
    count: usize,
    memory: &Memory,
) -> anyhow::Result<ClipSet> {
    let (frames, size, caption) = (settings.frames, settings.size, settings.caption.clone());
    let moving = MovingMnistSettings { frames, size, seed, split, caption };
    Ok(ClipSet::new(MovingMnist::new(digits.clone(), moving)?, count, memory)?)
}

fn folder(
    settings: &DataSettings,
    path: &Path,
    count: Option<usize>,
    memory: &Memory,
    cache: &Path,
) -> anyhow::Result<(ClipSet, Vec<BrokenFile>)> {
    let folder_settings = FolderSettings {
        caption: settings.caption.clone(),
        background: settings.background,
        broken_fraction: settings.max_broken,
        fps: settings.fps,
        source_fps: settings.source_fps,
        short: settings.short,
        fit: settings.fit,
        grid: settings.grid,
        cache: Some(cache.to_owned()),
        ..FolderSettings::default()
    };
    let folder = VideoFolder::open_with(path, folder_settings)?;
    let broken = folder.broken().to_vec();
    if !broken.is_empty() {
        eprintln!(
            "{}: {} of {} files are broken and left out:",
            path.display(),
            broken.len(),
            broken.len() + folder.len()
        );
        for file in broken.iter().take(NAMED) {
            eprintln!("    {}: {}", file.file_name, file.reason);
        }
        if broken.len() > NAMED {
            eprintln!("    and {} more, named in the run's broken_files.json", broken.len() - NAMED);
        }
    }
    let count = count.unwrap_or(folder.len()).min(folder.len());
    let mut order = folder.order(0);
    order.truncate(count);
    let clips = FolderClips { folder, order, frames: settings.frames, size: settings.size };
    Ok((ClipSet::new(clips, count, memory)?, broken))
}
