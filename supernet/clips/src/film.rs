//! Moving pictures as they lie on the disk. One file per format in `film/`; each plays its pictures one after another,
//! so that a long film is never held whole.

mod budget;
mod canvas;
mod format;
mod frames;
mod gif;
#[cfg(feature = "mp4")]
mod mp4;
mod png;
mod webp;

use std::fs::{self, File};
use std::io::Read;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clip::from_byte;
use crate::{Clip, ClipError};
use budget::Budget;
use format::Container;

/// One picture of a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Red, green and blue, row by row.
    pub rgb: Vec<[u8; 3]>,
    /// How long it is shown in millionths of a second, where the film says so.
    pub shown_us: Option<u32>,
}

/// What a film's bytes do not say of themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Rows of frames in the picture.
    pub rows: usize,
    /// Columns of frames.
    pub columns: usize,
    /// Frames, where the last row is not full.
    pub frames: Option<usize>,
}

/// The bytes of a film: a file's, or those of the numbered PNGs of a folder.
pub struct Film {
    path: PathBuf,
    parts: Vec<Part>,
    grid: Option<Grid>,
}

/// A file of a film.
struct Part {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// What is known of a film that was played once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilmFacts {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Pictures.
    pub frames: usize,
    /// How long each is shown in millionths of a second; empty where the film does not say.
    pub shown_us: Vec<u32>,
}

/// A film's pictures, all in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footage {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Red, green and blue of each frame, row by row.
    pub frames: Vec<Vec<[u8; 3]>>,
    /// How long each frame is shown; 0 where the film does not say.
    pub delays_ms: Vec<u32>,
}

/// Bytes of a file, 512 MiB: clips are short, longer films are to be divided before.
const MAX_FILE_BYTES: u64 = 1 << 29;

/// Pixels that all frames of [`Footage`] may have together.
const MAX_FOOTAGE_PIXELS: usize = 1 << 26;

/// Called with each picture in turn; says when no more are needed.
type Visit<'a> = &'a mut dyn FnMut(Picture) -> ControlFlow<()>;

