use std::path::{Path, PathBuf};

use crate::{RecordError, RunFile};

/// The names of a run's files and folders: the one place that spells them.
///
/// Names that come from outside (devices, architectures, stages, arms) are checked, so that every path stays inside the
/// run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFiles {
    root: PathBuf,
}

impl RunFiles {
    /// Of the run in this folder. Nothing is opened.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The run's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder by its path from the run's folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// The file of a record.
    pub fn of<T: RunFile>(&self) -> PathBuf {
        self.path(T::PATH)
    }

    /// `lock`: held by the process that writes to the run.
    pub fn lock(&self) -> PathBuf {
        self.path("lock")
    }

    /// `study.toml`: resolved settings, seed, reference point, versions.
    pub fn study(&self) -> PathBuf {
        self.path("study.toml")
    }

    /// `stages/<stage>.json`: the stamp of a finished stage.
    pub fn stamp(&self, stage: &str) -> Result<PathBuf, RecordError> {
        Ok(self.stamps().join(format!("{}.json", checked("stage", stage)?)))
    }

    /// `stages/`: the stamps.
    pub fn stamps(&self) -> PathBuf {
        self.path("stages")
    }

    /// `stages/<stage>.begun`: key of the settings that a stage's checkpoints belong to.
    pub fn begun(&self, stage: &str) -> Result<PathBuf, RecordError> {
        Ok(self.stamps().join(format!("{}.begun", checked("stage", stage)?)))
    }

    /// `checkpoints/<stage>.safetensors`: weights, optimiser state, averages and position of an unfinished stage.
    pub fn checkpoint(&self, stage: &str) -> Result<PathBuf, RecordError> {
        Ok(self.path("checkpoints").join(format!("{}.safetensors", checked("stage", stage)?)))
    }

    /// `backbone/`: the image model, in diffusers layout.
    pub fn backbone(&self) -> PathBuf {
        self.path("backbone")
    }

    /// `supernet/`.
    pub fn supernet_folder(&self) -> PathBuf {
        self.path("supernet")
    }

    /// `supernet/supernet.safetensors`: weights of every choice.
    pub fn supernet(&self) -> PathBuf {
        self.supernet_folder().join("supernet.safetensors")
    }

    /// `profile/<device>.jsonl`: raw measurements with the device's fingerprint.
    pub fn profile(&self, device: &str) -> Result<PathBuf, RecordError> {
        Ok(self.path("profile").join(format!("{}.jsonl", checked("device", device)?)))
    }

    /// `measure/<device>/`: what is to be measured on another device.
    pub fn remote_profile(&self, device: &str) -> Result<PathBuf, RecordError> {
        Ok(self.path("measure").join(checked("device", device)?))
    }

    /// `latency/<device>.json`: the predictor and its accuracy.
    pub fn latency(&self, device: &str) -> Result<PathBuf, RecordError> {
        Ok(self.path("latency").join(format!("{}.json", checked("device", device)?)))
    }

    /// `study.sqlite`: every candidate.
    pub fn store(&self) -> PathBuf {
        self.path("study.sqlite")
    }

    /// `search/begun`: key of the settings that the store was begun with.
    pub fn search_begun(&self) -> PathBuf {
        self.path("search/begun")
    }

    /// `history.jsonl`: the candidates in the order of the search, the same for the same seed and measurements.
    pub fn history(&self) -> PathBuf {
        self.path("history.jsonl")
    }

    /// `models/`: trained models.
    pub fn models(&self) -> PathBuf {
        self.path("models")
    }

    /// `models/<name>/`: a pipeline folder, of an architecture or of its student.
    pub fn model(&self, name: &str) -> Result<PathBuf, RecordError> {
        Ok(self.models().join(checked("model", name)?))
    }

    /// `models/<architecture>-student<variant>/`: a few-step student. The study's own has no variant.
    pub fn student(&self, arch_id: &str, variant: &str) -> Result<PathBuf, RecordError> {
        self.model(&format!("{arch_id}-student{variant}"))
    }

    /// `models/compared/<arm>/`: an architecture trained by `compare`.
    pub fn compared_model(&self, arm: &str) -> Result<PathBuf, RecordError> {
        Ok(self.models().join("compared").join(checked("arm", arm)?))
    }

    /// `models/compared/<arm>.safetensors`: weights of an architecture that the winner was compared with.
    pub fn compared_weights(&self, arm: &str) -> Result<PathBuf, RecordError> {
        Ok(self.models().join("compared").join(format!("{}.safetensors", checked("arm", arm)?)))
    }

    /// `export/<architecture>/`: what is deployed, and its verification.
    pub fn export(&self, arch_id: &str) -> Result<PathBuf, RecordError> {
        Ok(self.path("export").join(checked("architecture", arch_id)?))
    }

    /// `samples/`: generated clips.
    pub fn samples(&self) -> PathBuf {
        self.path("samples")
    }

