use tnas_clips::Clip;

/// How one frame is made from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockMatching {
    /// Rows and columns of a block.
    pub block: usize,
    /// Rows and columns that it may have moved, either way.
    pub reach: usize,
}

impl BlockMatching {
    /// For frames of this many rows: an eighth of them to a block and a sixteenth to either side, 4 and 2 pixels at least.
    pub fn for_size(rows: usize) -> Self {
        Self { block: (rows / 8).max(4), reach: (rows / 16).max(2) }
    }
}

/// What block matching leaves: each block of a frame is taken from where in the frame before it fits best (full search by
/// the sum of absolute differences, Jain & Jain 1981), and the mean |difference| that remains is averaged over blocks and
/// frames. 0 for a single frame, and for a frozen clip: compare it with that of real clips, in either direction.
///
/// Blocks at the edges are smaller; a block is taken from inside the frame.
pub fn warp_error(clip: &Clip, how: &BlockMatching) -> f64 {
    let (block, pairs) = (how.block.max(1), clip.frames.saturating_sub(1));
    let (mut sum, mut count) = (0.0, 0usize);
    for frame in 0..pairs {
        for top in (0..clip.height).step_by(block) {
            for left in (0..clip.width).step_by(block) {
                let place = [top, left, block.min(clip.height - top), block.min(clip.width - left)];
                let elements = 3 * place[2] * place[3];
                let best = moves(clip, place, how.reach).map(|from| difference(clip, frame, place, from));
                sum += best.fold(f64::INFINITY, f64::min);
                count += elements;
            }
        }
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// Corners inside the frame that a block may come from.
fn moves(clip: &Clip, [top, left, rows, columns]: [usize; 4], reach: usize) -> impl Iterator<Item = [usize; 2]> {
    let range = move |start: usize, length: usize, whole: usize| {
        start.saturating_sub(reach)..=(start + reach).min(whole - length)
    };
    let across = range(left, columns, clip.width);
    range(top, rows, clip.height).flat_map(move |row| across.clone().map(move |column| [row, column]))
}

/// Σ |difference| of a block of the next frame and the same block of this one, moved.
fn difference(clip: &Clip, frame: usize, place: [usize; 4], from: [usize; 2]) -> f64 {
    let [top, left, rows, columns] = place;
    let (now, next) = (clip.frame(frame), clip.frame(frame + 1));
    let area = clip.height * clip.width;
    let mut sum = 0.0;
    for channel in 0..3 {
        for row in 0..rows {
            let at = channel * area + (top + row) * clip.width + left;
            let source = channel * area + (from[0] + row) * clip.width + from[1];
            let pairs = next[at..at + columns].iter().zip(&now[source..source + columns]);
            sum += f64::from(pairs.map(|(a, b)| (a - b).abs()).sum::<f32>());
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use tnas_clips::mean_frame_difference;

    use crate::frozen;

    const HOW: BlockMatching = BlockMatching { block: 4, reach: 2 };

    /// A texture that moves by whole pixels each frame, around the edges.
    fn sliding(rows: usize, by: usize) -> Clip {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let texture: Vec<f32> = (0..3 * rows * rows).map(|_| rng.random_range(-1.0..1.0)).collect();
        let at = |f: usize, i: usize| {
            let (plane, row, column) = (i / (rows * rows), i / rows % rows, i % rows);
            texture[(plane * rows + row) * rows + (column + rows - by * f % rows) % rows]
        };
        let pixels = (0..3).flat_map(|f| (0..texture.len()).map(move |i| (f, i))).map(|(f, i)| at(f, i)).collect();
        Clip::new(3, rows, rows, pixels).expect("a clip")
    }

    #[test]
    fn a_motion_within_reach_leaves_its_edge_alone_and_one_beyond_leaves_nearly_all() {
        // Of 8 columns of blocks, the first has to come from outside.
        let (slow, fast) = (sliding(32, 2), sliding(32, 9));
        let share = |clip: &Clip| warp_error(clip, &HOW) / mean_frame_difference(clip);
        assert!(share(&slow) < 1.0 / 8.0, "{}", share(&slow));
        assert!(share(&fast) > 0.6, "{}", share(&fast));
        assert_eq!(warp_error(&frozen(&slow), &HOW), 0.0);
        assert_eq!(warp_error(&slow.select_frames(&[0]), &HOW), 0.0);
    }

    #[test]
    fn without_reach_it_is_the_frame_difference() {
        // 30 rows are no multiple of a block: every pixel counts once all the same.
        let clip = sliding(30, 3);
        let error = warp_error(&clip, &BlockMatching { block: 8, reach: 0 });
        assert!((error - mean_frame_difference(&clip)).abs() < 1e-6);
        let further = warp_error(&clip, &BlockMatching { block: 8, reach: 1 });
        assert!(further < error && warp_error(&clip, &BlockMatching { block: 8, reach: 3 }) < further);
    }
}
