//! Rank correlations.

/// Spearman's ρ: Pearson's correlation of ranks, ties at their mean rank. 0 where one side does not vary.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    pearson(&ranks(a), &ranks(b))
}

/// Kendall's τ-b in O(n log n) (Knight 1966): sorted by a, the discordant pairs are the exchanges that a merge sort by b
/// makes. 0 where one side does not vary.
pub fn kendall(a: &[f64], b: &[f64]) -> f64 {
    let mut pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
    pairs.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)));
    let tied_a = tied_pairs(pairs.chunk_by(|x, y| x.0 == y.0));
    let tied_both = tied_pairs(pairs.chunk_by(|x, y| x == y));
    let mut by_b: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let discordant = sort_counting(&mut by_b);
    let tied_b = tied_pairs(by_b.chunk_by(|x, y| x == y));
    let all = choose_two(pairs.len());
    // Concordant less discordant: all − ties in a − ties in b + ties in both − 2·discordant.
    let score = (all + tied_both) as f64 - (tied_a + tied_b + 2 * discordant) as f64;
    let scale = (all - tied_a) as f64 * (all - tied_b) as f64;
    if scale > 0.0 { score / scale.sqrt() } else { 0.0 }
}

fn tied_pairs<'a, T: 'a>(runs: impl Iterator<Item = &'a [T]>) -> u64 {
    runs.map(|run| choose_two(run.len())).sum()
}

fn choose_two(n: usize) -> u64 {
    (n as u64) * (n as u64).saturating_sub(1) / 2
}

/// Sorts and counts the pairs that stood the wrong way round.
fn sort_counting(values: &mut [f64]) -> u64 {
    let middle = values.len() / 2;
    if middle == 0 {
        return 0;
    }
    let mut exchanges = sort_counting(&mut values[..middle]) + sort_counting(&mut values[middle..]);
    let (left, right) = (values[..middle].to_vec(), values[middle..].to_vec());
    let (mut i, mut j) = (0, 0);
    for slot in values.iter_mut() {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            *slot = left[i];
            i += 1;
        } else {
            *slot = right[j];
            j += 1;
            exchanges += (left.len() - i) as u64;
        }
    }
    exchanges
}

/// Ranks from 0, ties at their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for run in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let mean = start as f64 + 0.5 * (run.len() as f64 - 1.0);
        run.iter().for_each(|&index| ranks[index] = mean);
        start += run.len();
    }
    ranks
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(1) as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let covariance: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum();
    let variance = |x: &[f64], mean: f64| x.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    let scale = (variance(a, mean_a) * variance(b, mean_b)).sqrt();
    if scale > 0.0 { covariance / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// All pairs, as in Kendall 1945.
    fn slow_kendall(a: &[f64], b: &[f64]) -> f64 {
        let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
        let (mut score, mut pairs_a, mut pairs_b) = (0.0, 0.0, 0.0);
        for i in 0..a.len() {
            for j in 0..i {
                let (x, y) = (sign(a[i] - a[j]), sign(b[i] - b[j]));
                (score, pairs_a, pairs_b) = (score + x * y, pairs_a + x * x, pairs_b + y * y);
            }
        }
        let scale: f64 = pairs_a * pairs_b;
        if scale > 0.0 { score / scale.sqrt() } else { 0.0 }
    }

    fn slow_ranks(values: &[f64]) -> Vec<f64> {
        let below = |v: f64| values.iter().filter(|&&x| x < v).count() as f64;
        let equal = |v: f64| values.iter().filter(|&&x| x == v).count() as f64;
        values.iter().map(|&v| below(v) + 0.5 * (equal(v) - 1.0)).collect()
    }

    #[test]
    fn correlations_of_known_lists() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(spearman(&a, &[2.0, 4.0, 6.0, 8.0, 10.0]), 1.0);
        assert_eq!(kendall(&a, &[5.0, 4.0, 3.0, 2.0, 1.0]), -1.0);
        // One swapped neighbour: ρ = 1 − 6·2/(5·24), τ = 8/10.
        let b = [1.0, 3.0, 2.0, 4.0, 5.0];
        assert!((spearman(&a, &b) - 0.9).abs() < 1e-12);
        assert!((kendall(&a, &b) - 0.8).abs() < 1e-12);
        assert_eq!((spearman(&a, &[1.0; 5]), kendall(&a, &[1.0; 5])), (0.0, 0.0));
        assert_eq!((spearman(&[], &[]), kendall(&[], &[])), (0.0, 0.0));
    }

    #[test]
    fn fast_equals_slow_with_many_ties() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for length in [1, 2, 3, 7, 40, 101] {
            for levels in [2, 5, 1000] {
                let mut draw = || (0..length).map(|_| f64::from(rng.random_range(0..levels))).collect::<Vec<f64>>();
                let (a, b) = (draw(), draw());
                assert!((kendall(&a, &b) - slow_kendall(&a, &b)).abs() < 1e-12, "{a:?} {b:?}");
                assert_eq!(ranks(&a), slow_ranks(&a));
            }
        }
    }
}
