use nalgebra::{DMatrix, DVector};

use super::{
    encoding::Encoding,
    layout::{Column, Group},
};

/// Interactions of any order: a stationary kernel, by which rows near each other are alike.
#[derive(Clone, Debug)]
pub(crate) struct Near {
    /// Numbers of a row that count for the distance, and how much.
    pub(crate) columns: Vec<usize>,
    pub(crate) shrink: f64,
    pub(crate) curves: Vec<Curve>,
    /// One per curve; empty where too few rows were learned from.
    pub(crate) amplitudes: Vec<f64>,
    pub(crate) weights: DVector<f64>,
}

/// How a kernel falls with the squared distance of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Curve {
    /// Rational quadratic (Rasmussen & Williams 2006, eq. 4.19, α = 1) of a squared length.
    Rational(f64),
    /// Square of the fraction of equal slots, where rows with no equal slot are at this squared distance: a random function of
    /// each pair of slots, and nothing of higher order.
    Pairs(f64),
}

/// Squared lengths, in mean squared distances of rows.
pub(crate) const LENGTHS: [f64; 2] = [0.5, 2.0];
/// Fewest rows from which interactions of any order are learned.
pub(crate) const NEAR_FROM: usize = 40;

impl Near {
    pub(crate) fn new(encoding: &Encoding, x: &DMatrix<f64>) -> Self {
        let counts = |column: &Column| matches!(column.group, Group::Table | Group::Amount);
        let columns: Vec<usize> = (0..encoding.width()).filter(|&j| counts(&encoding.columns()[j])).collect();
        let part = x.select_columns(&columns);
        let mean = part.row_mean();
        let spread: f64 = part.row_iter().map(|row| (row - &mean).norm_squared()).sum::<f64>() / x.nrows() as f64;
        let (amplitudes, weights) = (Vec::new(), DVector::zeros(x.nrows()));
        let shrink = 1.0 / (2.0 * spread).max(1e-12);
        let mut curves = LENGTHS.map(Curve::Rational).to_vec();
        if encoding.keeps_table() {
            // One-hot rows with d different slots are at squared distance 2·d.
            curves.push(Curve::Pairs(2.0 * encoding.slots() as f64 * shrink));
        }
        Self { columns, shrink, curves, amplitudes, weights }
    }

    pub(crate) fn squared_distances(&self, a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let (a, b) = (a.select_columns(&self.columns), b.select_columns(&self.columns));
        let mut squared = &a * b.transpose() * (-2.0 * self.shrink);
        let norms =
            |m: &DMatrix<f64>| m.row_iter().map(|row| row.norm_squared() * self.shrink).collect::<Vec<f64>>();
        let (a, b) = (norms(&a), norms(&b));
        for (j, mut column) in squared.column_iter_mut().enumerate() {
            column.iter_mut().zip(&a).for_each(|(d, a)| *d = (*d + a + b[j]).max(0.0));
        }
        squared
    }

    /// Kernel of a squared distance, over all curves.
    pub(crate) fn sum(&self, squared: f64) -> f64 {
        self.amplitudes.iter().zip(&self.curves).map(|(amplitude, curve)| amplitude * curve.of(squared)).sum()
    }

    /// What being near the learned rows adds to new ones.
    pub(crate) fn of(&self, x: &DMatrix<f64>, learned: &DMatrix<f64>) -> DVector<f64> {
        self.squared_distances(learned, x).map(|d| self.sum(d)).tr_mul(&self.weights)
    }
}

impl Curve {
    /// Value at a squared distance; 1 at 0.
    pub(crate) fn of(self, squared: f64) -> f64 {
        match self {
            Self::Rational(length) => 1.0 / (1.0 + squared / length),
            Self::Pairs(most) => (1.0 - squared / most).max(0.0).powi(2),
        }
    }
}
