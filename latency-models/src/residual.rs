use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::{
    SpaceBlocks,
    factor::factor,
    kernel::{Kernel, SHAPES, Shape, distance},
    likeness::{LENGTHS, Likeness},
};

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
    /// Of each training row, its likeness to every entry of the table; empty where blocks are not known.
    alike: Vec<Vec<f64>>,
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
    #[serde(default)]
    likeness: Option<Likeness>,
}

/// What the kernel is made from.
struct Grams {
    distances: DMatrix<usize>,
    /// Likeness of rows to rows.
    alike: Option<DMatrix<f64>>,
}

/// Steps of the search for kernel widths, in units of the noise; 0 switches a part off.
const WIDTHS: [f64; 9] = [0.0, 0.25, 0.5, 1.0, 2.0, 5.0, 12.0, 30.0, 80.0];

impl Residual {
    /// Learns, with the kernel of the highest leave-one-out likelihood (Rasmussen & Williams 2006, §5.4.2), found one
    /// number at a time.
    pub(crate) fn fit(
        choices: Vec<Vec<u16>>,
        scale_ms: Vec<f64>,
        residual_ms: Vec<f64>,
        blocks: Option<&SpaceBlocks>,
    ) -> Option<Self> {
        let likenesses: Vec<Option<Likeness>> = match blocks {
            Some(blocks) => LENGTHS.iter().map(|&length| Some(Likeness::new(blocks, length))).collect(),
            None => vec![None],
        };
        let learn = |likeness: Option<Likeness>| {
            let start = Kernel { table: WIDTHS[4], pairs: WIDTHS[2], shape: Shape::Pairs, alike: WIDTHS[0] };
            let (choices, scale_ms, residual_ms) = (choices.clone(), scale_ms.clone(), residual_ms.clone());
            let mut learned = Learned { kernel: start, noise: 1.0, choices, scale_ms, residual_ms, likeness };
            learned.search().map(|score| (score, learned))
        };
        let mut best: Option<(f64, Learned)> = None;
        for (score, learned) in likenesses.into_iter().filter_map(learn) {
            if best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, learned));
            }
        }
        best?.1.condition()
    }

    /// Learns other rows with the same kernel and noise.
    pub(crate) fn refit(&self, choices: Vec<Vec<u16>>, scale_ms: Vec<f64>, residual_ms: Vec<f64>) -> Option<Self> {
        let Learned { kernel, noise, ref likeness, .. } = self.learned;
        let likeness = likeness.clone();
        Learned { kernel, noise, choices, scale_ms, residual_ms, likeness }.condition()
    }

    /// Expected milliseconds on top of the prior.
    pub(crate) fn mean_ms(&self, choices: &[u16]) -> f64 {
        let entry = |(table, &choice): (&Vec<f64>, &u16)| table.get(usize::from(choice)).copied().unwrap_or(0.0);
        let table: f64 = self.table.iter().zip(choices).map(entry).sum();
        table + self.interactions_ms(choices)
    }

    /// The part of it that slots add together.
    pub(crate) fn interactions_ms(&self, choices: &[u16]) -> f64 {
        if self.learned.kernel.pairs == 0.0 {
            return 0.0;
        }
        let rows = self.learned.choices.iter().zip(&self.weights);
        rows.map(|(row, weight)| weight * self.pairs_by_distance[distance(row, choices)]).sum()
    }

    /// Deviation of one measurement, of which `scale_ms` is the prior's latency: what is not known, and noise.
    pub(crate) fn sigma_ms(&self, choices: &[u16], scale_ms: f64) -> f64 {
        let rows = self.learned.choices.iter().zip(&self.learned.scale_ms);
        let mut k: Vec<f64> = rows.map(|(row, scale)| self.by_distance[distance(row, choices)] / scale).collect();
        let mut most = self.by_distance[0];
        if let Some(likeness) = &self.learned.likeness {
            let per_pair = self.learned.per_alike_pair_ms();
            for ((k, row), scale) in k.iter_mut().zip(&self.alike).zip(&self.learned.scale_ms) {
                *k += per_pair * likeness.between(choices, row) / scale;
            }
            most += per_pair * likeness.between(choices, &likeness.to(choices));
        }
        // Computed in place, row by row of the triangle: w = L⁻¹·k.
        let mut explained = 0.0;
        for i in 0..k.len() {
            let row = self.whitening.column(i);
            explained += row.iter().zip(&k).take(i + 1).map(|(w, k)| w * k).sum::<f64>().powi(2);
        }
        let unknown = (most - explained).max(0.0);
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

    /// Sets kernel and noise to the likeliest; its likelihood.
    fn search(&mut self) -> Option<f64> {
        let grams = self.grams();
        let mut best = self.leave_one_out(&grams, &self.kernel);
        const ROUNDS: usize = 3;
        for _ in 0..ROUNDS {
            let before = self.kernel;
            for part in [tables, alikes, pairs, shapes] {
                for kernel in part(self.kernel) {
                    // Without blocks, or without pairs, some numbers change nothing.
                    let idle = grams.alike.is_none() && kernel.alike > 0.0
                        || kernel.pairs == 0.0 && kernel.shape != self.kernel.shape;
                    if idle || kernel == self.kernel {
                        continue;
                    }
                    let found = self.leave_one_out(&grams, &kernel);
                    if let Some((score, noise)) =
                        found.filter(|(score, _)| best.is_none_or(|(most, _)| *score > most))
                    {
                        best = Some((score, noise));
                        self.kernel = kernel;
                    }
                }
            }
            if self.kernel == before {
                break;
            }
        }
        let (score, noise) = best?;
        self.noise = noise;
        Some(score)
    }

    fn grams(&self) -> Grams {
        let n = self.choices.len();
        let distances = DMatrix::from_fn(n, n, |i, j| distance(&self.choices[i], &self.choices[j]));
        let alike = self.likeness.as_ref().map(|likeness| {
            let rows: Vec<Vec<f64>> = self.choices.iter().map(|choices| likeness.to(choices)).collect();
            DMatrix::from_fn(n, n, |i, j| likeness.between(&self.choices[i], &rows[j]))
        });
        Grams { distances, alike }
    }

    /// K/(s·sᵀ) + 1, in units of the noise. Widths are relative: of the mean scale.
    fn covariance(&self, grams: &Grams, kernel: &Kernel) -> DMatrix<f64> {
        let n = self.choices.len();
        let by_distance = self.in_ms(kernel.by_distance(self.slots()));
        let per_pair = self.unit_ms().powi(2) * kernel.per_alike_pair(self.slots());
        DMatrix::from_fn(n, n, |i, j| {
            let unit = if i == j { 1.0 } else { 0.0 };
            let alike = grams.alike.as_ref().map_or(0.0, |alike| per_pair * alike[(i, j)]);
            (by_distance[grams.distances[(i, j)]] + alike) / (self.scale_ms[i] * self.scale_ms[j]) + unit
        })
    }

    /// Squared milliseconds per unit of noise of each pair of blocks that are wholly alike.
    fn per_alike_pair_ms(&self) -> f64 {
        self.unit_ms().powi(2) * self.kernel.per_alike_pair(self.slots())
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
    fn leave_one_out(&self, grams: &Grams, kernel: &Kernel) -> Option<(f64, f64)> {
        // Whitening W = L⁻¹: K⁻¹ = Wᵀ·W.
        let (_, whitening) = factor(&self.covariance(grams, kernel))?;
        let alpha = whitening.tr_mul(&(&whitening * self.target()));
        let precision: Vec<f64> = whitening.column_iter().map(|column| column.norm_squared()).collect();
        let n = alpha.len() as f64;
        // Residual α_i/K⁻¹_ii with variance 1/K⁻¹_ii.
        let variance = alpha.iter().zip(&precision).map(|(a, k)| a * a / k).sum::<f64>() / n;
        let variance = variance.max(LEAST_NOISE.powi(2));
        let logs: f64 = precision.iter().map(|k| k.ln()).sum();
        Some((0.5 * logs - 0.5 * n * variance.ln(), variance.sqrt()))
    }

    fn condition(self) -> Option<Residual> {
        let slots = self.slots();
        let by_distance = self.in_ms(self.kernel.by_distance(slots));
        let pairs_by_distance = self.in_ms(self.kernel.pairs_by_distance(slots));
        let (_, whitening) = factor(&self.covariance(&self.grams(), &self.kernel))?;
        let alpha = whitening.tr_mul(&(&whitening * self.target()));
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
        let alike = self.spread_alike(&weights, &mut table);
        // Transposed, so that a row of the triangle lies in one piece.
        let whitening = whitening.transpose();
        Some(Residual { learned: self, table, weights, by_distance, pairs_by_distance, alike, whitening })
    }

    /// Adds to the table what alike blocks tell of each other; the rows' likenesses.
    fn spread_alike(&self, weights: &[f64], table: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
        let Some(likeness) = &self.likeness else { return Vec::new() };
        let mut of_entry = vec![0.0; likeness.len()];
        for (row, weight) in self.choices.iter().zip(weights) {
            likeness.entries(row).for_each(|entry| of_entry[entry] += weight);
        }
        let told = likeness.spread(&of_entry);
        let per_pair = self.per_alike_pair_ms();
        for (slot, (entries, choices)) in table.iter_mut().zip(likeness.choices()).enumerate() {
            entries.resize(entries.len().max(choices), 0.0);
            for (choice, entry) in entries.iter_mut().enumerate().take(choices) {
                *entry += per_pair * told[likeness.entry(slot, choice)];
            }
        }
        self.choices.iter().map(|choices| likeness.to(choices)).collect()
    }
}

/// No device repeats itself more exactly.
const LEAST_NOISE: f64 = 1e-6;

fn tables(kernel: Kernel) -> Vec<Kernel> {
    WIDTHS.map(|table| Kernel { table, ..kernel }).to_vec()
}

fn alikes(kernel: Kernel) -> Vec<Kernel> {
    WIDTHS.map(|alike| Kernel { alike, ..kernel }).to_vec()
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
        let widths = [kernel.table, kernel.pairs, kernel.alike];
        let numbers = learned.residual_ms.iter().chain(&widths);
        let sound = numbers.clone().all(|x| x.is_finite()) && widths.iter().all(|x| *x >= 0.0);
        if !sound || *noise <= 0.0 || learned.scale_ms.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
            return Err("numbers that no fit gives".into());
        }
        if learned.likeness.as_ref().is_some_and(|likeness| likeness.choices().len() != slots) {
            return Err(format!("its blocks are not of {slots} slots"));
        }
        learned.condition().ok_or_else(|| "its kernel cannot be inverted".into())
    }
}
