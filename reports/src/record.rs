use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use tnas_record::{ObjectiveSet, ObjectiveValues};

use crate::ReportError;

/// What the stages of a run left, as far as they ran.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// Name of the run's folder.
    pub name: String,
    /// Figures of each finished stage.
    pub stages: BTreeMap<String, Value>,
    /// What the search traded off.
    pub objectives: ObjectiveSet,
    /// Every candidate of the search that keeps the limits.
    pub candidates: Vec<CandidateRow>,
    /// What each choice at each slot does alone.
    pub local_scores: Vec<LocalScore>,
    /// Members of the front.
    pub front: Vec<FrontRow>,
    /// Measured against predicted on held-out architectures.
    pub latency: Vec<LatencyPoint>,
    /// Training figures by stage and step.
    pub metrics: Vec<MetricRow>,
    /// Pictures: file name and bytes.
    pub pictures: Vec<(String, Vec<u8>)>,
    /// Sheets of clips sampled while a stage trained: stage, step and bytes.
    pub previews: Vec<(String, u64, Vec<u8>)>,
    /// Captions of the sampled clips, and what their columns are.
    pub captions: Vec<String>,
    /// Columns of a sampled clip's picture.
    pub columns: Vec<String>,
    /// What `evaluate` found; null where it did not run.
    pub evaluation: Value,
    /// Contact sheets of the sets that it evaluated: file name and bytes.
    pub sheets: Vec<(String, Vec<u8>)>,
}

/// A candidate.
#[derive(Clone, Debug, Deserialize)]
pub struct CandidateRow {
    /// Architecture.
    pub arch_id: String,
    /// Its text.
    pub genotype: String,
    /// Generation that proposed it.
    pub generation: u32,
    /// Values of the objectives, by name.
    pub objectives: ObjectiveValues,
    /// Whether it keeps all limits.
    pub feasible: bool,
}

/// One choice at one slot beside no temporal layers, through the supernet.
#[derive(Clone, Debug, Deserialize)]
pub struct LocalScore {
    /// Slot.
    pub slot: String,
    /// Its operators.
    pub choice: String,
    /// Value of each objective with it − without, by name: below 0 where it helps.
    pub changes: ObjectiveValues,
    /// Of the loss's change, paired over clips.
    pub standard_error: Option<f64>,
}

/// A member of the front.
#[derive(Clone, Debug, Deserialize)]
pub struct FrontRow {
    /// Architecture.
    pub arch_id: String,
    /// Its text.
    pub genotype: String,
    /// Values of the objectives as the search saw them, by name.
    pub objectives: ObjectiveValues,
    /// Values that were measured afterwards, by name.
    pub measured: ObjectiveValues,
    /// Weights of the denoiser.
    pub parameters: u64,
    /// Multiply-accumulates of a call.
    pub macs: u64,
    /// Whether it was picked.
    pub winner: bool,
}

/// A held-out architecture's latency.
#[derive(Clone, Debug, Deserialize)]
pub struct LatencyPoint {
    /// Measured milliseconds.
    pub measured_ms: f64,
    /// Predicted milliseconds.
    pub predicted_ms: f64,
    /// Lower end of the predicted interval.
    pub low_ms: f64,
    /// Upper end.
    pub high_ms: f64,
    /// What a line through multiply-accumulates alone predicts.
    pub macs_fit_ms: f64,
}

/// A line of metrics.jsonl.
#[derive(Clone, Debug, Deserialize)]
pub struct MetricRow {
    /// Stage.
    pub stage: String,
    /// Steps done.
    pub step: u64,
    /// Figures.
    pub values: BTreeMap<String, Value>,
}

impl RunRecord {
    /// Reads what is there; a stage that has not run leaves its part empty.
    pub fn read(run: &Path) -> Result<Self, ReportError> {
        let name = run.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stages = stages(run)?;
        let list = |stage: &str, key: &str| stages.get(stage).and_then(|s| s.get(key)).cloned();
        let [pictures, sheets] = ["samples", "evaluation/sheets"].map(|name| pictures(&run.join(name)));
        let captions = optional_json(&run.join("samples/captions.json"))?.unwrap_or(Value::Null);
        let words = |key: &str| -> Vec<String> {
            let list = captions[key].as_array().into_iter().flatten();
            list.filter_map(|word| word.as_str().map(String::from)).collect()
        };
        let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
        Ok(Self {
            name,
            objectives: objectives(run.join("search/candidates.json"))?,
            candidates: rows(run.join("search/candidates.json"))?,
            local_scores: rows(run.join("search/local_scores.json"))?,
            front: rows(run.join("front.json"))?,
            latency: list("latency", "held_out_points")
                .and_then(|v| serde_json::from_value(v).ok())
                .unwrap_or_default(),
            metrics: metrics.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            pictures: pictures?,
            previews: previews(&run.join("samples/during"))?,
            captions: words("captions"),
            columns: words("columns"),
            evaluation: optional_json(&run.join("evaluation/evaluation.json"))?.unwrap_or(Value::Null),
            sheets: sheets?,
            stages,
        })
    }

    /// A figure of a stage.
    pub fn figure(&self, stage: &str, key: &str) -> Option<&Value> {
        self.stages.get(stage)?.get(key)
    }
}

/// Reads the objectives of a search's candidates.
fn objectives(path: PathBuf) -> Result<ObjectiveSet, ReportError> {
    let Some(json) = optional_json(&path)? else { return Ok(ObjectiveSet::default()) };
    let fail = |error: serde_json::Error| ReportError::Read {
        path,
        message: format!("{error}; run `tnas search` again, whose candidates have objectives by name"),
    };
    serde_json::from_value(json["objectives"].clone()).map_err(fail)
}

/// Reads `{"format_version": …, "rows": […]}`.
fn rows<T: for<'a> Deserialize<'a>>(path: PathBuf) -> Result<Vec<T>, ReportError> {
    let Some(json) = optional_json(&path)? else { return Ok(Vec::new()) };
    let rows = json.get("rows").cloned().unwrap_or(Value::Array(Vec::new()));
    serde_json::from_value(rows).map_err(|error| ReportError::Read { path, message: error.to_string() })
}

fn optional_json(path: &Path) -> Result<Option<Value>, ReportError> {
    let fail = |message: String| ReportError::Read { path: path.into(), message };
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(error.to_string())),
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| fail(error.to_string())),
    }
}

fn stages(run: &Path) -> Result<BTreeMap<String, Value>, ReportError> {
    let mut stages = BTreeMap::new();
    for path in files(&run.join("stages"), "json") {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(stamp) = optional_json(&path)? {
            stages.insert(stem, stamp["summary"].clone());
        }
    }
    Ok(stages)
}

fn pictures(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, ReportError> {
    let paths = [files(folder, "png"), files(folder, "gif")].concat();
    let read = |path: PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = fs::read(&path).map_err(|error| ReportError::Read { path, message: error.to_string() })?;
        Ok((name, bytes))
    };
    paths.into_iter().map(read).collect()
}

/// Sheets `STAGE/STEP.png`, by stage and step.
fn previews(folder: &Path) -> Result<Vec<(String, u64, Vec<u8>)>, ReportError> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut previews = Vec::new();
    for stage in entries.filter(|path| path.is_dir()) {
        let name = stage.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for (file, bytes) in pictures(&stage)? {
            if let Some(step) = file.strip_suffix(".png").and_then(|step| step.parse().ok()) {
                previews.push((name.clone(), step, bytes));
            }
        }
    }
    previews.sort();
    Ok(previews)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}
