use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::ClipError;

/// The PNGs of a folder in the order of the last number in their names, such as `frame_0001.png`; other files are of no
/// concern.
pub(crate) fn numbered(folder: &Path) -> Result<Vec<PathBuf>, ClipError> {
    let read_error = |source| ClipError::Read { path: folder.to_owned(), source };
    let refuse = |message: String| ClipError::Decode { path: folder.to_owned(), message };
    let mut found: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        let Some(number) = is_png(&path).then(|| number(&path)).flatten() else { continue };
        if let Some(other) = found.insert(number, path.clone()) {
            let names = [&other, &path].map(|path| path.file_name().unwrap_or_default().to_string_lossy());
            return Err(refuse(format!("{} and {} both have number {number}", names[0], names[1])));
        }
    }
    if found.is_empty() {
        return Err(refuse("a folder with no numbered PNG, such as 0001.png".to_owned()));
    }
    Ok(found.into_values().collect())
}

/// Whether a folder is a clip of numbered PNGs.
pub(crate) fn is_film(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|entry| entry.path()).any(|path| is_png(&path) && number(&path).is_some())
}

fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
}

/// The last run of digits in a file's name.
fn number(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    stem.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}
