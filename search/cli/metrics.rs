use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Figures by stage and step, one JSON object a line in `metrics.jsonl`. No times: a resumed run leaves the same bytes.
pub struct Metrics {
    path: PathBuf,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricLine {
    /// Stage.
    pub stage: String,
    /// Steps done.
    pub step: u64,
    /// Figures.
    pub values: BTreeMap<String, f64>,
}

impl Metrics {
    /// A log at this path.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Appends a line; a full disk is not worth losing a run over, the next checkpoint will say so.
    pub fn record(&mut self, stage: &str, step: u64, figures: &[(&'static str, f64)]) {
        let values = figures.iter().map(|&(name, value)| (name.to_string(), value)).collect();
        let line = MetricLine { stage: stage.into(), step, values };
        let text = serde_json::to_string(&line).unwrap_or_default();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path);
        let _ = file.and_then(|mut file| writeln!(file, "{text}"));
    }

    /// Drops lines of a stage beyond a step: they will come again.
    pub fn truncate_after(&mut self, stage: &str, step: u64) {
        let kept: String = read(&self.path)
            .into_iter()
            .filter(|line| line.stage != stage || line.step <= step)
            .filter_map(|line| serde_json::to_string(&line).ok())
            .map(|line| line + "\n")
            .collect();
        let _ = tnas_weights::write_atomic(&self.path, kept.as_bytes());
    }
}

/// All whole lines; a torn last one is left out.
pub fn read(path: &Path) -> Vec<MetricLine> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
