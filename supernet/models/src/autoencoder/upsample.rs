use tnas_graph::{GraphBuilder, Op, ValueId};

use crate::{ModelError, backbone::options::Options};

/// How an image is enlarged without weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upsample {
    Nearest,
    Bilinear,
    Bicubic,
}

impl Upsample {
    pub fn read(options: &Options) -> Result<Self, ModelError> {
        let name: Option<String> = options.get("upsample_fn")?;
        match name.as_deref() {
            // By whole factors both kinds of nearest pick the same pixels.
            None | Some("nearest" | "nearest-exact") => Ok(Self::Nearest),
            Some("bilinear") => Ok(Self::Bilinear),
            Some("bicubic") => Ok(Self::Bicubic),
            Some(other) => {
                Err(options.unsupported("upsample_fn", other, "nearest, nearest-exact, bilinear, bicubic"))
            }
        }
    }

    /// What each of `length` pixels gives to pixel `at` of the enlarged row, with pixel centres at halves (torch's
    /// `align_corners=False`).
    fn taps(self, at: usize, factor: usize, length: usize) -> Vec<(usize, f32)> {
        let centre = (at as f32 + 0.5) / factor as f32 - 0.5;
        let centre = if self == Self::Bicubic { centre } else { centre.max(0.0) };
        let (first, offset) = (centre.floor(), centre - centre.floor());
        let inside = |steps: i64| (first as i64 + steps).clamp(0, length as i64 - 1) as usize;
        match self {
            Self::Nearest => vec![(at / factor, 1.0)],
            Self::Bilinear => vec![(inside(0), 1.0 - offset), (inside(1), offset)],
            Self::Bicubic => (-1..=2).map(|step| (inside(step), cubic(offset - step as f32))).collect(),
        }
    }
}

/// Keys' kernel (1981) with a = −0.75, as torch has it.
fn cubic(distance: f32) -> f32 {
    const A: f32 = -0.75;
    let x = distance.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

/// Enlargement of `[N, C, H, W]` by a whole factor.
pub(super) fn upsample(g: &mut GraphBuilder, path: &str, x: ValueId, factor: usize, kind: Upsample) -> ValueId {
    let &[images, channels, height, width] = g.shape(x) else { return x };
    let size = [factor * height, factor * width];
    if kind == Upsample::Nearest {
        return g.node(path, Op::ResizeNearest { size }, &[x]);
    }
    let planes = images * channels;
    let x = g.reshape(&format!("{path}.rows"), x, &[planes * height, width]);
    let x = stretch(g, &format!("{path}.wider"), x, factor, kind); // [N·C·H, s·W]
    let x = g.reshape(&format!("{path}.planes"), x, &[planes, height, size[1]]);
    let x = g.transpose(&format!("{path}.turned"), x, &[0, 2, 1]);
    let x = g.reshape(&format!("{path}.columns"), x, &[planes * size[1], height]);
    let x = stretch(g, &format!("{path}.taller"), x, factor, kind); // [N·C·s·W, s·H]
    let x = g.reshape(&format!("{path}.turned_planes"), x, &[planes, size[1], size[0]]);
    let x = g.transpose(&format!("{path}.turned_back"), x, &[0, 2, 1]);
    g.reshape(path, x, &[images, channels, size[0], size[1]])
}

/// Rows `[R, L]` times the matrix `[L, s·L]` of all taps.
fn stretch(g: &mut GraphBuilder, path: &str, x: ValueId, factor: usize, kind: Upsample) -> ValueId {
    let length = g.shape(x)[1];
    let long = factor * length;
    let mut matrix = vec![0.0; length * long];
    for at in 0..long {
        for (from, weight) in kind.taps(at, factor, length) {
            matrix[from * long + at] += weight;
        }
    }
    let matrix = g.constant(&format!("{path}.taps"), &[length, long], matrix);
    g.node(path, Op::MatMul, &[x, matrix])
}
