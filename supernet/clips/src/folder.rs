use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gif_in::{GifClip, decode_gif};
use crate::resample::{frame_indices, square};
use crate::{CaptionPolicy, Clip, ClipError, balanced_order};

/// A folder of GIFs with a `metadata.jsonl` (Hugging Face's `videofolder`): one line of `file_name`, `text` and
/// labels per clip. Splits are subfolders of that kind.
#[derive(Clone, Debug)]
pub struct VideoFolder {
    path: PathBuf,
    settings: FolderSettings,
    entries: Vec<Entry>,
    broken: Vec<BrokenFile>,
}

/// How a folder is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FolderSettings {
    /// Which words stand for a clip.
    pub caption: CaptionPolicy,
    /// Red, green and blue behind transparent pixels.
    pub background: [u8; 3],
    /// More broken files than this share are an error.
    pub broken_share: f64,
    /// Which frames of some clips are taken; all frames of the others.
    pub frame_ranges: Vec<FrameRange>,
}

/// The frames to take of those clips whose label has this value and whose file holds this many frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRange {
    /// Such as `action`.
    pub label: String,
    /// Such as `walk`.
    pub value: String,
    /// Frames in the file.
    pub of: usize,
    /// The first to take, counted from 0.
    pub first: usize,
    /// The last to take.
    pub last: usize,
}

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenFile {
    /// As in the metadata.
    pub file_name: String,
    /// What is wrong with it.
    pub reason: String,
}

#[derive(Clone, Debug)]
struct Entry {
    file_name: String,
    caption: String,
    labels: BTreeMap<String, String>,
}

const METADATA: &str = "metadata.jsonl";

impl Default for FolderSettings {
    /// White behind, one broken file in a hundred, and no standing pose before a walk of the Universal LPC sprites.
    fn default() -> Self {
        let walk = FrameRange { label: "action".to_owned(), value: "walk".to_owned(), of: 9, first: 1, last: 8 };
        Self { caption: CaptionPolicy::Full, background: [255; 3], broken_share: 0.01, frame_ranges: vec![walk] }
    }
}

