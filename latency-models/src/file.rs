use std::{
    fs::{self, File},
    io::{self, Write},
    ops::RangeInclusive,
    path::Path,
};

use serde::Deserialize;

/// Replaces a file whole: temporary file, fsync, rename, fsync of the folder.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?.to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // Only some systems let a folder be opened; the rename itself is atomic everywhere.
    File::open(folder).map_or(Ok(()), |folder| folder.sync_all())
}

/// Refuses another layout before its fields are looked at, so that the error names the version and not a field.
pub(crate) fn check_version(json: &[u8], known: RangeInclusive<u32>) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let Version { format_version } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if !known.contains(&format_version) {
        let expected = known.end();
        return Err(format!(
            "format version {format_version}, expected {expected}: make it anew with this version"
        ));
    }
    Ok(())
}
