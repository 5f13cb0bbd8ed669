use nalgebra::DMatrix;

/// Lower triangle L with L·Lᵀ = A, and its inverse; `None` where A is not positive.
///
/// Halves are factored and joined by products, which is where time goes in any case and where it goes fast.
pub(crate) fn factor(a: &DMatrix<f64>) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
    const SMALL: usize = 48;
    let n = a.nrows();
    if n <= SMALL {
        let lower = a.clone().cholesky()?.unpack();
        let inverse = lower.solve_lower_triangular(&DMatrix::identity(n, n))?;
        return Some((lower, inverse));
    }
    let half = n / 2;
    let rest = n - half;
    let (first, first_inverse) = factor(&a.view((0, 0), (half, half)).clone_owned())?;
    // A₂₁ = L₂₁·L₁₁ᵀ
    let below = a.view((half, 0), (rest, half)) * first_inverse.transpose();
    let (second, second_inverse) = factor(&(a.view((half, half), (rest, rest)) - &below * below.transpose()))?;
    let below_inverse = -(&second_inverse * &below * &first_inverse);
    let join = |first: &DMatrix<f64>, below: &DMatrix<f64>, second: &DMatrix<f64>| {
        let mut whole = DMatrix::zeros(n, n);
        whole.view_mut((0, 0), (half, half)).copy_from(first);
        whole.view_mut((half, 0), (rest, half)).copy_from(below);
        whole.view_mut((half, half), (rest, rest)).copy_from(second);
        whole
    };
    let lower = join(&first, &below, &second);
    Some((lower, join(&first_inverse, &below_inverse, &second_inverse)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_multiplies_back_and_its_inverse_is_one() {
        for n in [1, 48, 49, 131] {
            let b = DMatrix::from_fn(n, n, |i, j| (((i * 7 + j * 13) % 11) as f64 - 5.0) / 5.0);
            let a = &b * b.transpose() + DMatrix::identity(n, n);
            let (lower, inverse) = factor(&a).unwrap();
            assert!((&lower * lower.transpose() - &a).amax() < 1e-9 * a.amax(), "{n}");
            assert!((&lower * inverse - DMatrix::identity(n, n)).amax() < 1e-9, "{n}");
        }
    }

    #[test]
    fn what_is_not_positive_has_none() {
        assert!(factor(&(DMatrix::identity(100, 100) * -1.0)).is_none());
    }
}