    /// `samples/sheet.png`: clips of several kinds on one sheet.
    pub fn sheet(&self) -> PathBuf {
        self.samples().join("sheet.png")
    }

    /// `samples/sheet-<kind>.png`.
    pub fn sheet_of(&self, kind: &str) -> PathBuf {
        self.samples().join(format!("sheet-{kind}.png"))
    }

    /// `samples/<index>.gif`: a real clip with the clips sampled from its caption.
    pub fn sample(&self, index: usize) -> PathBuf {
        self.samples().join(format!("{index:02}.gif"))
    }

    /// `samples/evaluation.json`: figures of the sampled clips.
    pub fn samples_evaluation(&self) -> PathBuf {
        self.samples().join(EVALUATION)
    }

    /// `samples/during/`: sheets of clips sampled during training.
    pub fn previews(&self) -> PathBuf {
        self.samples().join("during")
    }

    /// `samples/during/<stage>/`.
    pub fn previews_of(&self, stage: &str) -> Result<PathBuf, RecordError> {
        Ok(self.previews().join(checked("stage", stage)?))
    }

    /// `samples/during/<stage>/<step>.png`.
    pub fn preview(&self, stage: &str, step: u64) -> Result<PathBuf, RecordError> {
        Ok(self.previews_of(stage)?.join(format!("{step:06}.png")))
    }

    /// `evaluator/`: the evaluator network and its statistics.
    pub fn evaluator(&self) -> PathBuf {
        self.path("evaluator")
    }

    /// `evaluator/evaluator.safetensors`: its weights.
    pub fn evaluator_weights(&self) -> PathBuf {
        self.evaluator().join("evaluator.safetensors")
    }

    /// `evaluator/whitening.json`: whitening transform of its features, fitted on training clips.
    pub fn whitening(&self) -> PathBuf {
        self.evaluator().join("whitening.json")
    }

    /// `evaluation/`: clips compared with real clips.
    pub fn evaluation(&self) -> PathBuf {
        self.path("evaluation")
    }

    /// `evaluation/sweep/`: the same of the students of a sweep.
    pub fn sweep(&self) -> PathBuf {
        self.evaluation().join("sweep")
    }

    /// `evaluation/arms/<key>.json`: scores of clips that were sampled once.
    pub fn scored_arm(&self, key: &str) -> Result<PathBuf, RecordError> {
        Ok(self.evaluation().join("arms").join(format!("{}.json", checked("arm", key)?)))
    }

    /// `metrics.jsonl`: figures of each training step that are the same on every machine.
    pub fn metrics(&self) -> PathBuf {
        self.path("metrics.jsonl")
    }

    /// `times.jsonl`: figures of each training step that are not: wall times and rates.
    pub fn times(&self) -> PathBuf {
        self.path("times.jsonl")
    }

    /// `tensorboard/<stage>/`: event files.
    pub fn tensorboard(&self, stage: &str) -> Result<PathBuf, RecordError> {
        Ok(self.path("tensorboard").join(checked("stage", stage)?))
    }

    /// `report/`.
    pub fn report(&self) -> PathBuf {
        self.path("report")
    }

    /// `report/index.html`.
    pub fn report_page(&self) -> PathBuf {
        self.report().join(REPORT_PAGE)
    }
}

/// File name of the report's page.
pub const REPORT_PAGE: &str = "index.html";

/// File name of an evaluation, in `evaluation/`, `samples/` and in the folder of a sweep.
pub const EVALUATION: &str = "evaluation.json";

/// File name of the evaluator's predictions, next to an evaluation.
pub const EVALUATED_LABELS: &str = "evaluated.json";

/// Folder of contact sheets next to an evaluation.
pub const EVALUATION_SHEETS: &str = "sheets";

/// File names of an export.
pub mod export {
    /// The few-step student.
    pub const DENOISER: &str = "denoiser.onnx";
    /// A recorded call of it.
    pub const GOLDEN: &str = "golden.safetensors";
    /// The decoder of the autoencoder.
    pub const DECODER: &str = "decoder.onnx";
    /// A recorded call of it.
    pub const GOLDEN_DECODER: &str = "golden-decoder.safetensors";
    /// [`ExportSummary`](crate::ExportSummary).
    pub const VERIFICATION: &str = "verify.json";
}

/// A name that stays one file name in the folder it is put in.
fn checked<'a>(what: &'static str, name: &'a str) -> Result<&'a str, RecordError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(RecordError::FileName { what, name: name.into() });
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_inside() {
        let files = RunFiles::new("runs/a");
        assert!(
            files.profile("iphone-15.pro_a17").is_ok_and(|path| path.ends_with("profile/iphone-15.pro_a17.jsonl"))
        );
        for name in ["", ".", "..", "../x", "a/b", "a\\b", "a b", "ü", "a\0"] {
            assert!(files.profile(name).is_err() && files.stamp(name).is_err(), "{name:?}");
            assert!(files.model(name).is_err() && files.compared_model(name).is_err(), "{name:?}");
        }
    }
}
