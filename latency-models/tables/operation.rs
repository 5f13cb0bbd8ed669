use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::TableError;

/// A row.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Operation {
    pub(crate) op: String,
    pub(crate) device: String,
    pub(crate) latency_ms: f64,
    #[serde(rename = "B")]
    pub(crate) b: f64,
    #[serde(rename = "M")]
    pub(crate) m: Option<f64>,
    #[serde(rename = "N")]
    pub(crate) n: Option<f64>,
    #[serde(rename = "K_or_H")]
    pub(crate) k: f64,
}

/// What a maker says of a card.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct GraphicsCard {
    #[serde(rename = "Mem_Bw")]
    pub(crate) gigabytes_per_second: f64,
    #[serde(rename = "Num_Sm")]
    pub(crate) processors: f64,
    #[serde(rename = "Core_Per_SM")]
    pub(crate) cores: f64,
    #[serde(rename = "Freq")]
    pub(crate) megahertz: f64,
    #[serde(rename = "L2Cache")]
    pub(crate) cache_megabytes: f64,
}

/// Kinds of operation that are learned together, as NeuSight reports them.
pub(crate) const CLASSES: [&str; 5] = ["BMM", "FC", "EW", "Softmax", "LN"];

/// Learning rows of a class, at least.
pub(crate) const LEAST_ROWS: usize = 20;

impl Operation {
    pub(crate) fn class(&self) -> &'static str {
        match self.op.as_str() {
            "bmm" => "BMM",
            "linear" => "FC",
            "softmax" => "Softmax",
            "ln" => "LN",
            _ => "EW",
        }
    }

    /// Floating-point operations, bytes of f32 read and written, tiles of 128 × 128.
    pub(crate) fn work(&self) -> (f64, f64, f64) {
        let (b, k) = (self.b, self.k);
        if let (Some(m), Some(n)) = (self.m, self.n) {
            let tiles = b * (m / 128.0).ceil() * (n / 128.0).ceil();
            // A linear layer's weights are read once for all of the batch.
            let weights = if self.class() == "FC" { n * k } else { b * n * k };
            return (2.0 * b * m * n * k, 4.0 * (b * m * k + weights + b * m * n), tiles);
        }
        let touched = match self.op.as_str() {
            "add" | "mul" | "div" | "pow" => 3.0,
            _ => 2.0,
        };
        (5.0 * b * k, 4.0 * touched * b * k, (b * k / 16384.0).ceil())
    }
}

/// Reads operations of a CSV file.
pub(crate) fn read_operations(path: &Path) -> Result<Vec<Operation>, TableError> {
    let fail = |line: usize, message: String| TableError::Table { path: path.to_path_buf(), line, message };
    let mut reader = csv::Reader::from_path(path).map_err(|error| fail(0, error.to_string()))?;
    let mut operations = Vec::new();
    for (index, row) in reader.deserialize().enumerate() {
        let row: Operation = row.map_err(|error| fail(index + 2, error.to_string()))?;
        let sizes = [Some(row.latency_ms), Some(row.b), row.m, row.n, Some(row.k)];
        if let Some(bad) = sizes.into_iter().flatten().find(|size| !(size.is_finite() && *size > 0.0)) {
            return Err(fail(index + 2, format!("{bad} is no size and no latency; both are above 0")));
        }
        operations.push(row);
    }
    if operations.len() < LEAST_ROWS {
        return Err(fail(0, format!("{} rows; at least {LEAST_ROWS} are needed", operations.len())));
    }
    Ok(operations)
}

/// Figures of others, where they are there: two lines of headings, then learners.
pub(crate) fn read_published(path: &Path) -> BTreeMap<String, BTreeMap<String, f64>> {
    let mut published = BTreeMap::new();
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(path);
    let Ok(mut reader) = reader else { return published };
    for record in reader.records().filter_map(Result::ok).skip(2) {
        let mut figures = BTreeMap::new();
        for (index, value) in record.iter().skip(1).enumerate() {
            let place = if index < CLASSES.len() { "in" } else { "out" };
            if let (Some(class), Ok(value)) = (CLASSES.get(index % CLASSES.len()), value.parse::<f64>()) {
                figures.insert(format!("{place}/{class}"), value / 100.0);
            }
        }
        published.insert(record.get(0).unwrap_or_default().to_string(), figures);
    }
    published
}
