use rayon::prelude::*;

/// A number for every pair of two sets' vectors.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    columns: usize,
    values: Vec<f64>,
}

impl Pairs {
    /// `of` each vector of `a` with each of `b`.
    pub fn new(a: &[Vec<f64>], b: &[Vec<f64>], of: impl Fn(&[f64], &[f64]) -> f64 + Sync) -> Self {
        let values = a.par_iter().flat_map_iter(|x| b.iter().map(|y| of(x, y)).collect::<Vec<_>>()).collect();
        Self { columns: b.len(), values }
    }

    /// Mean over the pairs, each as often as its two vectors are drawn; `distinct` leaves out pairs of one place. NaN where
    /// no pair is left.
    pub fn mean(&self, counts_a: &[u32], counts_b: &[u32], distinct: bool) -> f64 {
        self.mean_where(counts_a, counts_b, |row, column| !distinct || row != column)
    }

    /// Mean over the pairs of two places that are `kept`.
    pub fn mean_where(&self, counts_a: &[u32], counts_b: &[u32], kept: impl Fn(usize, usize) -> bool) -> f64 {
        let (mut sum, mut weight) = (0.0, 0.0);
        for (row, (values, &times)) in self.values.chunks(self.columns.max(1)).zip(counts_a).enumerate() {
            if times == 0 {
                continue;
            }
            let (mut row_sum, mut row_weight) = (0.0, 0.0);
            for (column, (value, &count)) in values.iter().zip(counts_b).enumerate() {
                if count > 0 && kept(row, column) {
                    row_sum += f64::from(count) * value;
                    row_weight += f64::from(count);
                }
            }
            sum += f64::from(times) * row_sum;
            weight += f64::from(times) * row_weight;
        }
        sum / weight
    }
}
