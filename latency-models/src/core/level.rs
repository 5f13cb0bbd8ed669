use nalgebra::{DMatrix, DVector};

use super::{encoding::Encoding, priors::Priors};

/// Expected relative latency, by which errors of measurement grow.
#[derive(Clone, Debug)]
pub(crate) enum Level {
    /// As the mean of the sources says.
    Prior,
    /// By weights of a first fit.
    Fitted { constant: f64, weights: DVector<f64> },
}

/// Errors do not become smaller than those of a network that takes this fraction of a typical latency.
pub(crate) const LEAST_LEVEL: f64 = 0.3;

impl Level {
    pub(crate) fn new(priors: &Priors, encoding: &Encoding, x: &DMatrix<f64>, y: &DVector<f64>) -> Option<Self> {
        if priors.begins_with_mean {
            return Some(Self::Prior);
        }
        const RIDGE: f64 = 1.0;
        let h = priors.features(x);
        let mut kernel = &h * h.transpose();
        (0..x.nrows()).for_each(|i| kernel[(i, i)] += RIDGE * 0.01);
        let alpha = kernel.cholesky()?.solve(y);
        let pulled = x.tr_mul(&alpha);
        let mut weights = DVector::zeros(encoding.width());
        for part in &priors.parts {
            weights += &part.root * part.root.tr_mul(&pulled) * part.expected;
        }
        Some(Self::Fitted { constant: alpha.sum(), weights })
    }

    /// Relative latency, never near 0.
    pub(crate) fn of(&self, priors: &Priors, x: &DMatrix<f64>) -> Vec<f64> {
        let (relative, constant) = match self {
            Self::Prior => (x * priors.parts[0].root.column(0), 0.0),
            Self::Fitted { constant, weights } => (x * weights, *constant),
        };
        relative.iter().map(|relative| (1.0 + constant + relative).max(LEAST_LEVEL)).collect()
    }

    /// The same as a constant and a weight for each encoded number.
    pub(crate) fn linear(&self, priors: &Priors) -> (f64, DVector<f64>) {
        match self {
            Self::Prior => (0.0, priors.parts[0].root.column(0).clone_owned()),
            Self::Fitted { constant, weights } => (*constant, weights.clone()),
        }
    }
}
