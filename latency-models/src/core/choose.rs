use nalgebra::DMatrix;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Candidates that are weighed against each other.
const CANDIDATES: usize = 800;
/// Rows that are chosen one by one; any more are drawn.
const WEIGHED: usize = 60;
/// Relative deviation that a measurement is expected to have.
const NOISE: f64 = 0.03;

/// The rows to measure: of some drawn with the seed, one after the other where most is unknown, given those before.
///
/// `features` gives rows as numbers whose products are the kernel.
pub(crate) fn choose(
    rows: &[usize],
    count: usize,
    seed: u64,
    features: impl Fn(&[usize]) -> DMatrix<f64>,
) -> Vec<usize> {
    if count >= rows.len() {
        return rows.to_vec();
    }
    let mut drawn = rows.to_vec();
    drawn.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let rest = drawn.split_off(CANDIDATES.max(2 * count.min(WEIGHED)).min(drawn.len()));
    let weighed = count.min(WEIGHED);
    let mut chosen = weigh(&features(&drawn), weighed);
    let mut taken = vec![false; drawn.len()];
    chosen.iter().for_each(|&index| taken[index] = true);
    let others = (0..drawn.len()).filter(|&index| !taken[index]).map(|index| drawn[index]).chain(rest);
    let extra: Vec<usize> = others.take(count - weighed).collect();
    chosen.iter_mut().for_each(|index| *index = drawn[*index]);
    chosen.extend(extra);
    chosen.sort_unstable();
    chosen
}

/// Indices of rows, each with the largest variance given those before: greedy D-optimality.
fn weigh(h: &DMatrix<f64>, count: usize) -> Vec<usize> {
    let mut variance: Vec<f64> = h.row_iter().map(|row| row.norm_squared()).collect();
    let mut chosen = Vec::new();
    // Columns of the Cholesky factor of what is chosen, over all rows.
    let mut factors: Vec<Vec<f64>> = Vec::new();
    for _ in 0..count {
        let open = (0..h.nrows()).filter(|index| !chosen.contains(index));
        let Some(next) = open.max_by(|&a, &b| variance[a].total_cmp(&variance[b]).then(b.cmp(&a))) else { break };
        let mut factor: Vec<f64> = (h * h.row(next).transpose()).as_slice().to_vec();
        for earlier in &factors {
            let share = earlier[next];
            factor.iter_mut().zip(earlier).for_each(|(f, e)| *f -= e * share);
        }
        let pivot = (factor[next] + NOISE * NOISE).sqrt();
        factor.iter_mut().for_each(|f| *f /= pivot);
        variance.iter_mut().zip(&factor).for_each(|(v, f)| *v -= f * f);
        factors.push(factor);
        chosen.push(next);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unlike_is_chosen_first() {
        let h = DMatrix::from_row_slice(4, 2, &[1.0, 0.0, 1.1, 0.0, 0.0, 0.5, 0.9, 0.0]);
        assert_eq!(weigh(&h, 2), [1, 2]);
    }

    #[test]
    fn the_seed_decides_and_all_are_taken_where_all_are_asked_for() {
        let rows: Vec<usize> = (0..50).collect();
        let features = |rows: &[usize]| DMatrix::from_fn(rows.len(), 3, |i, j| ((rows[i] * (j + 3)) % 7) as f64);
        assert_eq!(choose(&rows, 9, 1, features), choose(&rows, 9, 1, features));
        assert_eq!(choose(&rows, 9, 1, features).len(), 9);
        assert_eq!(choose(&rows, 99, 1, features), rows);
    }
}
