use crate::{RunLock, StudyError};
use std::fs;
use std::path::{Path, PathBuf};
use tnas_weights::write_atomic;

/// A run's folder: the one place that knows the names of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// The run in this folder, which is created where there is none.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StudyError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(|source| StudyError::Write { path: path.clone(), source })?;
        Ok(Self { path })
    }

    /// The run in this folder, which exists.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StudyError> {
        let path = path.into();
        if path.is_dir() { Ok(Self { path }) } else { Err(StudyError::NoRun { path }) }
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
        &self.path
    }

    /// `lock`: held by the process that writes to the run.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// `study.toml`: resolved settings, seed, reference point, versions.
    pub fn study_file(&self) -> PathBuf {
        self.path.join("study.toml")
    }

    /// `backbone/`: the image model, in diffusers layout.
    pub fn backbone_folder(&self) -> PathBuf {
        self.path.join("backbone")
    }

    /// `supernet/`: checkpoints with optimizer, average, random state and data position.
    pub fn supernet_folder(&self) -> PathBuf {
        self.path.join("supernet")
    }

    /// `profile/<device>.jsonl`: raw measurements with the device's fingerprint.
    pub fn profile_file(&self, device: &str) -> Result<PathBuf, StudyError> {
        Ok(self.path.join("profile").join(format!("{}.jsonl", checked("device", device)?)))
    }

    /// `latency/<device>.json`: the predictor and its accuracy.
    pub fn latency_file(&self, device: &str) -> Result<PathBuf, StudyError> {
        Ok(self.path.join("latency").join(format!("{}.json", checked("device", device)?)))
    }

    /// `study.sqlite`: every candidate.
    pub fn store_file(&self) -> PathBuf {
        self.path.join("study.sqlite")
    }

    /// `history.jsonl`: the candidates in the order of the search, the same for the same seed and measurements.
    pub fn history_file(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// `front.json`: the Pareto archive, predicted beside measured.
    pub fn front_file(&self) -> PathBuf {
        self.path.join("front.json")
    }

    /// `models/<arch-id>/`: a pipeline folder.
    pub fn model_folder(&self, arch_id: &str) -> Result<PathBuf, StudyError> {
        Ok(self.path.join("models").join(checked("architecture", arch_id)?))
    }

    /// `export/<arch-id>/`: what is deployed, and its verification.
    pub fn export_folder(&self, arch_id: &str) -> Result<PathBuf, StudyError> {
        Ok(self.path.join("export").join(checked("architecture", arch_id)?))
    }

    /// `samples/`: generated clips.
    pub fn samples_folder(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// `evaluator/`: the evaluating network and its statistics.
    pub fn evaluator_folder(&self) -> PathBuf {
        self.path.join("evaluator")
    }

    /// `metrics.jsonl`: what the stages log that is the same on every machine.
    pub fn metrics_file(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `times.jsonl`: what the stages log that is not: wall times and rates.
    pub fn times_file(&self) -> PathBuf {
        self.path.join("times.jsonl")
    }

    /// `report/index.html`.
    pub fn report_file(&self) -> PathBuf {
        self.path.join("report").join("index.html")
    }

    /// `stages/<stage>.json`: the stamp of a finished stage.
    pub fn stamp_file(&self, stage: &str) -> Result<PathBuf, StudyError> {
        Ok(self.path.join("stages").join(format!("{}.json", checked("stage", stage)?)))
    }
}

/// A name that stays one file name in the folder it is put in.
fn checked<'a>(what: &'static str, name: &'a str) -> Result<&'a str, StudyError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(StudyError::FileName { what, name: name.into() });
    }
    Ok(name)
}
