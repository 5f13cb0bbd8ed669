//! Which films of a folder are whole, found by playing each once; kept under the hash of their bytes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ClipError;
use crate::film::{Film, FilmFacts, Grid};
use crate::folder::hex;

/// Raise where the same bytes may give other facts.
const VERSION: u32 = 1;

/// The hash of a film's bytes and what is known of it, or what is wrong with it.
type Known = Result<([u8; 32], FilmFacts), String>;

#[derive(Serialize, Deserialize)]
struct Kept {
    format_version: u32,
    films: Vec<Known>,
}

/// Plays every film once, or reads from `cache` what that gave for the same bytes.
pub(crate) fn known_facts(
    films: &[(PathBuf, Option<Grid>)],
    cache: Option<&Path>,
) -> Result<Vec<Known>, ClipError> {
    let Some(cache) = cache else { return Ok(films.par_iter().map(known).collect()) };
    let hashes: Vec<Option<[u8; 32]>> =
        films.par_iter().map(|(path, grid)| Some(Film::read(path, *grid).ok()?.content_hash())).collect();
    let mut key = Sha256::new_with_prefix(format!("facts {VERSION} mp4 {}", cfg!(feature = "mp4")));
    for ((path, _), hash) in films.iter().zip(&hashes) {
        // A name is a part of the answer: it may claim another format than the bytes are.
        key.update(format!("{:?} {hash:?}", path.file_name()));
    }
    let file = cache.join(format!("films/{}.json", hex(&key.finalize())));
    let kept = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.format_version == VERSION && kept.films.len() == films.len()) {
        return Ok(kept.films);
    }
    let kept = Kept { format_version: VERSION, films: films.par_iter().map(known).collect() };
    write(&file, &serde_json::to_vec(&kept).map_err(|error| write_error(&file, error.into()))?)?;
    Ok(kept.films)
}

fn known((path, grid): &(PathBuf, Option<Grid>)) -> Known {
    let told = |error: ClipError| match error {
        ClipError::Decode { path: broken, message } if broken == *path => message,
        other => other.to_string(),
    };
    let film = Film::read(path, *grid).map_err(told)?;
    Ok((film.content_hash(), film.facts().map_err(told)?))
}

/// Writes a file whole or not at all.
fn write(file: &Path, bytes: &[u8]) -> Result<(), ClipError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let written = || {
        fs::create_dir_all(folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file).map_err(|error| error.error)
    };
    written().map(drop).map_err(|source| write_error(file, source))
}

fn write_error(file: &Path, source: std::io::Error) -> ClipError {
    ClipError::Write { path: file.to_owned(), source }
}
