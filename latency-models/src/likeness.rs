use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::{SpaceBlocks, blocks::Coordinates};

/// How alike the blocks of a space are: the same work at two slots takes equally long, and a little more work a little
/// longer. What is learned of one (slot, choice) so tells something of others, those never measured among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(crate) struct Likeness {
    stored: Stored,
    /// First entry of each slot.
    starts: Vec<usize>,
    /// exp(−‖φ − φ'‖²/2ℓ²) between entries; 0 where one does nothing.
    matrix: DMatrix<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// By slot and choice; none where the choice does nothing.
    coordinates: Vec<Vec<Option<Coordinates>>>,
    length: f64,
}

/// Distances at which blocks stop being alike, in logarithms of their work.
pub(crate) const LENGTHS: [f64; 2] = [0.7, 2.5];

impl Likeness {
    pub(crate) fn new(space: &SpaceBlocks, length: f64) -> Self {
        let row = |blocks: &Vec<crate::BlockFeatures>| {
            blocks.iter().map(|block| (!block.is_empty()).then(|| block.coordinates())).collect()
        };
        Self::of(Stored { coordinates: space.blocks().iter().map(row).collect(), length })
    }

    fn of(stored: Stored) -> Self {
        let mut starts = vec![0];
        for row in &stored.coordinates {
            starts.push(starts[starts.len() - 1] + row.len());
        }
        let entries: Vec<&Option<Coordinates>> = stored.coordinates.iter().flatten().collect();
        let alike = |a: &Coordinates, b: &Coordinates| {
            let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
            (-0.5 * squares / stored.length.powi(2)).exp()
        };
        let matrix = DMatrix::from_fn(entries.len(), entries.len(), |i, j| match (entries[i], entries[j]) {
            (Some(a), Some(b)) => alike(a, b),
            _ => 0.0,
        });
        Self { stored, starts, matrix }
    }

    /// Position of each slot's choice among the entries; choices that it does not know are left out.
    pub(crate) fn entries<'a>(&'a self, choices: &'a [u16]) -> impl Iterator<Item = usize> + 'a {
        let ranges = self.starts.windows(2).zip(choices);
        ranges
            .map(|(range, &choice)| (range[0] + usize::from(choice), range[1]))
            .filter(|(e, end)| e < end)
            .map(|e| e.0)
    }

    /// Likeness of all entries to a candidate's.
    pub(crate) fn to(&self, choices: &[u16]) -> Vec<f64> {
        let mut sums = vec![0.0; self.matrix.nrows()];
        for entry in self.entries(choices) {
            sums.iter_mut().zip(self.matrix.column(entry).iter()).for_each(|(sum, alike)| *sum += alike);
        }
        sums
    }

    /// Likeness of one candidate to another, of which the likenesses to all entries are known.
    pub(crate) fn between(&self, choices: &[u16], other: &[f64]) -> f64 {
        self.entries(choices).map(|entry| other[entry]).sum()
    }

    /// Choices of each slot.
    pub(crate) fn choices(&self) -> Vec<usize> {
        self.stored.coordinates.iter().map(Vec::len).collect()
    }

    /// The entry of a slot's choice.
    pub(crate) fn entry(&self, slot: usize, choice: usize) -> usize {
        self.starts[slot] + choice
    }

    /// Likenesses weighted and summed: one number an entry.
    pub(crate) fn spread(&self, weights: &[f64]) -> Vec<f64> {
        (&self.matrix * nalgebra::DVector::from_column_slice(weights)).as_slice().to_vec()
    }

    /// Entries of all slots.
    pub(crate) fn len(&self) -> usize {
        self.matrix.nrows()
    }
}

impl From<Likeness> for Stored {
    fn from(likeness: Likeness) -> Self {
        likeness.stored
    }
}

impl TryFrom<Stored> for Likeness {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let finite = stored.coordinates.iter().flatten().flatten().flatten().all(|x| x.is_finite());
        let sound = finite && stored.length.is_finite() && stored.length > 0.0;
        if !sound {
            return Err("coordinates of blocks that no count gives".into());
        }
        Ok(Self::of(stored))
    }
}