impl Film {
    /// Reads a file, or a folder of numbered PNGs. A picture is split into a grid of frames where one is given.
    pub fn read(path: &Path, grid: Option<Grid>) -> Result<Self, ClipError> {
        let metadata = fs::metadata(path).map_err(|source| ClipError::Read { path: path.into(), source })?;
        let files = if metadata.is_dir() { frames::numbered(path)? } else { vec![path.to_owned()] };
        let mut room = MAX_FILE_BYTES;
        let parts = files.into_iter().map(|path| Part::read(path, &mut room)).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), parts, grid })
    }

    /// SHA-256 of all bytes, and of the grid.
    pub fn content_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in &self.parts {
            hash.update((part.bytes.len() as u64).to_le_bytes());
            hash.update(&part.bytes);
        }
        hash.update(format!("{:?}", self.grid));
        hash.finalize().into()
    }

    /// Shows its pictures on `background` until `visit` breaks. Whatever the bytes are, the answer is pictures of one
    /// size or an error that names the file.
    pub fn play(
        &self,
        background: [u8; 3],
        mut visit: impl FnMut(Picture) -> ControlFlow<()>,
    ) -> Result<(), ClipError> {
        let mut size = None;
        let mut changed = None;
        let mut same_size = |picture: Picture| {
            let first = *size.get_or_insert([picture.height, picture.width]);
            if first == [picture.height, picture.width] {
                return visit(picture);
            }
            changed = Some(format!(
                "its frames differ in size: {}×{} and {}×{}",
                first[1], first[0], picture.width, picture.height
            ));
            ControlFlow::Break(())
        };
        // The decoders are other people's work on strangers' bytes: should one of them panic, it is one broken file.
        let played = catch_unwind(AssertUnwindSafe(|| self.play_parts(background, &mut same_size)));
        let refuse = |path: &Path, message: String| Err(ClipError::Decode { path: path.to_owned(), message });
        match played {
            Err(_) => refuse(&self.path, "its decoder gave up on it".to_owned()),
            Ok(Err((part, message))) => refuse(part.map_or(&self.path, |part| &part.path), message),
            Ok(Ok(())) => match (changed, size) {
                (Some(message), _) => refuse(&self.path, message),
                (None, None) => refuse(&self.path, "it has no frames".to_owned()),
                (None, Some(_)) => Ok(()),
            },
        }
    }

    /// Plays the film once.
    pub fn facts(&self) -> Result<FilmFacts, ClipError> {
        let mut facts = FilmFacts { height: 0, width: 0, frames: 0, shown_us: Vec::new() };
        self.play([0; 3], |picture| {
            (facts.height, facts.width) = (picture.height, picture.width);
            facts.frames += 1;
            facts.shown_us.extend(picture.shown_us);
            ControlFlow::Continue(())
        })?;
        Ok(facts)
    }

    fn play_parts(&self, background: [u8; 3], visit: Visit) -> Result<(), (Option<&Part>, String)> {
        let mut budget = Budget::new(self.parts.iter().map(|part| part.bytes.len()).sum());
        if let [part] = &self.parts[..]
            && part.path == self.path
        {
            return play_file(part, self.grid, background, &mut budget, visit).map_err(|message| (None, message));
        }
        for part in &self.parts {
            let picture = Container::of(&part.path, &part.bytes)
                .and_then(|_| png::still(&part.bytes, background, &mut budget))
                .map_err(|message| (Some(part), message))?;
            if visit(picture).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Part {
    fn read(path: PathBuf, room: &mut u64) -> Result<Self, ClipError> {
        let read_error = |source| ClipError::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(read_error)?;
        let metadata = file.metadata().map_err(read_error)?;
        let refuse = |message: &str| ClipError::Decode { path: path.clone(), message: message.to_owned() };
        if !metadata.is_file() {
            return Err(refuse("it is no regular file"));
        }
        let mut bytes = Vec::new();
        file.take(*room + 1).read_to_end(&mut bytes).map_err(read_error)?;
        *room = room
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| refuse("the clip has more than 512 MiB; cut it into shorter ones"))?;
        Ok(Self { path, bytes })
    }
}

/// Whether a path is named as a film, or is a folder of numbered pictures.
pub(crate) fn is_film(path: &Path) -> bool {
    if path.is_dir() { frames::is_film(path) } else { Container::of_name(path).is_some() }
}

fn play_file(
    part: &Part,
    grid: Option<Grid>,
    background: [u8; 3],
    budget: &mut Budget,
    visit: Visit,
) -> Result<(), String> {
    match Container::of(&part.path, &part.bytes)? {
        Container::Gif => gif::play(&part.bytes, background, budget, visit),
        Container::Png => png::play(&part.bytes, grid, background, budget, visit),
        Container::Webp => webp::play(&part.bytes, background, budget, visit),
        #[cfg(feature = "mp4")]
        Container::Mp4 => mp4::play(&part.bytes, budget, visit),
        #[cfg(not(feature = "mp4"))]
        Container::Mp4 => {
            Err("it is an MP4, and this program was built without them: build with --features mp4".to_owned())
        }
    }
}

impl Footage {
    /// All pictures of a file; its format is detected from its bytes.
    pub fn decode(bytes: &[u8], background: [u8; 3]) -> Result<Self, ClipError> {
        let part = Part { path: PathBuf::new(), bytes: bytes.to_vec() };
        Self::of(&Film { path: PathBuf::new(), parts: vec![part], grid: None }, background)
    }

    /// All pictures of a film.
    pub fn of(film: &Film, background: [u8; 3]) -> Result<Self, ClipError> {
        let mut footage = Self { height: 0, width: 0, frames: Vec::new(), delays_ms: Vec::new() };
        let mut too_long = false;
        film.play(background, |picture| {
            (footage.height, footage.width) = (picture.height, picture.width);
            footage.delays_ms.push(picture.shown_us.unwrap_or(0) / 1000);
            footage.frames.push(picture.rgb);
            too_long = footage.frames.len() * picture.height * picture.width > MAX_FOOTAGE_PIXELS;
            if too_long { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if too_long {
            let message =
                format!("more than {} frames of {}×{}", footage.frames.len(), footage.width, footage.height);
            return Err(ClipError::Decode { path: film.path.clone(), message });
        }
        Ok(footage)
    }

    /// All frames at their own size, in [-1, 1].
    pub fn to_clip(&self) -> Clip {
        let plane = |frame: &[[u8; 3]], channel: usize| {
            frame.iter().map(|pixel| from_byte(pixel[channel])).collect::<Vec<f32>>()
        };
        let planes = self.frames.iter().flat_map(|frame| [0, 1, 2].map(|channel| plane(frame, channel)));
        Clip {
            frames: self.frames.len(),
            height: self.height,
            width: self.width,
            pixels: planes.flatten().collect(),
            caption: String::new(),
            labels: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FilmFormat, FilmSettings, ShapeClips, ShapeSettings, SheetSettings, contact_sheet};

    fn read(name: &str, bytes: &[u8], grid: Option<Grid>) -> Result<FilmFacts, ClipError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        Film::read(&path, grid)?.facts()
    }

    fn encoded(format: FilmFormat) -> Vec<u8> {
        let clip = ShapeClips::new(ShapeSettings { frames: 3, size: 16, ..Default::default() }).expect("settings");
        format.encode(&clip.clip(3), &FilmSettings { upscale: 1, delay_ms: 200 }).expect("encodes")
    }

    #[test]
    fn every_format_tells_its_frames_and_times() {
        for &format in FilmFormat::ALL {
            let name = format!("clip.{}", format.extension());
            let facts = read(&name, &encoded(format), None).expect("plays");
            let expected = FilmFacts { height: 16, width: 16, frames: 3, shown_us: vec![200_000; 3] };
            assert_eq!(facts, expected, "{format}");
        }
    }

    #[test]
    fn a_wrong_name_is_an_error_with_the_right_one() {
        let message = read("clip.gif", &encoded(FilmFormat::Apng), None).expect_err("a PNG").to_string();
        assert!(message.contains("clip.gif") && message.contains("its bytes are a PNG"), "{message}");
        let message = read("clip.webm", b"\x1a\x45\xdf\xa3....", None).expect_err("a WebM").to_string();
        assert!(message.contains("clip.webm") && message.contains("neither GIF, PNG, WebP nor MP4"), "{message}");
        let message = read("clip.gif", b"", None).expect_err("empty").to_string();
        assert!(message.contains("clip.gif: it is empty"), "{message}");
        assert!(read("clip", &encoded(FilmFormat::Webp), None).is_ok(), "no extension claims nothing");
    }

    /// Invariant: bytes cut anywhere, or damaged anywhere, are an error or whole pictures of one size; never a panic.
    #[test]
    fn damaged_bytes_do_not_panic() {
        let part = |bytes| Part { path: PathBuf::from("x"), bytes };
        let film = |bytes| Film { path: "x".into(), parts: vec![part(bytes)], grid: None };
        for &format in FilmFormat::ALL {
            let bytes = encoded(format);
            for length in (0..bytes.len()).rev().step_by(1 + bytes.len() / 400) {
                let cut = film(bytes[..length].to_vec()).facts();
                // A file's last bytes may say nothing: a trailer, a checksum.
                assert!(cut.is_err() || length + 20 > bytes.len(), "{format} cut at {length} of {}", bytes.len());
            }
            for at in (0..bytes.len()).step_by(1 + bytes.len() / 400) {
                for damage in [0, 1, 0x2c, 0x7f, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[at] = damage;
                    if let Ok(footage) = Footage::of(&film(damaged), [0; 3]) {
                        assert!(footage.frames.iter().all(|frame| frame.len() == footage.height * footage.width));
                    }
                }
            }
        }
    }

    #[test]
    fn a_folder_of_numbered_pictures_is_a_film_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let still = |value: f32| {
            let clip = Clip::new(1, 2, 2, vec![value; 12]).expect("a clip");
            FilmFormat::Apng.encode(&clip, &FilmSettings { upscale: 1, delay_ms: 1 }).expect("encodes")
        };
        for (name, value) in [("f10.png", 1.0), ("f9.png", 0.0), ("f008.png", -1.0)] {
            fs::write(folder.path().join(name), still(value)).expect("written");
        }
        fs::write(folder.path().join("notes.txt"), "of no concern").expect("written");
        let film = Film::read(folder.path(), None).expect("reads");
        let footage = Footage::of(&film, [0; 3]).expect("plays");
        assert_eq!(footage.frames.iter().map(|frame| frame[0][0]).collect::<Vec<_>>(), [0, 128, 255]);
        assert_eq!(film.facts().expect("plays").shown_us, [0; 0]);

        fs::write(folder.path().join("g9.png"), still(0.0)).expect("written");
        let message = Film::read(folder.path(), None).err().expect("two of one number").to_string();
        assert!(message.contains("number 9"), "{message}");
        fs::write(folder.path().join("g9.png"), b"\x89PNG\r\n\x1a\nnot quite").expect("written");
        fs::remove_file(folder.path().join("f9.png")).expect("removed");
        let message = Film::read(folder.path(), None).expect("reads").facts().expect_err("broken").to_string();
        assert!(message.contains("g9.png"), "{message}");
    }

    #[test]
    fn a_grid_is_cut_row_by_row() {
        let sheet =
            Clip::new(1, 2, 4, [0., 1., 2., 3., 4., 5., 6., 7.].map(|x| x / 7.0).repeat(3)).expect("a clip");
        let settings = SheetSettings { upscale: 1, gutter: 0, gutter_rgb: [0; 3] };
        let bytes = contact_sheet(&[&sheet], &settings).expect("encodes");
        let grid = |rows, columns, frames| Some(Grid { rows, columns, frames });
        let facts = |grid| read("sheet.png", &bytes, grid);
        assert_eq!(facts(grid(2, 2, None)).expect("cut").frames, 4);
        let three = facts(grid(2, 2, Some(3))).expect("cut");
        assert_eq!((three.frames, three.height, three.width), (3, 1, 2));
        for wrong in
            [grid(3, 2, None), grid(0, 1, None), grid(2, 3, None), grid(2, 2, Some(5)), grid(2, 2, Some(0))]
        {
            let message = facts(wrong).expect_err("does not fit").to_string();
            assert!(message.contains("sheet.png"), "{message}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        assert!(Film::read(Path::new("/dev/zero"), None).is_err());
        let folder = tempfile::tempdir().expect("a folder");
        let message = Film::read(folder.path(), None).err().expect("empty").to_string();
        assert!(message.contains("no numbered PNG"), "{message}");
        assert!(Film::read(&folder.path().join("missing.gif"), None).is_err());
    }
}
