use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::{ArchFeatures, nnls::nnls};

/// Latency from counted work, in the manner of a roofline (Williams et al. 2009): each kind of work at its own speed, memory
/// traffic and launches on top, and what other measurements tell as a fraction. No term can make a network faster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RooflinePrior {
    /// What a call costs before any work.
    pub constant_ms: f64,
    /// Per multiply-accumulate of convolutions.
    pub conv_ms_per_mac: f64,
    /// Of linear layers and products.
    pub linear_ms_per_mac: f64,
    /// Of attention.
    pub attention_ms_per_mac: f64,
    /// Per byte read or written.
    pub ms_per_byte: f64,
    /// Per byte that only changes its place.
    pub moving_ms_per_byte: f64,
    /// Per byte that is normalised.
    pub norm_ms_per_byte: f64,
    /// Per operation.
    pub ms_per_launch: f64,
    /// Per millisecond of each hint.
    #[serde(default)]
    pub per_hint: Vec<f64>,
}

const TERMS: usize = 8;

/// Hints at most: every set of terms is tried.
pub(crate) const MOST_HINTS: usize = 4;

impl RooflinePrior {
    /// Non-negative least squares of relative errors.
    pub(crate) fn fit(features: &[&ArchFeatures], latency_ms: &[f64]) -> Self {
        let rows: Vec<Vec<f64>> =
            features.iter().map(|features| [&terms(features)[..], &features.hints_ms].concat()).collect();
        let columns = rows.first().map_or(TERMS, Vec::len);
        let a = DMatrix::from_fn(rows.len(), columns, |i, j| rows[i][j] / latency_ms[i]);
        let x = nnls(&a, &DVector::from_element(rows.len(), 1.0));
        Self {
            constant_ms: x[0],
            conv_ms_per_mac: x[1],
            linear_ms_per_mac: x[2],
            attention_ms_per_mac: x[3],
            ms_per_byte: x[4],
            moving_ms_per_byte: x[5],
            norm_ms_per_byte: x[6],
            ms_per_launch: x[7],
            per_hint: x.as_slice()[TERMS..].to_vec(),
        }
    }

    /// Milliseconds.
    pub fn predict_ms(&self, features: &ArchFeatures) -> f64 {
        let speeds = [
            self.constant_ms,
            self.conv_ms_per_mac,
            self.linear_ms_per_mac,
            self.attention_ms_per_mac,
            self.ms_per_byte,
            self.moving_ms_per_byte,
            self.norm_ms_per_byte,
            self.ms_per_launch,
        ];
        let counted: f64 = speeds.iter().zip(terms(features)).map(|(speed, term)| speed * term).sum();
        counted + self.per_hint.iter().zip(&features.hints_ms).map(|(share, ms)| share * ms).sum::<f64>()
    }
}

fn terms(features: &ArchFeatures) -> [f64; TERMS] {
    [
        1.0,
        features.macs_of(&["Conv2d", "Conv3d"]) as f64,
        features.macs_of(&["Linear", "MatMul"]) as f64,
        features.macs_of(&["Attention"]) as f64,
        features.moved_bytes as f64,
        features.bytes_of(&["Transpose", "Concat", "Slice", "ResizeNearest"]) as f64,
        features.bytes_of(&["GroupNorm", "LayerNorm", "Softmax"]) as f64,
        features.launches as f64,
    ]
}
