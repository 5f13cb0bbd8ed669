use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::kernel::{Kernel, SHAPES, Shape, distance};

/// What the prior leaves: a table of (slot, choice) and a Gaussian process of their interactions, learned as one process
/// with the sum of both kernels, so that neither takes what belongs to the other.
///
/// Noise is relative: architecture i is seen with deviation `noise · scale[i]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Learned", into = "Learned")]
pub(crate) struct Residual {
    learned: Learned,
    /// Table of the mean: milliseconds per slot and choice.
    table: Vec<Vec<f64>>,
    /// Interactions of the mean: milliseconds per unit of kernel and training row.
    weights: Vec<f64>,
    by_distance: Vec<f64>,
    pairs_by_distance: Vec<f64>,
    /// Inverse of the Cholesky factor of K/(s·sᵀ) + 1.
    whitening: DMatrix<f64>,
}

/// What the rest is computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    kernel: Kernel,
    /// Relative deviation of one measurement.
    noise: f64,
    choices: Vec<Vec<u16>>,
    scale_ms: Vec<f64>,
    residual_ms: Vec<f64>,
}

/// Steps of the search for kernel widths, in units of the noise; 0 switches a part off.
const WIDTHS: [f64; 9] = [0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 12.0, 30.0, 80.0];

impl Residual {
    /// Learns, with the kernel of the highest leave-one-out likelihood (Rasmussen & Williams 2006, §5.4.2), found one
    /// number at a time.
    pub(crate) fn fit(choices: Vec<Vec<u16>>, scale_ms: Vec<f64>, residual_ms: Vec<f64>) -> Option<Self> {
        let start = Kernel { table: WIDTHS[4], pairs: WIDTHS[2], shape: Shape::Pairs };
        let mut learned = Learned { kernel: start, noise: 1.0, choices, scale_ms, residual_ms };
        let distances = learned.distances();
        let mut best = learned.leave_one_out(&distances, &start);
        const ROUNDS: usize = 3;
        for _ in 0..ROUNDS {
            let before = learned.kernel;
            for part in [tables, pairs, shapes] {
                for kernel in part(learned.kernel) {
                    let found = learned.leave_one_out(&distances, &kernel);
                    if let Some((score, noise)) =
                        found.filter(|(score, _)| best.is_none_or(|(most, _)| *score > most))
                    {
                        best = Some((score, noise));
                        learned.kernel = kernel;
                    }
                }
            }
            if learned.kernel == before {
                break;
            }
        }
        learned.noise = best?.1;
        learned.condition()
    }

    /// Learns other rows with the same kernel and noise.
    pub(crate) fn refit(&self, choices: Vec<Vec<u16>>, scale_ms: Vec<f64>, residual_ms: Vec<f64>) -> Option<Self> {
        let Learned { kernel, noise, .. } = self.learned;
        Learned { kernel, noise, choices, scale_ms, residual_ms }.condition()
    }

    /// Expected milliseconds on top of the prior.
    pub(crate) fn mean_ms(&self, choices: &[u16]) -> f64 {
        let entry = |(table, &choice): (&Vec<f64>, &u16)| table.get(usize::from(choice)).copied().unwrap_or(0.0);
        let table: f64 = self.table.iter().zip(choices).map(entry).sum();
        if self.learned.kernel.pairs == 0.0 {
            return table;
        }
        let rows = self.learned.choices.iter().zip(&self.weights);
        let pairs: f64 = rows.map(|(row, weight)| weight * self.pairs_by_distance[distance(row, choices)]).sum();
        table + pairs
    }

    /// Deviation of one measurement, of which `scale_ms` is the prior's latency: what is not known, and noise.
    pub(crate) fn sigma_ms(&self, choices: &[u16], scale_ms: f64) -> f64 {
        let rows = self.learned.choices.iter().zip(&self.learned.scale_ms);
        // Computed in place, row by row of the triangle: w = L⁻¹·k.
        let k: Vec<f64> = rows.map(|(row, scale)| self.by_distance[distance(row, choices)] / scale).collect();
        let mut explained = 0.0;
        for i in 0..k.len() {
            let row = self.whitening.column(i);
            explained += row.iter().zip(&k).take(i + 1).map(|(w, k)| w * k).sum::<f64>().powi(2);
        }
        let unknown = (self.by_distance[0] - explained).max(0.0);
        let least = self.learned.scale_ms.iter().copied().fold(f64::INFINITY, f64::min);
        self.learned.noise * (unknown + scale_ms.max(least).powi(2)).sqrt()
    }

    /// Slots that it speaks of.
    pub(crate) fn slots(&self) -> usize {
        self.table.len()
    }

    /// Architectures learned from.
    pub(crate) fn rows(&self) -> usize {
        self.learned.choices.len()
    }

    /// Milliseconds that each choice adds at each slot.
    pub(crate) fn table(&self) -> &[Vec<f64>] {
        &self.table
    }
}

impl Learned {
    fn slots(&self) -> usize {
        self.choices.first().map_or(0, Vec::len)
    }

    fn distances(&self) -> DMatrix<usize> {
        let n = self.choices.len();
        DMatrix::from_fn(n, n, |i, j| distance(&self.choices[i], &self.choices[j]))
    }

