use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::memory::{Kept, Memory};
use crate::{Clip, ClipError, MovingMnist, ShapeClips, VideoFolder};

/// Where the clips of a set come from.
pub trait ClipSource: Send + Sync {
    /// Frames, rows and columns of every clip.
    fn shape(&self) -> [usize; 3];

    /// Caption and labels of a clip, without its pixels.
    fn describe(&self, index: usize) -> Result<(String, BTreeMap<String, String>), ClipError>;

    /// A clip's name in messages: its file, or its number where it has none.
    fn name(&self, index: usize) -> String {
        format!("clip {index}")
    }

    /// Hash of all that a clip's pixels follow from: equal for equal pixels of one source, and kept between runs.
    fn key(&self, index: usize) -> Result<String, ClipError>;

    /// Makes a clip.
    fn clip(&self, index: usize) -> Result<Clip, ClipError>;
}

/// A number of captioned clips that are made when they are asked for, so that a set may be larger than memory.
///
/// Invariant: a clip is the same however often and in whatever order it is asked for.
#[derive(Clone)]
pub struct ClipSet {
    source: Arc<dyn ClipSource>,
    described: Arc<Vec<(String, BTreeMap<String, String>)>>,
    kept: Arc<Kept<Clip>>,
}

impl ClipSet {
    /// The first `count` clips of a source; those for which there is room are made once.
    pub fn new(source: impl ClipSource + 'static, count: usize, memory: &Memory) -> Result<Self, ClipError> {
        let described = (0..count).into_par_iter().map(|index| source.describe(index)).collect::<Result<_, _>>()?;
        Ok(Self {
            source: Arc::new(source),
            described: Arc::new(described),
            kept: Arc::new(Kept::new(count, memory.clone())),
        })
    }

    /// Clips that are there already.
    pub fn of(clips: Vec<Clip>) -> Result<Self, ClipError> {
        let count = clips.len();
        Self::new(clips, count, &Memory::new(0))
    }

    /// Clips.
    pub fn len(&self) -> usize {
        self.described.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.described.is_empty()
    }

    /// Frames, rows and columns of every clip.
    pub fn shape(&self) -> [usize; 3] {
        self.source.shape()
    }

    /// Captions in the order of the clips.
    pub fn captions(&self) -> impl ExactSizeIterator<Item = &str> {
        self.described.iter().map(|(caption, _)| caption.as_str())
    }

    /// Labels in the order of the clips.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &BTreeMap<String, String>> {
        self.described.iter().map(|(_, labels)| labels)
    }

    /// A clip's name in messages: its file, or its number where it has none.
    pub fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    /// Hash of all that a clip's pixels follow from.
    pub fn key(&self, index: usize) -> Result<String, ClipError> {
        self.check(index)?;
        self.source.key(index)
    }

    /// Hash of all that the set's clips and captions follow from.
    pub fn content_hash(&self) -> Result<String, ClipError> {
        let keys: Vec<String> = (0..self.len()).into_par_iter().map(|i| self.key(i)).collect::<Result<_, _>>()?;
        let mut hash = Sha256::new();
        for (key, described) in keys.iter().zip(self.described.iter()) {
            hash.update(format!("{key} {described:?}\n"));
        }
        Ok(hex(&hash.finalize()))
    }

    /// Clip number `index`.
    pub fn clip(&self, index: usize) -> Result<Arc<Clip>, ClipError> {
        self.check(index)?;
        let [frames, height, width] = self.shape();
        let bytes = (frames * height * width * 3 * size_of::<f32>()) as u64;
        self.kept.get(index, bytes, || self.source.clip(index))
    }

    /// The same, made anew and not kept: for what is asked for once.
    pub fn make(&self, index: usize) -> Result<Clip, ClipError> {
        self.check(index)?;
        self.source.clip(index)
    }

    /// Caption and labels of a clip.
    pub fn describe(&self, index: usize) -> Result<(String, BTreeMap<String, String>), ClipError> {
        self.check(index)?;
        Ok(self.described[index].clone())
    }

    /// Clips of the given numbers, all in memory.
    pub fn clips(&self, indices: impl IntoIterator<Item = usize>) -> Result<Vec<Clip>, ClipError> {
        let indices: Vec<usize> = indices.into_iter().collect();
        indices.into_par_iter().map(|index| Ok((*self.clip(index)?).clone())).collect()
    }

    fn check(&self, index: usize) -> Result<(), ClipError> {
        if index < self.len() { Ok(()) } else { Err(ClipError::NoSuchClip { index, count: self.len() }) }
    }
}

impl fmt::Debug for ClipSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} clips of {:?}", self.len(), self.shape())
    }
}

impl ClipSource for ShapeClips {
    fn shape(&self) -> [usize; 3] {
        let settings = self.settings();
        [settings.frames, settings.size, settings.size]
    }

    fn describe(&self, index: usize) -> Result<(String, BTreeMap<String, String>), ClipError> {
        Ok(self.described(index))
    }

