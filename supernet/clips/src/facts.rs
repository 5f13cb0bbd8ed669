//! Which films are whole, found by playing each once; kept under the hash of their bytes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ClipError;
use crate::film::{Film, FilmFacts, Grid};
use crate::hex::hex;

/// Raise where the same bytes may give other facts.
const VERSION: u32 = 1;

/// The hash of a film's bytes and what is known of it, or what is wrong with it.
type Known = Result<([u8; 32], FilmFacts), String>;

#[derive(Serialize, Deserialize)]
struct Kept {
    format_version: u32,
    film: Known,
}

/// Plays every film once, or reads from `cache` what that gave for the same name and bytes: a changed film makes its own
/// entry anew.
pub(crate) fn known_facts(
    films: &[(PathBuf, Option<Grid>)],
    cache: Option<&Path>,
) -> Result<Vec<Known>, ClipError> {
    films.par_iter().map(|(path, grid)| known(path, *grid, cache)).collect()
}

fn known(path: &Path, grid: Option<Grid>, cache: Option<&Path>) -> Result<Known, ClipError> {
    let film = match Film::read(path, grid) {
        Ok(film) => film,
        Err(error) => return Ok(Err(message(path, error))),
    };
    let content = film.content_hash();
    let play = || film.facts().map(|facts| (content, facts)).map_err(|error| message(path, error));
    let Some(cache) = cache else { return Ok(play()) };
    // A name is a part of the answer: it may claim another format than the bytes are.
    let head = format!("facts {VERSION} mp4 {} {:?}", cfg!(feature = "mp4"), path.file_name());
    let key = hex(&Sha256::new_with_prefix(head).chain_update(content).finalize());
    let file = cache.join(format!("films/{}/{key}.json", &key[..2]));
    let kept = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.format_version == VERSION) {
        return Ok(kept.film);
    }
    let kept = Kept { format_version: VERSION, film: play() };
    write(&file, &serde_json::to_vec(&kept).map_err(|error| write_error(&file, error.into()))?)?;
    Ok(kept.film)
}

fn message(path: &Path, error: ClipError) -> String {
    match error {
        ClipError::Decode { path: broken, message } if broken == path => message,
        other => other.to_string(),
    }
}

/// Writes a file whole or not at all; one that a power cut left empty is made again.
fn write(file: &Path, bytes: &[u8]) -> Result<(), ClipError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let written = || {
        fs::create_dir_all(folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(bytes)?;
        temporary.persist(file).map_err(|error| error.error)
    };
    written().map(drop).map_err(|source| write_error(file, source))
}

fn write_error(file: &Path, source: std::io::Error) -> ClipError {
    ClipError::Write { path: file.to_owned(), source }
}
