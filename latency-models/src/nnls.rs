use nalgebra::{DMatrix, DVector};

/// The non-negative `x` with the least ‖A·x − b‖², for a few columns: tries every set of columns that may be above 0,
/// which is exact and has no iterations to fail. Columns are scaled to length 1 within.
pub(crate) fn nnls(a: &DMatrix<f64>, b: &DVector<f64>) -> DVector<f64> {
    let columns = a.ncols();
    debug_assert!(columns <= 12, "2^{columns} sets");
    let lengths = DVector::from_iterator(columns, a.column_iter().map(|column| column.norm()));
    let unit =
        DMatrix::from_fn(a.nrows(), columns, |i, j| if lengths[j] > 0.0 { a[(i, j)] / lengths[j] } else { 0.0 });
    let (gram, moment) = (unit.transpose() * &unit, unit.transpose() * b);
    let mut best = (0.0, DVector::zeros(columns));
    for set in 1_u32..1 << columns {
        let used: Vec<usize> =
            (0..columns).filter(|&column| set >> column & 1 == 1 && lengths[column] > 0.0).collect();
        let Some(x) = solve(&gram, &moment, &used) else { continue };
        // ‖A·x − b‖² − ‖b‖² at the least squares of the set.
        let error = -used.iter().zip(x.iter()).map(|(&column, x)| moment[column] * x).sum::<f64>();
        if error < best.0 && x.iter().all(|&x| x >= 0.0) {
            let mut full = DVector::zeros(columns);
            used.iter().zip(x.iter()).for_each(|(&column, &x)| full[column] = x / lengths[column]);
            best = (error, full);
        }
    }
    best.1
}

/// Least squares on some columns; `None` where they (almost) repeat each other.
fn solve(gram: &DMatrix<f64>, moment: &DVector<f64>, used: &[usize]) -> Option<DVector<f64>> {
    let n = used.len();
    let cholesky = DMatrix::from_fn(n, n, |i, j| gram[(used[i], used[j])]).cholesky()?;
    // Squared pivots of unit columns: the fraction of a column that the ones before it do not explain.
    const LEAST_PIVOT: f64 = 1e-5;
    let independent = cholesky.l_dirty().diagonal().iter().all(|&pivot| pivot > LEAST_PIVOT);
    independent.then(|| cholesky.solve(&DVector::from_fn(n, |i, _| moment[used[i]])))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn the_optimum_fulfils_its_conditions() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
        for _ in 0..50 {
            let a = DMatrix::from_fn(12, 5, |_, j| rng.random_range(-1.0..1.0) * 1e3_f64.powi(j as i32));
            let b = DVector::from_fn(12, |_, _| rng.random_range(-1.0..1.0));
            let x = nnls(&a, &b);
            // Karush-Kuhn-Tucker: no descent inside, none into the positive from the border.
            let gradient = a.transpose() * (&a * &x - &b);
            for j in 0..5 {
                let slope = gradient[j] / a.column(j).norm();
                assert!(x[j] >= 0.0 && slope > -1e-9 && (x[j] == 0.0 || slope.abs() < 1e-9), "{j}: {x} {gradient}");
            }
        }
    }

    #[test]
    fn a_repeated_column_does_no_harm() {
        let a = DMatrix::from_row_slice(3, 3, &[1.0, 1.0, 0.0, 2.0, 2.0, 0.0, 3.0, 3.0, 0.0]);
        let x = nnls(&a, &DVector::from_vec(vec![2.0, 4.0, 6.0]));
        assert!((x[0] + x[1] - 2.0).abs() < 1e-12 && x[2] == 0.0, "{x}");
    }
}