    /// K/(s·sᵀ) + 1, in units of the noise. Widths are relative: of the mean scale.
    fn covariance(&self, distances: &DMatrix<usize>, by_distance: &[f64]) -> DMatrix<f64> {
        let n = self.choices.len();
        DMatrix::from_fn(n, n, |i, j| {
            let unit = if i == j { 1.0 } else { 0.0 };
            by_distance[distances[(i, j)]] / (self.scale_ms[i] * self.scale_ms[j]) + unit
        })
    }

    /// Kernel values in squared milliseconds per unit of noise.
    fn in_ms(&self, values: Vec<f64>) -> Vec<f64> {
        let unit = self.unit_ms().powi(2);
        values.into_iter().map(|value| unit * value).collect()
    }

    fn unit_ms(&self) -> f64 {
        self.scale_ms.iter().sum::<f64>() / self.scale_ms.len().max(1) as f64
    }

    fn target(&self) -> DVector<f64> {
        DVector::from_fn(self.choices.len(), |i, _| self.residual_ms[i] / self.scale_ms[i])
    }

    /// Log likelihood of each row given the others, and the noise that makes it highest.
    fn leave_one_out(&self, distances: &DMatrix<usize>, kernel: &Kernel) -> Option<(f64, f64)> {
        let by_distance = self.in_ms(kernel.by_distance(self.slots()));
        let inverse = self.covariance(distances, &by_distance).cholesky()?.inverse();
        let alpha = &inverse * self.target();
        let n = alpha.len() as f64;
        // Residual α_i/K⁻¹_ii with variance 1/K⁻¹_ii.
        let variance = alpha.iter().zip(inverse.diagonal().iter()).map(|(a, k)| a * a / k).sum::<f64>() / n;
        let variance = variance.max(LEAST_NOISE.powi(2));
        let logs: f64 = inverse.diagonal().iter().map(|k| k.ln()).sum();
        Some((0.5 * logs - 0.5 * n * variance.ln(), variance.sqrt()))
    }

    fn condition(self) -> Option<Residual> {
        let slots = self.slots();
        let by_distance = self.in_ms(self.kernel.by_distance(slots));
        let pairs_by_distance = self.in_ms(self.kernel.pairs_by_distance(slots));
        let cholesky = self.covariance(&self.distances(), &by_distance).cholesky()?;
        let alpha = cholesky.solve(&self.target());
        let weights: Vec<f64> = alpha.iter().zip(&self.scale_ms).map(|(alpha, scale)| alpha / scale).collect();
        let per_equal_slot = self.unit_ms().powi(2) * self.kernel.per_equal_slot(slots);
        let mut table: Vec<Vec<f64>> = vec![Vec::new(); slots];
        for (row, weight) in self.choices.iter().zip(&weights) {
            for (entries, &choice) in table.iter_mut().zip(row) {
                let choice = usize::from(choice);
                entries.resize(entries.len().max(choice + 1), 0.0);
                entries[choice] += per_equal_slot * weight;
            }
        }
        let n = self.choices.len();
        // Transposed, so that a row of the triangle lies in one piece.
        let whitening = cholesky.l().solve_lower_triangular(&DMatrix::identity(n, n))?.transpose();
        Some(Residual { learned: self, table, weights, by_distance, pairs_by_distance, whitening })
    }
}

/// No device repeats itself more exactly.
const LEAST_NOISE: f64 = 1e-6;

fn tables(kernel: Kernel) -> Vec<Kernel> {
    WIDTHS.map(|table| Kernel { table, ..kernel }).to_vec()
}

fn pairs(kernel: Kernel) -> Vec<Kernel> {
    WIDTHS.map(|pairs| Kernel { pairs, ..kernel }).to_vec()
}

fn shapes(kernel: Kernel) -> Vec<Kernel> {
    SHAPES.map(|shape| Kernel { shape, ..kernel }).to_vec()
}

impl From<Residual> for Learned {
    fn from(residual: Residual) -> Self {
        residual.learned
    }
}

impl TryFrom<Learned> for Residual {
    type Error = String;

    fn try_from(learned: Learned) -> Result<Self, String> {
        let (n, slots) = (learned.choices.len(), learned.slots());
        if n == 0 || learned.scale_ms.len() != n || learned.residual_ms.len() != n {
            let lengths = (n, learned.scale_ms.len(), learned.residual_ms.len());
            return Err(format!("choices, scales and residuals have {lengths:?} rows"));
        }
        if let Some(row) = learned.choices.iter().find(|row| row.len() != slots) {
            return Err(format!("a row has {} slots, the first has {slots}", row.len()));
        }
        let Learned { kernel, noise, .. } = &learned;
        let widths = [kernel.table, kernel.pairs];
        let numbers = learned.residual_ms.iter().chain(&widths);
        let sound = numbers.clone().all(|x| x.is_finite()) && widths.iter().all(|x| *x >= 0.0);
        if !sound || *noise <= 0.0 || learned.scale_ms.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err("numbers that no fit gives".into());
        }
        learned.condition().ok_or_else(|| "its kernel cannot be inverted".into())
    }
}
