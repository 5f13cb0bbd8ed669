use std::ops::Range;

use crate::clip::from_byte;

/// `frames` indices spread evenly over `available`, its ends included; a single one is the middle.
pub(crate) fn frame_indices(available: Range<usize>, frames: usize) -> Vec<usize> {
    let last = available.len() - 1;
    match frames {
        1 => vec![available.start + last / 2],
        // Rounded half up, in whole numbers.
        _ => (0..frames).map(|i| available.start + (2 * i * last + frames - 1) / (2 * (frames - 1))).collect(),
    }
}

/// The middle square of a picture as `[3, size, size]` in [-1, 1]: averaged over areas where it shrinks, nearest
/// pixels where it grows, untouched where it fits.
pub(crate) fn square(rgb: &[[u8; 3]], height: usize, width: usize, size: usize) -> Vec<f32> {
    let side = height.min(width);
    let (top, left) = ((height - side) / 2, (width - side) / 2);
    let pixel = |row: usize, column: usize| rgb[(top + row) * width + left + column].map(from_byte);
    let taps: Vec<Vec<(usize, f32)>> = (0..size).map(|i| taps(i, side, size)).collect();
    let mut planes = vec![0.0; 3 * size * size];
    for row in 0..size {
        for column in 0..size {
            for &(y, weight_y) in &taps[row] {
                for &(x, weight_x) in &taps[column] {
                    for (channel, value) in pixel(y, x).into_iter().enumerate() {
                        planes[(channel * size + row) * size + column] += value * weight_y * weight_x;
                    }
                }
            }
        }
    }
    planes
}

/// Which of `side` pixels make pixel `i` of `size`, and with which weight.
fn taps(i: usize, side: usize, size: usize) -> Vec<(usize, f32)> {
    if size >= side {
        return vec![((2 * i + 1) * side / (2 * size), 1.0)];
    }
    // In units of 1/size of a source pixel: source pixel j covers j·size to (j+1)·size.
    let (from, to) = (i * side, (i + 1) * side);
    let overlap = |j: usize| (to.min((j + 1) * size) - from.max(j * size)) as f32 / side as f32;
    (from / size..to.div_ceil(size)).map(|j| (j, overlap(j))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_with_their_ends() {
        assert_eq!(frame_indices(1..9, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(frame_indices(0..6, 8), [0, 1, 1, 2, 3, 4, 4, 5]);
        assert_eq!(frame_indices(0..13, 8), [0, 2, 3, 5, 7, 9, 10, 12]);
        assert_eq!(frame_indices(0..7, 1), [3]);
        assert_eq!(frame_indices(4..5, 3), [4, 4, 4]);
    }

    #[test]
    fn weights_of_every_pixel_sum_to_one() {
        for (side, size) in [(64, 32), (64, 24), (7, 3), (5, 5), (3, 8), (100, 1)] {
            for i in 0..size {
                let taps = taps(i, side, size);
                assert!(taps.iter().all(|(j, weight)| *j < side && *weight > 0.0));
                assert!((taps.iter().map(|tap| tap.1).sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn halving_averages_and_doubling_repeats() {
        let picture = [[0; 3], [255; 3], [255; 3], [0; 3]];
        assert_eq!(square(&picture, 2, 2, 1), [0.0; 3]);
        let doubled = square(&picture, 2, 2, 4);
        assert_eq!(doubled[..8], [-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0]);
        assert_eq!(square(&picture, 2, 2, 2)[..4], [-1.0, 1.0, 1.0, -1.0]);
    }

    #[test]
    fn a_wide_picture_is_cut_to_its_middle() {
        let row: Vec<[u8; 3]> = [10, 20, 30, 40].map(|v| [v; 3]).into();
        assert_eq!(square(&row, 1, 4, 1)[0], from_byte(20));
        assert_eq!(square(&[row.clone(), row].concat(), 2, 4, 2)[..2], [from_byte(20), from_byte(30)]);
    }
}