impl VideoFolder {
    /// Opens a folder with the default settings.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClipError> {
        Self::open_with(path, FolderSettings::default())
    }

    /// Reads the metadata and decodes every file once, so that a broken one is known now and not in the middle of
    /// a training run.
    pub fn open_with(path: impl AsRef<Path>, settings: FolderSettings) -> Result<Self, ClipError> {
        let path = path.as_ref();
        settings.check()?;
        let listed = read_metadata(path, &settings.caption)?;
        let total = listed.len();
        let checked: Vec<Result<Entry, BrokenFile>> = listed
            .into_par_iter()
            .map(|entry| match check(path, &entry, &settings) {
                Ok(()) => Ok(entry),
                Err(error) => Err(BrokenFile { file_name: entry.file_name, reason: error.to_string() }),
            })
            .collect();
        let (mut entries, mut broken) = (Vec::new(), Vec::new());
        for result in checked {
            match result {
                Ok(entry) => entries.push(entry),
                Err(file) => broken.push(file),
            }
        }
        if let Some(first) = broken.first()
            && (broken.len() as f64 > settings.broken_share * total as f64 || entries.is_empty())
        {
            return Err(ClipError::TooManyBroken {
                path: path.to_owned(),
                broken: broken.len(),
                total,
                limit_percent: settings.broken_share * 100.0,
                first: format!("{}: failed to {}", first.file_name, first.reason),
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
            if entry.path().join(METADATA).is_file() {
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
        Ok(&self.entry(index)?.file_name)
    }

    /// Caption of clip `index`, without decoding it.
    pub fn caption(&self, index: usize) -> Result<&str, ClipError> {
        Ok(&self.entry(index)?.caption)
    }

    /// Labels of clip `index`, without decoding it.
    pub fn labels(&self, index: usize) -> Result<&BTreeMap<String, String>, ClipError> {
        Ok(&self.entry(index)?.labels)
    }

    /// Every caption that occurs, sorted.
    pub fn captions(&self) -> Vec<String> {
        let captions: BTreeSet<&String> = self.entries.iter().map(|entry| &entry.caption).collect();
        captions.into_iter().cloned().collect()
    }

    /// Clip `index` with `frames` frames, spread evenly over those of the file, of `size`×`size` pixels: the middle
    /// square, area-averaged or repeated where the size differs.
    pub fn clip(&self, index: usize, frames: usize, size: usize) -> Result<Clip, ClipError> {
        let entry = self.entry(index)?;
        for (name, value) in [("frames", frames), ("size", size)] {
            if value == 0 {
                return Err(ClipError::Setting {
                    name,
                    value: "0".to_owned(),
                    reason: "ask for one at least".to_owned(),
                });
            }
        }
        let gif = read(&self.path, &entry.file_name, self.settings.background)?;
        let mut available = 0..gif.frames.len();
        if let Some(range) = self.settings.frame_ranges.iter().find(|range| range.fits(entry, &gif)) {
            available = range.first..range.last + 1;
        }
        let pixels = frame_indices(available, frames)
            .into_iter()
            .flat_map(|frame| square(&gif.frames[frame], gif.height, gif.width, size))
            .collect();
        let (caption, labels) = (entry.caption.clone(), entry.labels.clone());
        Ok(Clip { frames, height: size, width: size, pixels, caption, labels })
    }

    /// An order of all clips in which kinds and characters come evenly; see [`balanced_order`].
    pub fn order(&self, seed: u64) -> Vec<usize> {
        balanced_order(self.len(), seed)
    }

    fn entry(&self, index: usize) -> Result<&Entry, ClipError> {
        self.entries.get(index).ok_or(ClipError::NoSuchClip { index, count: self.entries.len() })
    }
}

impl FolderSettings {
    fn check(&self) -> Result<(), ClipError> {
        let refuse =
            |name, value: String, reason: &str| Err(ClipError::Setting { name, value, reason: reason.to_owned() });
        if !(0.0..=1.0).contains(&self.broken_share) {
            return refuse("broken_share", self.broken_share.to_string(), "a share is of 0 to 1");
        }
        match self.frame_ranges.iter().find(|range| range.first > range.last || range.last >= range.of) {
            Some(FrameRange { first, last, of, .. }) => {
                refuse("frame_ranges", format!("{first} to {last} of {of}"), "first ≤ last < of")
            }
            None => Ok(()),
        }
    }
}

impl FrameRange {
    fn fits(&self, entry: &Entry, gif: &GifClip) -> bool {
        self.of == gif.frames.len() && entry.labels.get(&self.label) == Some(&self.value)
    }
}

fn check(path: &Path, entry: &Entry, settings: &FolderSettings) -> Result<(), ClipError> {
    read(path, &entry.file_name, settings.background).map(drop)
}

fn read(folder: &Path, file_name: &str, background: [u8; 3]) -> Result<GifClip, ClipError> {
    let path = folder.join(file_name);
    let bytes = fs::read(&path).map_err(|source| ClipError::Read { path, source })?;
    decode_gif(&bytes, background)
}

fn read_metadata(folder: &Path, policy: &CaptionPolicy) -> Result<Vec<Entry>, ClipError> {
    let path = folder.join(METADATA);
    if !path.is_file() {
        return Err(ClipError::NoMetadata { path: folder.to_owned(), splits: VideoFolder::splits(folder)? });
    }
    let text = fs::read_to_string(&path).map_err(|source| ClipError::Read { path: path.clone(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let wrong = |line, message| ClipError::MetadataLine { path: path.clone(), line, message };
    let entries: Vec<Entry> = lines
        .map(|(i, line)| parse_line(line, policy).map_err(|message| wrong(i + 1, message)))
        .collect::<Result<_, _>>()?;
    if entries.is_empty() {
        return Err(wrong(1, "the file names no clip".to_owned()));
    }
    Ok(entries)
}

fn parse_line(line: &str, policy: &CaptionPolicy) -> Result<Entry, String> {
    let fields: BTreeMap<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in fields {
        match value {
            Value::String(text) => drop(labels.insert(name, text)),
            Value::Number(_) | Value::Bool(_) => drop(labels.insert(name, value.to_string())),
            // Boxes, lists of objects: nothing that a caption could name.
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
    let file_name = labels.remove("file_name").ok_or("no file_name")?;
    let stays_inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(&file_name).components().all(stays_inside) {
        return Err(format!("file_name {file_name:?} leads out of the folder"));
    }
    let text = labels.remove("text");
    if text.is_none() && *policy == CaptionPolicy::Full {
        return Err("no text, and the caption is to be the full text".to_owned());
    }
    let caption = policy.caption(&text.unwrap_or_default(), &labels).map_err(|error| error.to_string())?;
    Ok(Entry { file_name, caption, labels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GifSettings, animated_gif};

    /// A folder of `good` GIFs of two frames and `bad` files of nonsense.
    fn folder(good: usize, bad: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let pixels: Vec<f32> = (0..2 * 3 * 16).map(|i| if i < 48 { -1.0 } else { 1.0 }).collect();
        let clip = Clip::new(2, 4, 4, pixels).expect("a clip");
        let gif = animated_gif(&clip, &GifSettings { upscale: 1, ..Default::default() }).expect("a GIF");
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
        let lenient = FolderSettings { broken_share: 0.1, ..Default::default() };
        let opened = VideoFolder::open_with(folder.path(), lenient).expect("one in ten is allowed");
        assert_eq!((opened.len(), opened.broken().len()), (9, 1));
        assert_eq!(opened.broken()[0].file_name, "9.gif");
        let message = VideoFolder::open(folder.path()).expect_err("one in a hundred is allowed").to_string();
        assert!(
            message.contains("1 of 10 files are broken, more than 1 %; the first: 9.gif: failed to"),
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
        let settings = FolderSettings { broken_share: f64::NAN, ..Default::default() };
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
        assert!(message.ends_with("no metadata.jsonl; its splits: val"), "{message}");
    }
}
