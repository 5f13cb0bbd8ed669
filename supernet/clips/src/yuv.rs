//! Luma and chroma to red, green and blue and back, in whole numbers: the same bits on every machine.

/// Planes of a picture whose chroma has half its sides.
pub(crate) struct YuvPlanes<'a> {
    pub y: &'a [u8],
    pub u: &'a [u8],
    pub v: &'a [u8],
    /// Bytes from row to row of each plane.
    pub strides: (usize, usize, usize),
    pub width: usize,
    pub height: usize,
}

/// How luma is made: weights of red and blue (green has the rest), and whether it spans all 256 values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Matrix {
    red: f64,
    blue: f64,
    full_range: bool,
}

/// Binary places of the integer coefficients.
const PLACES: u32 = 16;

impl Matrix {
    /// Standard definition (ITU-R BT.601).
    pub const BT601: Self = Self { red: 0.299, blue: 0.114, full_range: false };
    /// High definition (ITU-R BT.709).
    pub const BT709: Self = Self { red: 0.2126, blue: 0.0722, full_range: false };

    /// The same with luma and chroma over all 256 values, or over those of studios.
    pub fn with_range(self, full_range: bool) -> Self {
        Self { full_range, ..self }
    }

    /// Luma's offset, and the spans of luma and of chroma.
    fn range(self) -> (i64, f64, f64) {
        if self.full_range { (0, 255.0, 255.0) } else { (16, 219.0, 224.0) }
    }
}

fn fixed(value: f64) -> i64 {
    (value * f64::from(1u32 << PLACES)).round() as i64
}

fn rounded(value: i64) -> u8 {
    ((value + (1 << (PLACES - 1))) >> PLACES).clamp(0, 255) as u8
}

impl YuvPlanes<'_> {
    /// Red, green and blue, row by row.
    pub fn to_rgb(&self, matrix: Matrix) -> Vec<[u8; 3]> {
        let (offset, luma_span, chroma_span) = matrix.range();
        let green = 1.0 - matrix.red - matrix.blue;
        let luma = fixed(255.0 / luma_span);
        let per_chroma = 2.0 * 255.0 / chroma_span;
        let (red_v, blue_u) = (fixed((1.0 - matrix.red) * per_chroma), fixed((1.0 - matrix.blue) * per_chroma));
        let green_v = fixed((1.0 - matrix.red) * per_chroma * matrix.red / green);
        let green_u = fixed((1.0 - matrix.blue) * per_chroma * matrix.blue / green);
        let mut rgb = Vec::with_capacity(self.width * self.height);
        for row in 0..self.height {
            for column in 0..self.width {
                let chroma = |plane: &[u8], stride: usize| i64::from(plane[row / 2 * stride + column / 2]) - 128;
                let y = (i64::from(self.y[row * self.strides.0 + column]) - offset) * luma;
                let (u, v) = (chroma(self.u, self.strides.1), chroma(self.v, self.strides.2));
                rgb.push([y + red_v * v, y - green_u * u - green_v * v, y + blue_u * u].map(rounded));
            }
        }
        rgb
    }
}

/// Planes Y, U and V one after another of a picture with even sides; each chroma is the mean of four pixels'.
pub(crate) fn from_rgb(rgb: &[[u8; 3]], width: usize, height: usize, matrix: Matrix) -> Vec<u8> {
    let (offset, luma_span, chroma_span) = matrix.range();
    let weights = [matrix.red, 1.0 - matrix.red - matrix.blue, matrix.blue];
    let luma = weights.map(|weight| fixed(weight * luma_span / 255.0));
    // The difference of blue (or red) and luma, scaled to chroma's span.
    let chroma = |channel: usize| {
        let scale = chroma_span / 255.0 / (2.0 * (1.0 - weights[channel]));
        let of = |i: usize| fixed(scale * (f64::from(u8::from(i == channel)) - weights[i]));
        [of(0), of(1), of(2)]
    };
    let sum = |weights: [i64; 3], pixel: [i64; 3]| (0..3).map(|i| weights[i] * pixel[i]).sum::<i64>();
    let wide = |pixel: [u8; 3]| pixel.map(i64::from);
    let mut planes: Vec<u8> =
        rgb.iter().map(|&pixel| rounded(sum(luma, wide(pixel)) + (offset << PLACES))).collect();
    for weights in [chroma(2), chroma(0)] {
        for row in (0..height).step_by(2) {
            for column in (0..width).step_by(2) {
                let at = row * width + column;
                let four = [at, at + 1, at + width, at + width + 1].map(|i| sum(weights, wide(rgb[i])));
                planes.push(rounded(four.iter().sum::<i64>() / 4 + (128 << PLACES)));
            }
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_survive_the_round_trip() {
        for matrix in [Matrix::BT601, Matrix::BT709, Matrix { full_range: true, ..Matrix::BT601 }] {
            for colour in [[0, 0, 0], [255; 3], [255, 0, 0], [0, 255, 0], [0, 0, 255], [12, 200, 90], [128; 3]] {
                let planes = from_rgb(&[colour; 4], 2, 2, matrix);
                let planes = YuvPlanes {
                    y: &planes[..4],
                    u: &planes[4..5],
                    v: &planes[5..],
                    strides: (2, 1, 1),
                    width: 2,
                    height: 2,
                };
                for pixel in planes.to_rgb(matrix) {
                    let worst = (0..3).map(|i| pixel[i].abs_diff(colour[i])).max().unwrap_or(0);
                    assert!(worst <= 2, "{colour:?} became {pixel:?}");
                }
            }
        }
    }

    #[test]
    fn black_and_white_have_their_levels() {
        assert_eq!(from_rgb(&[[0; 3]; 4], 2, 2, Matrix::BT601), [16, 16, 16, 16, 128, 128]);
        assert_eq!(from_rgb(&[[255; 3]; 4], 2, 2, Matrix::BT709), [235, 235, 235, 235, 128, 128]);
    }
}
