//! Tiles of products held in registers, over operands packed in panels (Goto & van de Geijn 2008).

use super::simd::vectorised;

/// Rows of a tile.
pub(super) const ROWS: usize = 8;
/// Columns of a tile: two of the widest vectors.
pub(super) const COLUMNS: usize = 32;

pub(super) type Tile = [[f32; COLUMNS]; ROWS];

/// Lines of `x` (`[step from line to line, step along a line]`) as panels `[panel, depth, N]` of `N` lines; zeros behind the
/// last line.
pub(super) fn pack<const N: usize>(
    x: &[f32],
    [line, along]: [usize; 2],
    lines: usize,
    depth: usize,
    panels: &mut [f32],
) {
    for (index, panel) in panels.chunks_exact_mut(N * depth).enumerate() {
        let first = index * N;
        let count = N.min(lines - first);
        if count < N {
            panel.fill(0.0);
        }
        if line == 1 {
            for (place, out) in panel.chunks_exact_mut(N).enumerate() {
                let from = &x[first + place * along..][..count];
                match <[f32; N]>::try_from(from) {
                    Ok(from) => out.copy_from_slice(&from),
                    Err(_) => out[..count].copy_from_slice(from),
                }
            }
            continue;
        }
        for i in 0..count {
            let from = x[(first + i) * line..].iter().step_by(along);
            for (out, from) in panel.chunks_exact_mut(N).zip(from) {
                out[i] = *from;
            }
        }
    }
}

/// Floats that panels of `N` lines take.
pub(super) fn packed<const N: usize>(lines: usize, depth: usize) -> usize {
    lines.next_multiple_of(N) * depth
}

/// Whether tiles are faster here than the products of [`super::product`].
pub(super) fn worthwhile() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Σ over the depth of a panel of rows times a panel of columns.
pub(super) fn tile(rows: &[f32], columns: &[f32]) -> Tile {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just found.
        return unsafe { wide(rows, columns) };
    }
    narrow(rows, columns)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide(rows: &[f32], columns: &[f32]) -> Tile {
    use std::arch::x86_64::{
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    let mut own = [[_mm512_setzero_ps(); 2]; ROWS];
    for (a, b) in rows.as_chunks::<ROWS>().0.iter().zip(columns.as_chunks::<COLUMNS>().0) {
        // SAFETY: `b` holds 32 floats.
        let b = unsafe { [_mm512_loadu_ps(b.as_ptr()), _mm512_loadu_ps(b.as_ptr().add(16))] };
        for (own, &a) in own.iter_mut().zip(a) {
            let a = _mm512_set1_ps(a);
            own[0] = _mm512_fmadd_ps(a, b[0], own[0]);
            own[1] = _mm512_fmadd_ps(a, b[1], own[1]);
        }
    }
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (sums, own) in sums.iter_mut().zip(&own) {
        // SAFETY: `sums` holds 32 floats.
        unsafe {
            _mm512_storeu_ps(sums.as_mut_ptr(), own[0]);
            _mm512_storeu_ps(sums.as_mut_ptr().add(16), own[1]);
        }
    }
    sums
}

vectorised! {
    fn narrow(rows: &[f32], columns: &[f32]) -> Tile {
        let mut sums = [[0.0; COLUMNS]; ROWS];
        for (r, sums) in sums.iter_mut().enumerate() {
            let mut own = [0.0f32; COLUMNS];
            for (a, b) in rows.as_chunks::<ROWS>().0.iter().zip(columns.as_chunks::<COLUMNS>().0) {
                for (own, b) in own.iter_mut().zip(b) {
                    *own += a[r] * b;
                }
            }
            *sums = own;
        }
        sums
    }
}
