//! Products of matrices on slices.

/// A matrix in a slice: strides from row to row and from column to column.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub values: &'a [f32],
    pub strides: [isize; 2],
}

impl<'a> Matrix<'a> {
    /// Rows one after another.
    pub fn rows(values: &'a [f32], columns: usize) -> Self {
        Self { values, strides: [columns as isize, 1] }
    }

    /// The transpose of rows one after another.
    pub fn columns(values: &'a [f32], rows: usize) -> Self {
        Self { values, strides: [1, rows as isize] }
    }
}

/// `out (+)= a·b` for `[m, n, k]`, `out` being rows one after another. All threads of the pool where `parallel`.
pub(super) fn multiply(
    [m, n, k]: [usize; 3],
    out: &mut [f32],
    add: bool,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallel: bool,
) {
    assert!(out.len() >= m * n && a.values.len() >= m * k && b.values.len() >= k * n);
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let parallelism = if threads > 1 { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None };
    // SAFETY: the three matrices lie within their slices, as just asserted, for their strides are those of dense ones;
    // `out` is borrowed uniquely.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.values.as_ptr(),
            a.strides[1],
            a.strides[0],
            b.values.as_ptr(),
            b.strides[1],
            b.strides[0],
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
