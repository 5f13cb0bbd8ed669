use crate::{RunLock, StudyError};
use std::fs;
use std::path::{Path, PathBuf};
use tnas_record::RunFiles;
use tnas_weights::write_atomic;

/// A run's folder, which one process at a time writes to. [`RunFiles`] has the names of what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    files: RunFiles,
}

impl RunDir {
    /// The run in this folder, which is created where there is none.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StudyError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| StudyError::Write { path: path.clone(), source })?;
        Ok(Self { files: RunFiles::new(path) })
    }

    /// The run in this folder, which exists.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StudyError> {
        let path = path.into();
        if path.is_dir() { Ok(Self { files: RunFiles::new(path) }) } else { Err(StudyError::NoRun { path }) }
    }

    /// Takes the run for this process until the lock is dropped, and removes what a killed one left half written.
    pub fn lock(&self) -> Result<RunLock, StudyError> {
        RunLock::take(self)
    }

    /// Writes a file of the run as a whole, and its folder where there is none.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), StudyError> {
        Ok(write_atomic(path, bytes)?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.files.root()
    }

    /// The names of its files.
    pub fn files(&self) -> &RunFiles {
        &self.files
    }
}
