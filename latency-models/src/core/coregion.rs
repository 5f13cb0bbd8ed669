use nalgebra::{DMatrix, DVector};

use super::{
    encoding::Encoding,
    layout::{Column, Group},
};

/// How devices differ in their tables of (slot, choice): a matrix-normal distribution (Dawid 1981), whose covariance is one
/// of slots times one of choices. So a choice measured in one slot informs about the same choice in others.
pub(crate) struct Coregion {
    slots: DMatrix<f64>,
    choices: DMatrix<f64>,
}

/// Fraction of each covariance that is kept on its diagonal only: there are few devices.
const SHRINKAGE: f64 = 0.15;
const ROUNDS: usize = 8;

impl Coregion {
    /// Learns from the deviations of some devices' weights from their mean (the flip-flop of Dutilleul 1999).
    pub(crate) fn learn(encoding: &Encoding, deviations: &[DVector<f64>]) -> Option<Self> {
        let (slots, choices) = (encoding.slots(), encoding.choices);
        let tables: Vec<DMatrix<f64>> = deviations
            .iter()
            .map(|weights| {
                let mut table = DMatrix::zeros(slots, choices);
                for (column, weight) in encoding.columns().iter().zip(weights.iter()) {
                    if column.group == Group::Table {
                        table[(column.cell / choices, column.cell % choices)] = *weight;
                    }
                }
                table
            })
            .collect();
        let mut found =
            Self { slots: DMatrix::identity(slots, slots), choices: DMatrix::identity(choices, choices) };
        for _ in 0..ROUNDS {
            let inverse = found.slots.clone().cholesky()?.inverse();
            let zero = DMatrix::zeros(choices, choices);
            let sum = tables.iter().fold(zero, |sum, t| sum + t.transpose() * &inverse * t);
            found.choices = shrunk(sum / (tables.len() * slots) as f64, encoding.shared);
            let inverse = found.choices.clone().cholesky()?.inverse();
            let zero = DMatrix::zeros(slots, slots);
            let sum = tables.iter().fold(zero, |sum, t| sum + t * &inverse * t.transpose());
            found.slots = shrunk(sum / (tables.len() * choices) as f64, true);
            let size = found.slots.trace() / slots as f64;
            found.slots /= size;
        }
        Some(found)
    }

    /// Square root of the covariance of the table's columns, `[columns, columns]`.
    pub(crate) fn root(&self, columns: &[&Column], choices: usize) -> Option<DMatrix<f64>> {
        let at = |column: &Column| (column.cell / choices, column.cell % choices);
        let n = columns.len();
        let mut covariance = DMatrix::from_fn(n, n, |i, j| {
            let (a, b) = (at(columns[i]), at(columns[j]));
            self.slots[(a.0, b.0)] * self.choices[(a.1, b.1)]
        });
        let least = 1e-9 * covariance.trace() / n as f64;
        (0..n).for_each(|i| covariance[(i, i)] += least);
        Some(covariance.cholesky()?.unpack())
    }
}

fn shrunk(mut covariance: DMatrix<f64>, related: bool) -> DMatrix<f64> {
    let n = covariance.nrows();
    let least = 1e-4 * covariance.trace() / n as f64 + 1e-12;
    let keep = if related { 1.0 - SHRINKAGE } else { 0.0 };
    for i in 0..n {
        for j in 0..n {
            covariance[(i, j)] *= if i == j { 1.0 } else { keep };
        }
        covariance[(i, i)] += least;
    }
    covariance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_stays_what_it_was() {
        let shrunk = shrunk(DMatrix::from_row_slice(2, 2, &[2.0, 1.0, 1.0, 4.0]), true);
        assert!((shrunk[(0, 1)] - 0.85).abs() < 1e-12 && (shrunk[(0, 0)] - 2.0).abs() < 1e-3);
    }
}
