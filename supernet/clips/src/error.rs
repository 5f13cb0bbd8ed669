use std::io;
use std::path::PathBuf;

/// What went wrong; each message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// A file or folder could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The numbers given do not fill the clip.
    #[error("hold a clip: {frames} frames of 3×{height}×{width} are {} numbers, found {found}", frames * 3 * height * width)]
    PixelCount {
        /// Frames of the clip.
        frames: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Numbers given.
        found: usize,
    },
    /// A setting is out of range.
    #[error("use {name} = {value}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        reason: String,
    },
    /// The folder does not list clips.
    #[error(
        "open {path} as a video folder: no metadata.jsonl, no metadata.csv and no captions (NAME.txt) beside clips{}",
        splits_hint(splits)
    )]
    NoMetadata {
        /// The folder.
        path: PathBuf,
        /// Its subfolders that have one.
        splits: Vec<String>,
    },
    /// A line of metadata.jsonl is not understood.
    #[error("read {path}, line {line}: {message}")]
    MetadataLine {
        /// The metadata file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Too many files of a folder are broken.
    #[error("open {path}: {broken} of {total} files are broken, more than {limit_percent} %; the first: {first}")]
    TooManyBroken {
        /// The folder.
        path: PathBuf,
        /// Files that cannot be decoded.
        broken: usize,
        /// Files named in the metadata.
        total: usize,
        /// The fraction allowed, in percent.
        limit_percent: f64,
        /// Name and complaint of the first broken file.
        first: String,
    },
    /// A file or folder is not a film that can be played.
    #[error("play {path}: {message}")]
    Decode {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A caption template names a label that the clip has not.
    #[error("fill the caption template {template:?}: no label {label:?}; there are: {}", known.join(", "))]
    UnknownLabel {
        /// The template.
        template: String,
        /// The label asked for.
        label: String,
        /// The clip's labels.
        known: Vec<String>,
    },
    /// There is no such clip.
    #[error("take clip {index}: there are {count}")]
    NoSuchClip {
        /// The index asked for.
        index: usize,
        /// Clips there are.
        count: usize,
    },
    /// Clips that should be drawn together differ in shape.
    #[error("draw clips together: [F, H, W] = {expected:?} and {found:?}")]
    UnequalClips {
        /// Shape of the first clip.
        expected: [usize; 3],
        /// Shape of the clip that differs.
        found: [usize; 3],
    },
    /// A picture could not be encoded.
    #[error("encode a {format} of {width}×{height}: {message}")]
    Encode {
        /// GIF or PNG.
        format: &'static str,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// The encoder's word.
        message: String,
    },
    /// A tokenizer's file is not one that is known.
    #[error("read the tokenizer {path}: {message}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A text could not be made into ids.
    #[error("encode {text:?}: {message}")]
    Encoding {
        /// The text's beginning.
        text: String,
        /// The tokenizer's word.
        message: String,
    },
}

fn splits_hint(splits: &[String]) -> String {
    match splits {
        [] => String::new(),
        names => format!("; its splits: {}", names.join(", ")),
    }
}
