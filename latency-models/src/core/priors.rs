use nalgebra::{DMatrix, DVector};

use super::{
    coregion::Coregion,
    encoding::Encoding,
    layout::{Column, Group},
    linear::Linear,
};

/// Prior distribution of a device that is not measured yet: its latency, relative to a typical one, is a sum of random
/// functions that are linear in the numbers of a row.
#[derive(Clone, Debug)]
pub(crate) struct Priors {
    pub(crate) parts: Vec<Part>,
    /// Whether the first one is the mean of other devices.
    pub(crate) begins_with_mean: bool,
}

/// One random function.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// `[numbers of a row, q]`: the function is a row's numbers times this, times q normal numbers.
    pub(crate) root: DMatrix<f64>,
    /// Variance that is expected of each of these, in relative latency.
    pub(crate) expected: f64,
}

impl Priors {
    /// From other devices: their mean, their deviations from it, the covariance of their tables of (slot, choice), and of all else.
    ///
    /// Sources count by `agreement`.
    pub(crate) fn from_sources(encoding: &Encoding, sources: &[Linear], agreement: &[f64]) -> Option<Self> {
        let total: f64 = agreement.iter().sum();
        let (n, width) = (sources.len(), encoding.width());
        let relative: Vec<DVector<f64>> = sources.iter().map(|source| &source.weights / source.mean_ms).collect();
        let mean = relative.iter().zip(agreement).fold(DVector::zeros(width), |sum, (w, a)| sum + w * (a / total));
        let deviations: Vec<DVector<f64>> = relative
            .iter()
            .zip(agreement)
            .map(|(weights, a)| (weights - &mean) * (a / total * n as f64).sqrt())
            .collect();
        let mut parts = vec![Part { root: column_matrix(&[mean]), expected: 1.0 }];
        if n > 1 {
            let root = column_matrix(&deviations) / (n as f64).sqrt();
            parts.push(Part { root, expected: 0.5 });
            parts.extend(table_part(encoding, &deviations));
            parts.extend(other_part(encoding, &deviations));
        } else {
            // One device does not show how devices differ: as far as its own weights are from 0.
            parts.extend(table_part(encoding, &relative).map(|part| Part { expected: 0.1, ..part }));
            parts.extend(other_part(encoding, &relative).map(|part| Part { expected: 0.02, ..part }));
        }
        parts.extend(work_part(encoding));
        Some(Self { parts, begins_with_mean: true })
    }

    /// Nothing but that few numbers matter less than pairs of them, at `rows` (encoded).
    pub(crate) fn alone(encoding: &Encoding, rows: &DMatrix<f64>) -> Self {
        // Where each (slot, choice) has a column, most of it is explained by its counted work.
        let table = if encoding.keeps_table() { 1e-4 } else { 0.05 };
        let groups: [(&[Group], f64); 4] =
            [(&[Group::Table], table), (&[Group::Amount], 0.05), (&[Group::Live], 0.01), (&[Group::Pair], 0.003)];
        let mut parts: Vec<Part> = work_part(encoding).into_iter().collect();
        for (kinds, expected) in groups {
            let mut root = selection(encoding, |column| kinds.contains(&column.group));
            if root.ncols() == 0 {
                continue;
            }
            // Variance 1 on average over the rows.
            let size = (rows * &root).norm_squared() / rows.nrows().max(1) as f64;
            root /= size.max(1e-12).sqrt();
            parts.push(Part { root, expected });
        }
        Self { parts, begins_with_mean: false }
    }

    /// Encoded rows as numbers whose products are the expected covariance, a constant among them.
    pub(crate) fn features(&self, rows: &DMatrix<f64>) -> DMatrix<f64> {
        let widths: usize = self.parts.iter().map(|part| part.root.ncols()).sum();
        let mut all = DMatrix::from_element(rows.nrows(), widths + 1, 1.0);
        let mut start = 0;
        for part in &self.parts {
            let width = part.root.ncols();
            all.columns_mut(start, width).copy_from(&(rows * &part.root * part.expected.sqrt()));
            start += width;
        }
        all
    }
}

fn column_matrix(columns: &[DVector<f64>]) -> DMatrix<f64> {
    DMatrix::from_columns(columns)
}

/// Columns of the identity.
fn selection(encoding: &Encoding, takes: impl Fn(&Column) -> bool) -> DMatrix<f64> {
    let taken: Vec<usize> = (0..encoding.width()).filter(|&j| takes(&encoding.columns()[j])).collect();
    let mut root = DMatrix::zeros(encoding.width(), taken.len());
    taken.iter().enumerate().for_each(|(k, &j)| root[(j, k)] = 1.0);
    root
}

/// The roofline (Williams et al. 2009): each kind of counted work at a speed of its own, as a fraction of the whole latency.
fn work_part(encoding: &Encoding) -> Option<Part> {
    let root = selection(encoding, |column| column.group == Group::Work);
    (root.ncols() > 0).then_some(Part { root, expected: 0.05 })
}

fn table_part(encoding: &Encoding, deviations: &[DVector<f64>]) -> Option<Part> {
    let columns: Vec<&Column> = encoding.columns().iter().filter(|column| column.group == Group::Table).collect();
    if columns.is_empty() {
        return None;
    }
    let small = Coregion::learn(encoding, deviations)?.root(&columns, encoding.choices)?;
    let place = selection(encoding, |column| column.group == Group::Table);
    Some(Part { root: place * small, expected: 0.5 })
}

/// Everything but the table, each number with the variance that devices have there.
fn other_part(encoding: &Encoding, deviations: &[DVector<f64>]) -> Option<Part> {
    let place = selection(encoding, |column| !matches!(column.group, Group::Table | Group::Work));
    if place.ncols() == 0 {
        return None;
    }
    let variance = |j: usize| deviations.iter().map(|d| d[j] * d[j]).sum::<f64>() / deviations.len() as f64;
    let mut root = DMatrix::zeros(encoding.width(), encoding.width());
    for kind in [Group::Amount, Group::Live, Group::Pair] {
        let of: Vec<usize> = (0..encoding.width()).filter(|&j| encoding.columns()[j].group == kind).collect();
        let mean = of.iter().map(|&j| variance(j)).sum::<f64>() / of.len().max(1) as f64;
        of.iter().for_each(|&j| root[(j, j)] = (0.5 * (variance(j) + mean)).sqrt());
    }
    Some(Part { root: root * place, expected: 0.1 })
}

/// A source counts as similar from this Spearman with the measured rows on: what chance gives one in twenty times, and never
/// less than 0.3.
pub(crate) fn similar_from(measurements: usize) -> f64 {
    const LEAST: f64 = 0.3;
    const ONE_IN_TWENTY: f64 = 1.645;
    (ONE_IN_TWENTY / (measurements.max(2) as f64 - 1.0).sqrt()).max(LEAST)
}
