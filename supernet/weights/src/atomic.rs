use crate::WeightsError;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

const SUFFIX: &str = ".tnas-tmp";
const BUFFER_BYTES: usize = 1 << 20;

/// A file that appears under its name when it is committed, whole and on the disk, or not at all.
///
/// Until then it is a temporary file in the same folder, removed when this value is dropped. A killed process leaves it
/// behind; [`remove_stale_temporaries`] finds those.
///
/// ```
/// use std::io::Write;
/// use tnas_weights::AtomicFile;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("front.json");
/// let mut file = AtomicFile::create(&path)?;
/// file.write_all(b"[]")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"[]");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    writer: BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Starts a file, and its folder if there is none.
    pub fn create(target: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let target = target.as_ref();
        let (file, temporary) =
            create_temporary(target).map_err(|source| WeightsError::Write { path: target.into(), source })?;
        let writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { writer, temporary, target: target.into(), committed: false })
    }

    /// Brings the bytes to the disk, then the file to its name, then the name to the disk.
    pub fn commit(mut self) -> Result<(), WeightsError> {
        self.publish().map_err(|source| WeightsError::Write { path: self.target.clone(), source })
    }

    fn publish(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.committed = true;
        sync_folder(folder_of(&self.target))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing is lost if this fails: the file is recognisable and is cleaned later.
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// Replaces the content of a file, or creates it: afterwards it holds the old bytes or the new, never a mixture.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), WeightsError> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|source| WeightsError::Write { path: path.into(), source })?;
    file.commit()
}

/// Whether this is the name of a file that is being written, or was when its process was killed.
pub fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes())
}

/// Removes what killed processes left half written in a folder and the folders in it, and returns what it removed.
///
/// A living writer holds a lock on its temporary file, so its file stays, whatever its process.
pub fn remove_stale_temporaries(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, WeightsError> {
    let mut removed = Vec::new();
    let mut waiting = vec![folder.as_ref().to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let read = |source| WeightsError::Read { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(read)?);
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() && is_temporary(&path) && remove_if_abandoned(&path) {
                removed.push(path);
            }
        }
    }
    removed.sort();
    Ok(removed)
}

fn remove_if_abandoned(path: &Path) -> bool {
    // Where locks are not supported nothing can be known, and nothing is removed.
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
    file.try_lock().is_ok() && fs::remove_file(path).is_ok()
}

/// A new, locked file beside the target.
fn create_temporary(target: &Path) -> io::Result<(File, PathBuf)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    const ATTEMPTS: u32 = 100;
    let name = target.file_name().ok_or_else(|| io::Error::other("the path ends in no file name"))?;
    fs::create_dir_all(folder_of(target))?;
    for _ in 0..ATTEMPTS {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{count}{SUFFIX}", process::id()));
        let temporary = target.with_file_name(temporary);
        let file = match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        // Without support for locks the file is merely never cleaned.
        file.lock().ok();
        // A cleaner may have come between the creation and the lock.
        if temporary.exists() {
            return Ok((file, temporary));
        }
    }
    Err(io::Error::other(format!("no free temporary name after {ATTEMPTS} attempts")))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
