use crate::stamp::StaleReason;
use crate::{RunDir, StudyError, canonical_json, hash_bytes, hash_path};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tnas_record::{FormatVersion, HashedPath, StageStamp, Summary, Versioned, from_json, to_json};

/// A stage about to run, and all that its result depends on: settings, contents of inputs, version of its code.
///
/// It reads its inputs once: a stage that is asked about before the work and finished after it is stamped with the
/// inputs that the work began with.
#[derive(Debug)]
pub struct Stage {
    name: String,
    format_version: u32,
    settings: BTreeMap<String, Value>,
    inputs: Vec<PathBuf>,
    outputs: Vec<PathBuf>,
    hashed_inputs: OnceLock<Vec<HashedPath>>,
}

impl Stage {
    /// A stage without settings, inputs or outputs.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            format_version: 1,
            settings: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            hashed_inputs: OnceLock::new(),
        }
    }

    /// The version of what the stage does; raise it when the same settings and inputs give another result. At first 1.
    pub fn format_version(mut self, version: u32) -> Self {
        self.format_version = version;
        self
    }

    /// Resolved settings that the result depends on, under a name that is printed when they change.
    pub fn setting(mut self, name: impl Into<String>, value: &impl Serialize) -> Result<Self, StudyError> {
        let name = name.into();
        let value = serde_json::to_value(value).map_err(|e| StudyError::ToJson {
            what: format!("the setting {name} of the stage {}", self.name),
            message: e.to_string(),
        })?;
        self.settings.insert(name, value);
        Ok(self)
    }

    /// A file or folder that is read; its contents count, its place does not.
    pub fn input(self, path: impl Into<PathBuf>) -> Self {
        self.inputs([path])
    }

    /// Several inputs, whose order counts.
    pub fn inputs<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.inputs.extend(paths.into_iter().map(P::into));
        self.hashed_inputs = OnceLock::new();
        self
    }

    /// A file or folder of the run that is written and that no other stage changes.
    pub fn output(self, path: impl Into<PathBuf>) -> Self {
        self.outputs([path])
    }

    /// Several outputs.
    pub fn outputs<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.outputs.extend(paths.into_iter().map(P::into));
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn hashed_inputs(&self) -> Result<&[HashedPath], StudyError> {
        if let Some(hashed) = self.hashed_inputs.get() {
            return Ok(hashed);
        }
        let hash = |path: &PathBuf| Ok(HashedPath { path: path.clone(), sha256: hash_path(path)? });
        let hashed = self.inputs.iter().map(hash).collect::<Result<_, StudyError>>()?;
        Ok(self.hashed_inputs.get_or_init(|| hashed))
    }

    /// SHA-256 of everything that the result depends on.
    pub fn key(&self) -> Result<String, StudyError> {
        let inputs: Vec<_> = self.hashed_inputs()?.iter().map(|input| &input.sha256).collect();
        let parts = KeyParts {
            stamp_version: StageStamp::FORMAT_VERSION,
            stage: &self.name,
            stage_version: self.format_version,
            settings: &self.settings,
            inputs,
        };
        Ok(hash_bytes(canonical_json(&parts)?.as_bytes()))
    }
}

/// Everything that a stage's result depends on, as it is hashed.
#[derive(Serialize)]
struct KeyParts<'a> {
    stamp_version: u32,
    stage: &'a str,
    stage_version: u32,
    settings: &'a BTreeMap<String, Value>,
    inputs: Vec<&'a String>,
}

impl RunDir {
    /// Whether the stage has finished with these settings and input contents, and its outputs are still what it wrote.
    pub fn is_current(&self, stage: &Stage) -> Result<bool, StudyError> {
        Ok(self.stale_reason(stage)?.is_none())
    }