    fn key(&self, index: usize) -> Result<String, ClipError> {
        Ok(hex(&Sha256::digest(format!("shapes 1 {:?} {index}", self.settings()))))
    }

    fn clip(&self, index: usize) -> Result<Clip, ClipError> {
        Ok(ShapeClips::clip(self, index))
    }
}

impl ClipSource for MovingMnist {
    fn shape(&self) -> [usize; 3] {
        let settings = self.settings();
        [settings.frames, settings.size, settings.size]
    }

    fn describe(&self, index: usize) -> Result<(String, BTreeMap<String, String>), ClipError> {
        MovingMnist::describe(self, index)
    }

    fn key(&self, index: usize) -> Result<String, ClipError> {
        let settings = self.settings();
        let made = (settings.frames, settings.size, settings.seed, settings.split, index);
        let hash = Sha256::new_with_prefix(self.digits_hash());
        Ok(hex(&hash.chain_update(format!("moving mnist 1 {made:?}")).finalize()))
    }

    fn clip(&self, index: usize) -> Result<Clip, ClipError> {
        MovingMnist::clip(self, index)
    }
}

/// Clips of a folder at one number of frames and size, in an order.
#[derive(Clone, Debug)]
pub struct FolderClips {
    /// The folder.
    pub folder: VideoFolder,
    /// Which of its clips, in order.
    pub order: Vec<usize>,
    /// Frames of a clip.
    pub frames: usize,
    /// Rows and columns.
    pub size: usize,
}

impl FolderClips {
    fn at(&self, index: usize) -> Result<usize, ClipError> {
        self.order.get(index).copied().ok_or(ClipError::NoSuchClip { index, count: self.order.len() })
    }
}

impl ClipSource for FolderClips {
    fn shape(&self) -> [usize; 3] {
        [self.frames, self.size, self.size]
    }

    fn describe(&self, index: usize) -> Result<(String, BTreeMap<String, String>), ClipError> {
        let index = self.at(index)?;
        Ok((self.folder.caption(index)?.to_owned(), self.folder.labels(index)?.clone()))
    }

    fn name(&self, index: usize) -> String {
        let file = self.at(index).and_then(|index| self.folder.file(index));
        file.map_or_else(|_| format!("clip {index}"), |file| file.display().to_string())
    }

    fn key(&self, index: usize) -> Result<String, ClipError> {
        self.folder.key(self.at(index)?, self.frames, self.size)
    }

    fn clip(&self, index: usize) -> Result<Clip, ClipError> {
        self.folder.clip(self.at(index)?, self.frames, self.size)
    }
}

impl ClipSource for Vec<Clip> {
    fn shape(&self) -> [usize; 3] {
        self.first().map_or([0; 3], Clip::shape)
    }

    fn describe(&self, index: usize) -> Result<(String, BTreeMap<String, String>), ClipError> {
        let clip = ClipSource::clip(self, index)?;
        Ok((clip.caption, clip.labels))
    }

    fn key(&self, index: usize) -> Result<String, ClipError> {
        let clip = ClipSource::clip(self, index)?;
        let mut hash = Sha256::new_with_prefix(format!("pixels {:?}", clip.shape()));
        clip.pixels.iter().for_each(|x| hash.update(x.to_le_bytes()));
        Ok(hex(&hash.finalize()))
    }

    fn clip(&self, index: usize) -> Result<Clip, ClipError> {
        self.get(index).cloned().ok_or(ClipError::NoSuchClip { index, count: self.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShapeSettings;

    #[test]
    fn clips_are_the_source_s_with_and_without_memory() {
        let shapes = ShapeClips::new(ShapeSettings { frames: 2, size: 8, ..Default::default() }).expect("settings");
        for memory in [0, 3 * 2 * 3 * 64 * 4, u64::MAX] {
            let set = ClipSet::new(shapes.clone(), 6, &Memory::new(memory)).expect("a set");
            for index in [5, 0, 5, 3, 1, 2, 4, 0] {
                assert_eq!(*set.clip(index).expect("a clip"), shapes.clip(index));
            }
            assert!(set.clip(6).is_err() && set.key(6).is_err());
            let described: Vec<&str> = set.captions().collect();
            assert_eq!(described[3], shapes.clip(3).caption);
        }
    }

    #[test]
    fn keys_tell_clips_and_settings_apart() {
        let set = |frames, count| {
            let settings = ShapeSettings { frames, size: 8, ..Default::default() };
            ClipSet::new(ShapeClips::new(settings).expect("settings"), count, &Memory::new(0)).expect("a set")
        };
        assert_eq!(set(2, 3).key(1).expect("a key"), set(2, 9).key(1).expect("a key"));
        assert_ne!(set(2, 3).key(1).expect("a key"), set(3, 3).key(1).expect("a key"));
        assert_ne!(set(2, 3).key(1).expect("a key"), set(2, 3).key(2).expect("a key"));
        assert_ne!(set(2, 3).content_hash().expect("a hash"), set(2, 4).content_hash().expect("a hash"));
    }
}
