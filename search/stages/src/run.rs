//! A run directory.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use tnas_record::{HypervolumeSummary, RunFile, RunFiles, Summary};
use tnas_study::{MetricsLog, RunDir, Stage, canonical_json, hash_bytes};

use crate::settings::ReferencePoint;

/// Raise where a stage's work or a stored file changes its meaning: what earlier versions did is done anew.
const STAGE_VERSION: u32 = 6;

/// A run directory as the stages see it: the files that tnas-study knows, and those of the stages.
#[derive(Clone, Debug)]
pub struct Run {
    dir: RunDir,
}

impl Run {
    /// Makes the folder where it is missing.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let dir = RunDir::create(root)?;
        Ok(Self { dir })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Image model in diffusers layout.
    pub fn backbone(&self) -> PathBuf {
        self.files().backbone()
    }

    /// A stage's checkpoint.
    pub fn checkpoint(&self, stage: &str) -> anyhow::Result<PathBuf> {
        Ok(self.files().checkpoint(stage)?)
    }

    /// Supernet weights.
    pub fn supernet(&self) -> PathBuf {
        self.files().supernet()
    }

    /// Raw measurements of a device.
    pub fn profile(&self, device: &str) -> anyhow::Result<PathBuf> {
        Ok(self.files().profile(device)?)
    }

    /// Latency predictor of a device.
    pub fn latency(&self, device: &str) -> anyhow::Result<PathBuf> {
        Ok(self.files().latency(device)?)
    }

    /// A trained model.
    pub fn model(&self, name: &str) -> anyhow::Result<PathBuf> {
        Ok(self.files().model(name)?)
    }

    /// An export.
    pub fn export(&self, name: &str) -> anyhow::Result<PathBuf> {
        Ok(self.files().export(name)?)
    }

    /// The folder as tnas-study sees it: stages, stamps, lock.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// A stage by its name; what it depends on is added by the caller.
    pub fn stage(&self, name: &str) -> anyhow::Result<Stage> {
        Ok(Stage::new(name).format_version(STAGE_VERSION))
    }

    /// Hash of settings.
    pub fn key(&self, settings: &impl Serialize) -> anyhow::Result<String> {
        Ok(hash_bytes(canonical_json(&serde_json::to_value(settings)?)?.as_bytes()))
    }

    /// The run's figures by step.
    pub fn metrics(&self) -> anyhow::Result<MetricsLog> {
        Ok(MetricsLog::open(self.files().metrics())?)
    }

    /// The run's times by step: what differs from run to run.
    pub fn times(&self) -> anyhow::Result<MetricsLog> {
        Ok(MetricsLog::open(self.files().times())?)
    }

    /// The names of its files.
    pub fn files(&self) -> &RunFiles {
        self.dir.files()
    }

    /// Figures of a stage, if it ran.
    pub fn figures<T: Summary>(&self) -> Option<T> {
        self.dir.figures(T::STAGE).ok().flatten()
    }

    /// A file of the run, where a stage has left it.
    pub fn read<T: RunFile>(&self) -> anyhow::Result<Option<T>> {
        tnas_record::read(self.files()).context("failed to use the run")
    }

    /// Writes a file of the run whole or not at all.
    pub fn write_record<T: RunFile>(&self, record: &T) -> anyhow::Result<()> {
        self.write_json(T::PATH, record)
    }

    /// The point that the search's hypervolumes were taken to.
    pub fn reference_point(&self) -> Option<ReferencePoint> {
        ReferencePoint::of(&self.figures::<HypervolumeSummary>()?.reference_point)
    }

    /// Writes JSON whole or not at all.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value)? + "\n";
        self.write(name, text.as_bytes())
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.dir.write(self.path(name), bytes)?)
    }
}