    /// Why the stage must run, or `None` if it is current.
    pub fn stale_reason(&self, stage: &Stage) -> Result<Option<StaleReason>, StudyError> {
        let stamp = match self.stamp(&stage.name)? {
            Ok(stamp) => stamp,
            Err(reason) => return Ok(Some(reason)),
        };
        if let Some(missing) = stage.inputs.iter().find(|path| !path.exists()) {
            return Ok(Some(StaleReason::InputMissing(missing.clone())));
        }
        if stamp.key != stage.key()? {
            return Ok(Some(self.difference(&stamp, stage)?));
        }
        for path in &stage.outputs {
            let path = self.relative(&stage.name, path)?;
            if stamp.outputs.iter().all(|output| output.path != path) {
                return Ok(Some(StaleReason::OutputMissing(path)));
            }
        }
        for output in &stamp.outputs {
            let path = self.path().join(&output.path);
            if !path.exists() {
                return Ok(Some(StaleReason::OutputMissing(output.path.clone())));
            }
            if hash_path(path)? != output.sha256 {
                return Ok(Some(StaleReason::OutputChanged(output.path.clone())));
            }
        }
        Ok(None)
    }

    /// Records that the stage has finished, with the hashes of its outputs and a summary of its result.
    pub fn finish(&self, stage: &Stage, summary: &impl Serialize) -> Result<(), StudyError> {
        let figures = || format!("the figures of the stage {}", stage.name);
        let summary = serde_json::to_value(summary)
            .map_err(|e| StudyError::ToJson { what: figures(), message: e.to_string() })?;
        let output = |path: &PathBuf| {
            let path = self.relative(&stage.name, path)?;
            let sha256 = hash_path(self.path().join(&path))?;
            Ok(HashedPath { path, sha256 })
        };
        let stamp = StageStamp {
            format_version: FormatVersion,
            stage: stage.name.clone(),
            stage_version: stage.format_version,
            key: stage.key()?,
            settings: stage.settings.clone(),
            inputs: stage.hashed_inputs()?.to_vec(),
            outputs: stage.outputs.iter().map(output).collect::<Result<_, StudyError>>()?,
            summary,
        };
        let what = || format!("the stamp of the stage {}", stage.name);
        let bytes = to_json(&stamp).map_err(|message| StudyError::ToJson { what: what(), message })?;
        self.write(self.files().stamp(&stage.name)?, &bytes)
    }

    /// The figures of a finished stage; none where it has not finished, or finished as another version of the program.
    pub fn figures<T: Summary>(&self, stage: &str) -> Result<Option<T>, StudyError> {
        Ok(self.stamp(stage)?.ok().and_then(|stamp| stamp.figures().ok()))
    }

    /// The stamp of a finished stage, or why there is none that counts.
    pub fn stamp(&self, stage: &str) -> Result<Result<StageStamp, StaleReason>, StudyError> {
        let path = self.files().stamp(stage)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(from_json(&bytes).map_err(StaleReason::Unreadable)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Err(StaleReason::NotFinished)),
            Err(source) => Err(StudyError::Read { path, source }),
        }
    }

    /// What of the key differs.
    fn difference(&self, stamp: &StageStamp, stage: &Stage) -> Result<StaleReason, StudyError> {
        if stamp.stage_version != stage.format_version {
            return Ok(StaleReason::Version { finished: stamp.stage_version, now: stage.format_version });
        }
        let settings = |map: &BTreeMap<String, Value>| map.clone().into_iter().collect::<Value>();
        if let Some(reason) = StaleReason::setting(&settings(&stamp.settings), &settings(&stage.settings)) {
            return Ok(reason);
        }
        let inputs = stage.hashed_inputs()?;
        let changed = inputs
            .iter()
            .enumerate()
            .find(|(index, input)| stamp.inputs.get(*index).is_none_or(|before| before.sha256 != input.sha256));
        Ok(match changed {
            Some((_, input)) => StaleReason::InputChanged(input.path.clone()),
            None => StaleReason::FewerInputs { finished: stamp.inputs.len(), now: inputs.len() },
        })
    }

    fn relative(&self, stage: &str, path: &Path) -> Result<PathBuf, StudyError> {
        let inside = path.strip_prefix(self.path()).unwrap_or(path);
        let plain = inside.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if inside.as_os_str().is_empty() || !plain {
            let (stage, path, run) = (stage.into(), path.into(), self.path().into());
            return Err(StudyError::OutsideRun { stage, path, run });
        }
        Ok(inside.into())
    }
}
