/// Boosted oblivious trees (Prokhorenkova et al. 2018): every level of a tree asks one question of all rows. For where there
/// are hundreds of rows and more, and latency goes by steps.
pub(crate) struct Trees {
    trees: Vec<Tree>,
    mean: f64,
}

struct Tree {
    /// Column and the least value that goes right, by level.
    questions: Vec<(usize, f64)>,
    leaves: Vec<f64>,
}

/// How they grow.
#[derive(Clone, Copy)]
pub(crate) struct Growth {
    pub(crate) trees: usize,
    pub(crate) depth: usize,
    pub(crate) rate: f64,
}

const BINS: usize = 64;
/// Rows' worth of 0 that is added to each leaf.
const SHRINKAGE: f64 = 3.0;

impl Trees {
    /// Least squares; `columns` of equal length.
    pub(crate) fn fit(columns: &[Vec<f64>], y: &[f64], growth: Growth) -> Self {
        let borders: Vec<Vec<f64>> = columns.iter().map(|column| borders(column)).collect();
        let binned: Vec<Vec<u8>> = columns
            .iter()
            .zip(&borders)
            .map(|(column, borders)| column.iter().map(|v| borders.partition_point(|b| b <= v) as u8).collect())
            .collect();
        let mean = y.iter().sum::<f64>() / y.len().max(1) as f64;
        let mut rest: Vec<f64> = y.iter().map(|y| y - mean).collect();
        let mut trees = Vec::with_capacity(growth.trees);
        for _ in 0..growth.trees {
            let Some((tree, leaf)) = grow(&binned, &borders, &rest, growth) else { break };
            rest.iter_mut().zip(&leaf).for_each(|(rest, &leaf)| *rest -= tree.leaves[usize::from(leaf)]);
            trees.push(tree);
        }
        Self { trees, mean }
    }

    /// Of one row.
    pub(crate) fn predict(&self, row: &[f64]) -> f64 {
        let leaf = |tree: &Tree| {
            let bits = tree.questions.iter().map(|&(column, least)| usize::from(row[column] >= least));
            tree.leaves[bits.fold(0, |leaf, bit| 2 * leaf + bit)]
        };
        self.mean + self.trees.iter().map(leaf).sum::<f64>()
    }
}

/// Values between which a column is cut, at most `BINS - 1`.
fn borders(column: &[f64]) -> Vec<f64> {
    let mut sorted = column.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut borders: Vec<f64> =
        (1..BINS).map(|cut| sorted[(cut * sorted.len() / BINS).min(sorted.len() - 1)]).collect();
    borders.dedup();
    if borders.first() == sorted.first() {
        borders.remove(0);
    }
    borders
}

/// A tree and each row's leaf; `None` where no question separates rows.
fn grow(binned: &[Vec<u8>], borders: &[Vec<f64>], rest: &[f64], growth: Growth) -> Option<(Tree, Vec<u16>)> {
    let mut leaf = vec![0_u16; rest.len()];
    let mut questions = Vec::new();
    for level in 0..growth.depth {
        let leaves = 1 << level;
        let mut best = (1e-12, None);
        for (column, bins) in binned.iter().enumerate() {
            let mut sums = vec![(0.0, 0.0); leaves * BINS];
            for ((&bin, &leaf), rest) in bins.iter().zip(&leaf).zip(rest) {
                let sum = &mut sums[usize::from(leaf) * BINS + usize::from(bin)];
                *sum = (sum.0 + rest, sum.1 + 1.0);
            }
            let mut gains = vec![0.0; borders[column].len()];
            for sums in sums.chunks(BINS) {
                add_gains(sums, &mut gains);
            }
            for (border, &gain) in gains.iter().enumerate() {
                if gain > best.0 {
                    best = (gain, Some((column, border)));
                }
            }
        }
        let Some((column, border)) = best.1 else { break };
        for (leaf, &bin) in leaf.iter_mut().zip(&binned[column]) {
            *leaf = 2 * *leaf + u16::from(usize::from(bin) > border);
        }
        questions.push((column, borders[column][border]));
    }
    if questions.is_empty() {
        return None;
    }
    let mut sums = vec![(0.0, 0.0); 1 << questions.len()];
    for (&leaf, rest) in leaf.iter().zip(rest) {
        let sum = &mut sums[usize::from(leaf)];
        *sum = (sum.0 + rest, sum.1 + 1.0);
    }
    let leaves = sums.iter().map(|(sum, count)| growth.rate * sum / (count + SHRINKAGE)).collect();
    Some((Tree { questions, leaves }, leaf))
}

/// What each border would explain of one leaf's sums.
fn add_gains(sums: &[(f64, f64)], gains: &mut [f64]) {
    let score = |(sum, count): (f64, f64)| sum * sum / (count + SHRINKAGE);
    let all = sums.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    let mut left = (0.0, 0.0);
    for (gain, sum) in gains.iter_mut().zip(sums) {
        left = (left.0 + sum.0, left.1 + sum.1);
        *gain += score(left) + score((all.0 - left.0, all.1 - left.1)) - score(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_their_products_are_learned() {
        let a: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let b: Vec<f64> = (0..400).map(|i| f64::from(i / 20)).collect();
        let truth = |a: f64, b: f64| if a >= 7.0 { 3.0 } else { 1.0 } * if b >= 11.0 { 2.0 } else { 1.0 };
        let y: Vec<f64> = a.iter().zip(&b).map(|(&a, &b)| truth(a, b)).collect();
        let trees = Trees::fit(&[a.clone(), b.clone()], &y, Growth { trees: 100, depth: 3, rate: 0.3 });
        for i in 0..400 {
            assert!((trees.predict(&[a[i], b[i]]) - y[i]).abs() < 0.02);
        }
    }

    #[test]
    fn nothing_to_ask_gives_the_mean() {
        let trees =
            Trees::fit(&[vec![1.0; 5]], &[1.0, 2.0, 3.0, 4.0, 5.0], Growth { trees: 9, depth: 2, rate: 0.1 });
        assert_eq!(trees.predict(&[1.0]), 3.0);
    }
}
