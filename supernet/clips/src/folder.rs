use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::facts::known_facts;
use crate::film::{Film, FilmFacts, Grid};
use crate::hex::hex;
use crate::metadata::{Listed, list, lists_clips};
use crate::resample::{Fit, frame_indices, resampled};
use crate::timing::indices_at_rate;
use crate::{Clip, ClipError, FolderSettings, balanced_order};

/// A folder of clips (Hugging Face's `videofolder`): GIF, APNG, WebP, MP4, a PNG that is a grid of frames, or a folder
/// of numbered PNGs, with captions in `metadata.jsonl` or `metadata.csv` (`file_name`, `text` and labels), or in a
/// `.txt` next to each. Splits are subfolders of that kind.
#[derive(Clone, Debug)]
pub struct VideoFolder {
    path: PathBuf,
    settings: FolderSettings,
    entries: Vec<Entry>,
    broken: Vec<BrokenFile>,
}

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenFile {
    /// As in the metadata.
    pub file_name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A clip whose film is whole.
#[derive(Clone, Debug)]
struct Entry {
    listed: Listed,
    content: [u8; 32],
    facts: FilmFacts,
}

impl VideoFolder {
    /// Opens a folder with the default settings.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClipError> {
        Self::open_with(path, FolderSettings::default())
    }

    /// Reads the metadata and plays every film once, so that a broken one is known now and not in the middle of a
    /// training run.
    pub fn open_with(path: impl AsRef<Path>, settings: FolderSettings) -> Result<Self, ClipError> {
        let path = path.as_ref();
        settings.check()?;
        let listed = list(path, &settings.caption)?;
        let total = listed.len();
        let films: Vec<(PathBuf, Option<Grid>)> = listed
            .iter()
            .flatten()
            .map(|entry| Ok((path.join(&entry.file_name), settings.grid_of(entry).ok().flatten())))
            .collect::<Result<_, ClipError>>()?;
        let mut known = known_facts(&films, settings.cache.as_deref())?.into_iter();
        let (mut entries, mut broken) = (Vec::new(), Vec::new());
        for entry in listed {
            let checked = entry.and_then(|listed| {
                let reason = |reason| BrokenFile { file_name: listed.file_name.clone(), reason };
                let found = known.next().ok_or_else(|| reason("it was not looked at".to_owned()))?;
                let (content, facts) = found.map_err(reason)?;
                settings.check_entry(&listed, &facts).map_err(reason)?;
                Ok(Entry { listed, content, facts })
            });
            match checked {
                Ok(entry) => entries.push(entry),
                Err(file) => broken.push(file),
            }
        }
        if let Some(first) = broken.first()
            && (broken.len() as f64 > settings.broken_fraction * total as f64 || entries.is_empty())
        {
            return Err(ClipError::TooManyBroken {
                path: path.to_owned(),
                broken: broken.len(),
                total,
                limit_percent: settings.broken_fraction * 100.0,
                first: format!("{}: {}", first.file_name, first.reason),
            });
        }
        Ok(Self { path: path.to_owned(), settings, entries, broken })
    }

    /// Names of the subfolders that are video folders, sorted.
    pub fn splits(path: impl AsRef<Path>) -> Result<Vec<String>, ClipError> {
        let path = path.as_ref();
        let read_error = |source| ClipError::Read { path: path.to_owned(), source };
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(path).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            if entry.path().is_dir() && lists_clips(&entry.path()) {
                names.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Usable clips.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no usable clip.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The files left out.
    pub fn broken(&self) -> &[BrokenFile] {
        &self.broken
    }

    /// File name, as in the metadata, of clip `index`.
    pub fn file_name(&self, index: usize) -> Result<&str, ClipError> {
        Ok(&self.entry(index)?.listed.file_name)
    }

    /// Path of the film of clip `index`.
    pub fn file(&self, index: usize) -> Result<PathBuf, ClipError> {
        Ok(self.path.join(&self.entry(index)?.listed.file_name))
    }

    /// Caption of clip `index`, without decoding it.
    pub fn caption(&self, index: usize) -> Result<&str, ClipError> {
        Ok(&self.entry(index)?.listed.caption)
    }

    /// Labels of clip `index`, without decoding it.
    pub fn labels(&self, index: usize) -> Result<&BTreeMap<String, String>, ClipError> {
        Ok(&self.entry(index)?.listed.labels)
    }

    /// What is known of the film of clip `index`.
    pub fn facts(&self, index: usize) -> Result<&FilmFacts, ClipError> {
        Ok(&self.entry(index)?.facts)
    }

    /// SHA-256, in hexadecimal, of all that clip `index`'s pixels follow from: the film's bytes, which of its frames are
    /// taken, and how a picture is made of each.
    pub fn key(&self, index: usize, frames: usize, size: usize) -> Result<String, ClipError> {
        let entry = self.entry(index)?;
        let FolderSettings { background, fit, .. } = &self.settings;
        let made = format!("film 1 {:?} {fit:?} {background:?} {size}", self.picked(entry, frames));
        let mut hash = Sha256::new_with_prefix(entry.content);
        hash.update(made);
        Ok(hex(&hash.finalize()))
    }

    /// Every caption that occurs, sorted.
    pub fn captions(&self) -> Vec<String> {
        let captions: BTreeSet<&String> = self.entries.iter().map(|entry| &entry.listed.caption).collect();
        captions.into_iter().cloned().collect()
    }

    /// Clip `index` of `size`×`size` pixels with `frames` frames: at the folder's rate from the middle of the film, or
    /// spread evenly over all of it.
    pub fn clip(&self, index: usize, frames: usize, size: usize) -> Result<Clip, ClipError> {
        let entry = self.entry(index)?;
        for (name, value) in [("frames", frames), ("size", size)] {
            if value == 0 {
                let reason = "ask for one at least".to_owned();
                return Err(ClipError::Setting { name, value: "0".to_owned(), reason });
            }
        }
        let path = self.path.join(&entry.listed.file_name);
        let film = Film::read(&path, self.settings.grid_of(&entry.listed).ok().flatten())?;
        let changed =
            || ClipError::Decode { path: path.clone(), message: "it changed while it was in use".to_owned() };
        if film.content_hash() != entry.content {
            return Err(changed());
        }
        let picked = self.picked(entry, frames);
        let last = picked.iter().max().copied().unwrap_or(0);
        let mut pictures: BTreeMap<usize, Vec<f32>> = picked.iter().map(|&frame| (frame, Vec::new())).collect();
        let mut frame = 0;
        film.play(self.settings.background, |picture| {
            if let Some(pixels) = pictures.get_mut(&frame) {
                *pixels = resampled(&picture, size, self.settings.fit, self.settings.background);
            }
            frame += 1;
            if frame > last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if pictures.values().any(Vec::is_empty) {
            return Err(changed());
        }
        let pixels = picked.iter().flat_map(|frame| &pictures[frame]).copied().collect();
        let (caption, labels) = (entry.listed.caption.clone(), entry.listed.labels.clone());
        Ok(Clip { frames, height: size, width: size, pixels, caption, labels })
    }

    /// An order of all clips in which kinds and characters come evenly; see [`balanced_order`].
    pub fn order(&self, seed: u64) -> Vec<usize> {
        balanced_order(self.len(), seed)
    }

    /// Which frames of its film make a clip.
    fn picked(&self, entry: &Entry, frames: usize) -> Vec<usize> {
        let FilmFacts { frames: all, shown_us, .. } = &entry.facts;
        let range = self.settings.frame_ranges.iter().find(|range| range.fits(*all, &entry.listed.labels));
        let available: Range<usize> = range.map_or(0..*all, |range| range.first..range.last + 1);
        let Some(fps) = self.settings.fps else { return frame_indices(available, frames) };
        let shown_us = match (&shown_us[..], self.settings.source_fps_of(&entry.listed)) {
            ([], Ok(Some(source_fps))) => vec![(1e6 / source_fps) as u32; *all],
            // A single picture has no duration.
            ([], _) => vec![1; *all],
            (shown_us, _) => shown_us.to_vec(),
        };
        let first = available.start;
        let indices = indices_at_rate(&shown_us[available], frames, fps, self.settings.short);
        indices.into_iter().map(|index| first + index).collect()
    }

    fn entry(&self, index: usize) -> Result<&Entry, ClipError> {
        self.entries.get(index).ok_or(ClipError::NoSuchClip { index, count: self.entries.len() })
    }
}

/// A picture file, or the first picture of a film, as a clip of one frame of `size`×`size` pixels.
pub fn still(path: &Path, size: usize, fit: Fit, background: [u8; 3]) -> Result<Clip, ClipError> {
    let mut pixels = Vec::new();
    Film::read(path, None)?.play(background, |picture| {
        pixels = resampled(&picture, size, fit, background);
        ControlFlow::Break(())
    })?;
    Clip::new(1, size, size, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CaptionPolicy, FilmSettings, FrameRange, animated_gif};

    const METADATA: &str = "metadata.jsonl";

    /// A folder of `good` GIFs of two frames and `bad` files of nonsense.
    fn folder(good: usize, bad: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let pixels: Vec<f32> = (0..2 * 3 * 16).map(|i| if i < 48 { -1.0 } else { 1.0 }).collect();
        let clip = Clip::new(2, 4, 4, pixels).expect("a clip");
        let gif = animated_gif(&clip, &FilmSettings { upscale: 1, ..Default::default() }).expect("a GIF");
        let mut metadata = String::new();
        for i in 0..good + bad {
            let bytes = if i < good { &gif[..] } else { b"nonsense" };
            fs::write(folder.path().join(format!("{i}.gif")), bytes).expect("written");
            metadata += &format!(
                "{{\"file_name\": \"{i}.gif\", \"text\": \"clip {i}\", \"kind\": \"k{}\", \"n\": {i}}}\n",
                i % 2
            );
        }
        fs::write(folder.path().join(METADATA), metadata).expect("written");
        folder
    }

    #[test]
    fn broken_files_are_named_and_counted_up_to_a_share() {
        let folder = folder(9, 1);
        let lenient = FolderSettings { broken_fraction: 0.1, ..Default::default() };
        let opened = VideoFolder::open_with(folder.path(), lenient).expect("one in ten is allowed");
        assert_eq!((opened.len(), opened.broken().len()), (9, 1));
        assert_eq!(opened.broken()[0].file_name, "9.gif");
        let message = VideoFolder::open(folder.path()).expect_err("one in a hundred is allowed").to_string();
        assert!(
            message.contains("1 of 10 files are broken, more than 1 %; the first: 9.gif: it is neither"),
            "{message}"
        );
    }

    #[test]
    fn templates_leave_things_open_and_labels_stay() {
        let folder = folder(4, 0);
        let caption = CaptionPolicy::Template("a {kind}".to_owned());
        let opened =
            VideoFolder::open_with(folder.path(), FolderSettings { caption, ..Default::default() }).expect("opens");
        assert_eq!(opened.captions(), ["a k0", "a k1"]);
        let clip = opened.clip(3, 5, 8).expect("a clip");
        assert_eq!((clip.shape(), clip.caption.as_str()), ([5, 8, 8], "a k1"));
        assert_eq!(clip.labels["n"], "3");
        let means: Vec<f32> = (0..5).map(|f| clip.frame(f).iter().sum::<f32>() / 192.0).collect();
        assert_eq!(means, [-1.0, -1.0, 1.0, 1.0, 1.0]);
        assert!(opened.clip(4, 5, 8).is_err() && opened.clip(0, 0, 8).is_err() && opened.clip(0, 1, 0).is_err());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let folder = folder(1, 0);
        let range = |first, last, of| FrameRange { label: "kind".into(), value: "k0".into(), of, first, last };
        for range in [range(1, 2, 2), range(1, 0, 2)] {
            let settings = FolderSettings { frame_ranges: vec![range], ..Default::default() };
            assert!(VideoFolder::open_with(folder.path(), settings).is_err());
        }
        let settings = FolderSettings { broken_fraction: f64::NAN, ..Default::default() };
        assert!(VideoFolder::open_with(folder.path(), settings).is_err());
        let settings = FolderSettings { frame_ranges: vec![range(1, 1, 2)], ..Default::default() };
        let clip = VideoFolder::open_with(folder.path(), settings).expect("opens").clip(0, 2, 4).expect("a clip");
        assert!(clip.pixels.iter().all(|x| *x == 1.0));
    }

    #[test]
    fn wrong_metadata_is_an_error_with_its_line() {
        let folder = folder(2, 0);
        let path = folder.path().join(METADATA);
        for (line, complaint) in [
            ("{", "EOF"),
            ("{\"text\": \"x\"}", "no file_name"),
            ("{\"file_name\": \"../x.gif\", \"text\": \"x\"}", "leads out"),
            ("{\"file_name\": \"/x.gif\", \"text\": \"x\"}", "leads out"),
            ("{\"file_name\": \"0.gif\"}", "no text"),
        ] {
            fs::write(&path, format!("{{\"file_name\": \"0.gif\", \"text\": \"x\"}}\n\n{line}\n"))
                .expect("written");
            let message = VideoFolder::open(folder.path()).expect_err("a wrong line").to_string();
            assert!(message.contains("line 3") && message.contains(complaint), "{message}");
        }
    }

    #[test]
    fn a_folder_of_splits_says_so() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("val")).expect("made");
        fs::write(root.path().join("val").join(METADATA), "").expect("written");
        let message = VideoFolder::open(root.path()).expect_err("no metadata").to_string();
        assert!(message.ends_with("beside clips; its splits: val"), "{message}");
    }
}
