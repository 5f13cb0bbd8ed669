use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

use crate::{
    SpaceBlocks,
    blocks::Coordinates,
    core::{Encoding, Group, Part},
};

/// How similar the blocks of a space are: the same work at two slots takes equally long, and a little more work a little
/// longer. What is learned of one (slot, choice) so informs others, those never measured among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockSimilarity {
    /// By slot and choice; none where the choice does nothing.
    coordinates: Vec<Vec<Option<Coordinates>>>,
}

/// Distances over which similarity falls, in logarithms of work.
const LENGTHS: [f64; 2] = [0.7, 2.5];
/// Variance that is expected of each.
const EXPECTED: f64 = 1e-4;

impl BlockSimilarity {
    pub(crate) fn new(space: &SpaceBlocks) -> Self {
        let row = |blocks: &Vec<crate::BlockFeatures>| {
            blocks.iter().map(|block| (!block.is_empty()).then(|| block.coordinates())).collect()
        };
        Self { coordinates: space.blocks().iter().map(row).collect() }
    }

    /// Slots that it describes.
    pub(crate) fn slots(&self) -> usize {
        self.coordinates.len()
    }

    /// Random functions of the table's columns whose covariance is the similarity of their blocks, of variance 1 over rows.
    pub(crate) fn parts(&self, encoding: &Encoding, rows: &DMatrix<f64>) -> Vec<Part> {
        LENGTHS.iter().filter_map(|&length| self.part(encoding, rows, length)).collect()
    }

    fn part(&self, encoding: &Encoding, rows: &DMatrix<f64>, length: f64) -> Option<Part> {
        let columns: Vec<usize> =
            (0..encoding.width()).filter(|&j| encoding.columns()[j].group == Group::Table).collect();
        let block = |&j: &usize| {
            let cell = encoding.columns()[j].cell;
            let row = self.coordinates.get(cell / encoding.choices)?;
            row.get(cell % encoding.choices).copied().flatten()
        };
        let blocks: Vec<Option<Coordinates>> = columns.iter().map(block).collect();
        let alike = |a: &Coordinates, b: &Coordinates| {
            let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
            (-0.5 * squares / length.powi(2)).exp()
        };
        let matrix = DMatrix::from_fn(blocks.len(), blocks.len(), |i, j| match (&blocks[i], &blocks[j]) {
            (Some(a), Some(b)) => alike(a, b),
            _ => 0.0,
        });
        let eigen = SymmetricEigen::new(matrix);
        const LEAST: f64 = 1e-6;
        let kept: Vec<usize> = (0..blocks.len()).filter(|&k| eigen.eigenvalues[k] > LEAST).collect();
        if kept.is_empty() {
            return None;
        }
        let mut root = DMatrix::zeros(encoding.width(), kept.len());
        for (q, &k) in kept.iter().enumerate() {
            let scale = eigen.eigenvalues[k].sqrt();
            columns.iter().enumerate().for_each(|(i, &j)| root[(j, q)] = eigen.eigenvectors[(i, k)] * scale);
        }
        let size = (rows * &root).norm_squared() / rows.nrows().max(1) as f64;
        Some(Part { root: root / size.max(1e-12).sqrt(), expected: EXPECTED })
    }
}
