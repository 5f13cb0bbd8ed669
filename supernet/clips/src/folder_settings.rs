//! How a folder of clips is read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::film::{FilmFacts, Grid};
use crate::metadata::Listed;
use crate::resample::Fit;
use crate::timing::Short;
use crate::{CaptionPolicy, ClipError};

/// How a folder is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FolderSettings {
    /// Which words stand for a clip.
    pub caption: CaptionPolicy,
    /// Red, green and blue behind transparent pixels and around what does not fill a clip.
    pub background: [u8; 3],
    /// Fraction of the files, from 0 to 1, that may be broken; more are an error.
    pub broken_fraction: f64,
    /// Which frames of some clips are taken; all frames of the others.
    pub frame_ranges: Vec<FrameRange>,
    /// Frames of a clip that are a second of its film; where not given, a clip's frames are spread over all of it.
    pub fps: Option<f64>,
    /// Frames a second of films that do not say it: of grids and of numbered PNGs. A clip's label `fps` goes before.
    pub source_fps: Option<f64>,
    /// What follows where a film ends before the clip.
    pub short: Short,
    /// How a film's picture becomes a square.
    pub fit: Fit,
    /// Rows and columns of frames in every PNG. A clip's labels `rows`, `columns` and `frames` go before.
    pub grid: Option<[usize; 2]>,
    /// Folder where it is kept which files are whole, so that films are not decoded for it again.
    pub cache: Option<PathBuf>,
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

impl Default for FolderSettings {
    /// White behind, one broken file in a hundred, and no standing pose before a walk of the Universal LPC sprites.
    fn default() -> Self {
        let walk = FrameRange { label: "action".to_owned(), value: "walk".to_owned(), of: 9, first: 1, last: 8 };
        Self {
            caption: CaptionPolicy::Full,
            background: [255; 3],
            broken_fraction: 0.01,
            frame_ranges: vec![walk],
            fps: None,
            source_fps: None,
            short: Short::default(),
            fit: Fit::default(),
            grid: None,
            cache: None,
        }
    }
}

impl FolderSettings {
    /// Refuses settings that no folder can be read with.
    pub(crate) fn check(&self) -> Result<(), ClipError> {
        let refuse =
            |name, value: String, reason: &str| Err(ClipError::Setting { name, value, reason: reason.to_owned() });
        if !(0.0..=1.0).contains(&self.broken_fraction) {
            return refuse("broken_fraction", self.broken_fraction.to_string(), "a fraction is of 0 to 1");
        }
        for (name, fps) in [("fps", self.fps), ("source_fps", self.source_fps)] {
            if let Some(fps) = fps.filter(|fps| !(0.001..=1000.0).contains(fps)) {
                return refuse(name, fps.to_string(), "frames a second are of 0.001 to 1000");
            }
        }
        if let Some([rows, columns]) = self.grid.filter(|grid| grid.contains(&0)) {
            return refuse("grid", format!("[{rows}, {columns}]"), "rows and columns of frames, 1 at least");
        }
        match self.frame_ranges.iter().find(|range| range.first > range.last || range.last >= range.of) {
            Some(FrameRange { first, last, of, .. }) => {
                refuse("frame_ranges", format!("{first} to {last} of {of}"), "first ≤ last < of")
            }
            None => Ok(()),
        }
    }

    /// Whether labels and facts are enough for a clip to be made.
    pub(crate) fn check_entry(&self, listed: &Listed, facts: &FilmFacts) -> Result<(), String> {
        self.grid_of(listed)?;
        let known = facts.frames == 1 || !facts.shown_us.is_empty() || self.source_fps_of(listed)?.is_some();
        if self.fps.is_some() && !known {
            return Err(
                "it does not say how many frames are a second; give it a label fps, or set source_fps".to_owned()
            );
        }
        Ok(())
    }

    /// The grid that a PNG is split into: its labels', or the folder's.
    pub(crate) fn grid_of(&self, listed: &Listed) -> Result<Option<Grid>, String> {
        let label = |name: &str| match listed.labels.get(name) {
            None => Ok(None),
            Some(text) => {
                text.parse::<usize>().map(Some).map_err(|_| format!("its label {name} = {text:?} is no count"))
            }
        };
        if !["rows", "columns"].iter().any(|name| listed.labels.contains_key(*name)) {
            return Ok(self.grid.map(|[rows, columns]| Grid { rows, columns, frames: None }));
        }
        let (rows, columns) = (label("rows")?.unwrap_or(1), label("columns")?.unwrap_or(1));
        Ok(Some(Grid { rows, columns, frames: label("frames")? }))
    }

    /// Frames a second of a film that does not say it; none where nothing says it.
    pub(crate) fn source_fps_of(&self, listed: &Listed) -> Result<Option<f64>, String> {
        let Some(text) = listed.labels.get("fps") else { return Ok(self.source_fps) };
        match text.parse::<f64>() {
            Ok(fps) if (0.001..=1000.0).contains(&fps) => Ok(Some(fps)),
            _ => Err(format!("its label fps = {text:?} is none of 0.001 to 1000 frames a second")),
        }
    }
}

impl FrameRange {
    /// Whether it is of a clip with these labels, whose file holds so many frames.
    pub(crate) fn fits(&self, frames: usize, labels: &BTreeMap<String, String>) -> bool {
        self.of == frames && labels.get(&self.label) == Some(&self.value)
    }
}
