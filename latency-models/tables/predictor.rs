use std::path::Path;

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::{TableError, drift::DriftModel};
use crate::core::{Encoding, LEAST_LEVEL, LENGTHS, Level, Model, median};

/// What remains of a learned device when no interval of its own is asked for: fast, and a file.
///
/// Values of a row are those of the table's features, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablePredictor {
    /// 2.
    pub format_version: u32,
    /// Device that it speaks of.
    pub device: String,
    /// Half the width of a 90 % interval, relative to the prediction, as it is for the middle one of the rows learned from.
    pub relative_interval: f64,
    pub(crate) unit_ms: f64,
    pub(crate) floor_ms: f64,
    pub(crate) encoding: Encoding,
    pub(crate) relative: Sum,
    /// Share by which the device was slower when it was last measured, and what it is a fraction of.
    pub(crate) drift: Option<(f64, Sum)>,
    pub(crate) near: Option<NearRows>,
}

/// A constant, and a weight for each number of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sum {
    pub(crate) constant: f64,
    pub(crate) weights: Vec<f64>,
}

/// Learned rows, and what being near them adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NearRows {
    /// Numbers of a row that count for the distance.
    pub(crate) columns: Vec<usize>,
    pub(crate) shrink: f64,
    /// Amplitude and squared length.
    pub(crate) curves: Vec<(f64, f64)>,
    /// `[rows][columns]`, and the weight of each.
    pub(crate) rows: Vec<(Vec<f64>, f64)>,
}

impl TablePredictor {
    /// Only this version can be read.
    pub const FORMAT_VERSION: u32 = 2;

    /// What predicts without intervals of its own.
    pub(crate) fn of(device: &str, encoding: &Encoding, fitted: &DriftModel) -> Self {
        let model = &fitted.model;
        let sum = |constant: f64, weights: &DVector<f64>| {
            let (centre, weights) = encoding.folded(weights.as_slice());
            Sum { constant: constant + centre, weights }
        };
        let level = match &model.level {
            Level::Prior => sum(0.0, &model.priors.parts[0].root.column(0).clone_owned()),
            Level::Fitted { constant, weights } => sum(*constant, weights),
        };
        let places =
            fitted.drift.as_ref().map_or_else(|| vec![0; model.scale.len()], |drift| drift.rows().to_vec());
        let widths = fitted.predict(&model.learned, &places);
        let relative: Vec<f64> = widths.iter().map(|guess| guess.high_ms / guess.mean_ms - 1.0).collect();
        Self {
            format_version: Self::FORMAT_VERSION,
            device: device.into(),
            relative_interval: median(&relative),
            unit_ms: model.unit_ms,
            floor_ms: model.floor_ms,
            encoding: encoding.clone(),
            relative: sum(model.constant, &model.weights),
            drift: fitted.drift.as_ref().map(|drift| (drift.now(), level)),
            near: NearRows::of_model(model),
        }
    }

    /// Milliseconds of rows of feature values.
    pub fn predict_ms(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        const BATCH: usize = 256;
        rows.chunks(BATCH).flat_map(|rows| self.batch(rows)).collect()
    }

    fn batch(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        let mut relative: Vec<f64> = rows.iter().map(|row| 1.0 + self.relative.of(&self.encoding, row)).collect();
        if let Some((share, level)) = &self.drift {
            for (relative, row) in relative.iter_mut().zip(rows) {
                *relative += share * (1.0 + level.of(&self.encoding, row)).max(LEAST_LEVEL);
            }
        }
        if let Some(near) = &self.near {
            let added = near.of(&self.encoding, rows);
            relative.iter_mut().zip(added.iter()).for_each(|(relative, near)| *relative += near);
        }
        relative.into_iter().map(|relative| (relative * self.unit_ms).max(self.floor_ms)).collect()
    }

    /// Writes it: the same measurements and seed give the same bytes.
    pub fn save(&self, path: &Path) -> Result<(), TableError> {
        let fail = |message: String| TableError::Write { path: path.to_path_buf(), message };
        let text = serde_json::to_string(self).map_err(|error| fail(error.to_string()))?;
        std::fs::write(path, text + "\n").map_err(|error| fail(error.to_string()))
    }

    /// Reads what [`Self::save`] wrote.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let fail = |message: String| TableError::Card { path: path.to_path_buf(), message };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let read: Self = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        if read.format_version != Self::FORMAT_VERSION {
            return Err(fail(format!(
                "format_version = {}; {} is known",
                read.format_version,
                Self::FORMAT_VERSION
            )));
        }
        read.check().map_err(fail)?;
        Ok(read)
    }

    fn check(&self) -> Result<(), String> {
        let numbers = self.encoding.numbers();
        let sums = [Some(&self.relative), self.drift.as_ref().map(|(_, level)| level)];
        if sums.iter().flatten().any(|sum| sum.weights.len() != numbers) {
            return Err(format!("weights that are not {numbers}"));
        }
        let Some(near) = &self.near else { return Ok(()) };
        let width = self.encoding.width();
        let sound = near.columns.iter().all(|&column| column < width)
            && near.rows.iter().all(|(row, _)| row.len() == near.columns.len());
        if sound { Ok(()) } else { Err("rows of another width".into()) }
    }
}

impl Sum {
    fn of(&self, encoding: &Encoding, row: &[f64]) -> f64 {
        self.constant + encoding.dot(&self.weights, row)
    }
}

impl NearRows {
    fn of_model(model: &Model) -> Option<Self> {
        let near = &model.near;
        let rows = model.learned.select_columns(&near.columns);
        let rows = rows.row_iter().map(|row| row.iter().copied().collect::<Vec<f64>>());
        (!near.amplitudes.is_empty()).then(|| Self {
            columns: near.columns.clone(),
            shrink: near.shrink,
            curves: near.amplitudes.iter().copied().zip(LENGTHS).collect(),
            rows: rows.zip(near.weights.iter().copied()).collect(),
        })
    }

    fn of(&self, encoding: &Encoding, rows: &[Vec<f64>]) -> DVector<f64> {
        let columns = self.columns.len();
        let encoded = encoding.encode_some(rows, &self.columns);
        let learned = DMatrix::from_fn(columns, self.rows.len(), |j, i| self.rows[i].0[j]);
        let norms: Vec<f64> = learned.column_iter().map(|row| row.norm_squared() * self.shrink).collect();
        let mut squared = &encoded * &learned * (-2.0 * self.shrink);
        let own: Vec<f64> = encoded.row_iter().map(|row| row.norm_squared() * self.shrink).collect();
        let mut sum = DVector::zeros(rows.len());
        for ((mut column, norm), (_, weight)) in squared.column_iter_mut().zip(&norms).zip(&self.rows) {
            for ((d, own), sum) in column.iter_mut().zip(&own).zip(sum.iter_mut()) {
                let squared = (*d + own + norm).max(0.0);
                // Σ a/(1 + d/l) over one denominator: a division takes longer than all the rest.
                let (mut above, mut below) = (0.0, 1.0);
                for (amplitude, length) in &self.curves {
                    above = above * (length + squared) + amplitude * length * below;
                    below *= length + squared;
                }
                *sum += weight * above / below;
            }
        }
        sum
    }
}
