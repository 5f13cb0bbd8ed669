use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clip::from_byte;
use crate::film::Picture;

/// `frames` indices spread evenly over `available`, its ends included; a single one is the middle.
pub(crate) fn frame_indices(available: Range<usize>, frames: usize) -> Vec<usize> {
    let last = available.len() - 1;
    match frames {
        1 => vec![available.start + last / 2],
        // Rounded half up, in whole numbers.
        _ => (0..frames).map(|i| available.start + (2 * i * last + frames - 1) / (2 * (frames - 1))).collect(),
    }
}

/// How a picture becomes a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Its middle square is taken.
    #[default]
    Crop,
    /// All of it is taken, with background on two sides.
    Pad,
    /// All of it is taken, its sides made equal.
    Stretch,
}

/// A picture as `[3, size, size]` in [-1, 1]: averaged over areas where it shrinks, nearest pixels where it grows,
/// untouched where it fits.
pub(crate) fn resampled(picture: &Picture, size: usize, fit: Fit, background: [u8; 3]) -> Vec<f32> {
    let Picture { height, width, .. } = *picture;
    match fit {
        Fit::Crop => {
            let side = height.min(width);
            scaled(picture, [(height - side) / 2, (width - side) / 2], [side, side], [size, size])
        }
        Fit::Stretch => scaled(picture, [0, 0], [height, width], [size, size]),
        Fit::Pad => {
            // Rounded half up; a picture keeps one row at least.
            let longer = height.max(width);
            let inner = [height, width].map(|side| ((2 * side * size + longer) / (2 * longer)).max(1));
            padded(&scaled(picture, [0, 0], [height, width], inner), inner, size, background)
        }
    }
}

/// Puts planes of `inner` rows and columns into the middle of a square.
fn padded(planes: &[f32], inner: [usize; 2], size: usize, background: [u8; 3]) -> Vec<f32> {
    let [rows, columns] = inner;
    let (top, left) = ((size - rows) / 2, (size - columns) / 2);
    let mut square: Vec<f32> =
        background.iter().flat_map(|&level| std::iter::repeat_n(from_byte(level), size * size)).collect();
    for (index, row) in planes.chunks(columns).enumerate() {
        let (channel, y) = (index / rows, index % rows);
        let start = (channel * size + top + y) * size + left;
        square[start..start + columns].copy_from_slice(row);
    }
    square
}

/// A rectangle of a picture as planes of `to` rows and columns.
fn scaled(picture: &Picture, corner: [usize; 2], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let [top, left] = corner;
    let [rows, columns] = to;
    let pixel = |row: usize, column: usize| picture.rgb[(top + row) * picture.width + left + column].map(from_byte);
    let taps = |side: usize| (0..to[side]).map(|i| taps(i, from[side], to[side])).collect::<Vec<_>>();
    let (taps_y, taps_x) = (taps(0), taps(1));
    let mut planes = vec![0.0; 3 * rows * columns];
    for row in 0..rows {
        for column in 0..columns {
            for &(y, weight_y) in &taps_y[row] {
                for &(x, weight_x) in &taps_x[column] {
                    for (channel, value) in pixel(y, x).into_iter().enumerate() {
                        planes[(channel * rows + row) * columns + column] += value * weight_y * weight_x;
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

    fn square(rgb: &[[u8; 3]], height: usize, width: usize, size: usize) -> Vec<f32> {
        resampled(&picture(rgb, height, width), size, Fit::Crop, [0; 3])
    }

    fn picture(rgb: &[[u8; 3]], height: usize, width: usize) -> Picture {
        Picture { height, width, rgb: rgb.to_vec(), shown_us: None }
    }

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

    #[test]
    fn a_wide_picture_is_padded_or_stretched() {
        let row: Vec<[u8; 3]> = [0, 0, 255, 255].map(|v| [v; 3]).into();
        let wide = picture(&[row.clone(), row].concat(), 2, 4);
        let (black, white, grey) = (-1.0, 1.0, from_byte(51));
        let padded = resampled(&wide, 4, Fit::Pad, [51; 3]);
        assert_eq!(
            padded[..16],
            [[grey; 4], [black, black, white, white], [black, black, white, white], [grey; 4]].concat()
        );
        assert_eq!(resampled(&wide, 2, Fit::Stretch, [51; 3])[..4], [black, white, black, white]);
        let line = resampled(&picture(&[[0; 3]; 100], 1, 100), 8, Fit::Pad, [51; 3]);
        assert!(line[..24].iter().chain(&line[32..64]).all(|x| *x == grey));
        assert!(line[24..32].iter().all(|x| (x - black).abs() < 1e-6));
    }
}
