/// How little is known of each candidate once others are measured: the posterior variance of a Gaussian process, which
/// does not depend on what is measured. Greedy choice of the largest is a pivoted Cholesky factorisation (Harbrecht et
/// al. 2012).
pub(crate) struct Uncertainty<'a> {
    candidates: &'a [Vec<u16>],
    /// Candidates that may be picked, their variances, and the factor's rows at them.
    pool: Vec<usize>,
    variance: Vec<f64>,
    rows: Vec<Vec<f64>>,
    /// What was learned, with the factor's rows.
    learned: Vec<(Vec<u16>, Vec<f64>)>,
    by_distance: Vec<f64>,
}

/// Deviations of a usual device: mostly a table of (slot, choice), some interactions of pairs, in units of the noise.
const TABLE: f64 = 12.0;
const PAIRS: f64 = 5.0;

/// Kernel of that device for each number of different slots.
fn by_distance(slots: usize) -> Vec<f64> {
    let of = |different: usize| {
        let fraction = different as f64 / slots.max(1) as f64;
        let table = TABLE.powi(2) / slots.max(1) as f64 * (slots - different) as f64;
        table + PAIRS.powi(2) * (1.0 - fraction).powi(2)
    };
    (0..=slots).map(of).collect()
}

/// Number of slots with different choices.
pub(crate) fn distance(a: &[u16], b: &[u16]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

impl<'a> Uncertainty<'a> {
    pub(crate) fn new(candidates: &'a [Vec<u16>], pool: &[usize]) -> Self {
        let by_distance = by_distance(candidates.first().map_or(0, Vec::len));
        Self {
            candidates,
            pool: pool.to_vec(),
            variance: vec![by_distance[0]; pool.len()],
            rows: vec![Vec::new(); pool.len()],
            learned: Vec::new(),
            by_distance,
        }
    }

    /// The candidate of which least is known, which leaves the pool.
    pub(crate) fn most(&mut self) -> Option<usize> {
        let mut best = 0;
        for position in 1..self.pool.len() {
            if self.variance[position] > self.variance[best] {
                best = position;
            }
        }
        if self.pool.is_empty() {
            return None;
        }
        self.variance.remove(best);
        self.rows.remove(best);
        Some(self.pool.remove(best))
    }

    /// Takes a measurement of an architecture into account.
    pub(crate) fn learn(&mut self, choices: &[u16]) {
        let mut row = Vec::new();
        for (other, other_row) in &self.learned {
            row.push((self.kernel(choices, other) - dot(&row, other_row)) / other_row[row.len()]);
        }
        const NOISE: f64 = 1.0;
        row.push((self.by_distance[0] + NOISE - dot(&row, &row)).max(NOISE).sqrt());
        let last = row.len() - 1;
        for (position, &index) in self.pool.iter().enumerate() {
            let known = &mut self.rows[position];
            let entry =
                (self.by_distance[distance(choices, &self.candidates[index])] - dot(&row, known)) / row[last];
            known.push(entry);
            self.variance[position] -= entry * entry;
        }
        self.learned.push((choices.to_vec(), row));
    }

    fn kernel(&self, a: &[u16], b: &[u16]) -> f64 {
        self.by_distance[distance(a, b)]
    }
}

/// Over the shorter of both.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use nalgebra::{DMatrix, DVector};

    use super::*;

    #[test]
    fn variances_are_those_of_the_whole_process() {
        let candidates: Vec<Vec<u16>> = (0..27).map(|i| vec![i % 3, i / 3 % 3, i / 9]).collect();
        let pool: Vec<usize> = (5..27).collect();
        let mut uncertainty = Uncertainty::new(&candidates, &pool);
        candidates[..5].iter().for_each(|choices| uncertainty.learn(choices));
        let k = |i: usize, j: usize| uncertainty.kernel(&candidates[i], &candidates[j]);
        let gram = DMatrix::from_fn(5, 5, |i, j| k(i, j) + if i == j { 1.0 } else { 0.0 }).cholesky().unwrap();
        for (position, &index) in pool.iter().enumerate() {
            let cross = DVector::from_fn(5, |i, _| k(i, index));
            let expected = k(index, index) - cross.dot(&gram.solve(&cross));
            assert!((uncertainty.variance[position] - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn the_farthest_comes_first_and_nothing_twice() {
        let candidates = vec![vec![0, 0, 0], vec![0, 0, 1], vec![1, 1, 1], vec![0, 1, 0]];
        let mut uncertainty = Uncertainty::new(&candidates, &[1, 2, 3]);
        uncertainty.learn(&candidates[0]);
        assert_eq!(uncertainty.most(), Some(2));
        uncertainty.learn(&candidates[2]);
        let rest = [uncertainty.most(), uncertainty.most(), uncertainty.most()];
        assert!(rest.contains(&Some(1)) && rest.contains(&Some(3)) && rest[2].is_none());
    }
}
