use serde::{Deserialize, Serialize};

use crate::bootstrap::quantile;
use tnas_clips::Clip;

use crate::{EvaluationError, Interval, wilson_interval};

/// Rows and columns of a thumbnail at most.
const THUMBNAIL: usize = 16;

/// More than this fraction of clips below what one held-out clip in a hundred is below were copied.
const COPIED_SHARE: f64 = 0.05;

/// How near clips are to training clips, compared with real clips that were not trained on.
///
/// Where held-out clips repeat training clips themselves (their nearest is at distance 0), a copy cannot be recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memorisation {
    /// Median distance to the nearest training clip.
    pub median: f64,
    /// The same of held-out real clips.
    pub held_out_median: f64,
    /// The first over the second: below 1 is nearer.
    pub ratio: f64,
    /// Fraction of clips nearer than one in a hundred held-out clips is.
    pub below_1st: f64,
    /// Its 95 % interval (Wilson).
    pub below_1st_interval: [f64; 2],
    /// Fraction nearer than the 5th percentile.
    pub below_5th: f64,
    /// Its interval.
    pub below_5th_interval: [f64; 2],
    /// Whether clips were copied: the fraction below the 1st percentile is above a twentieth, beyond its interval.
    pub copies: bool,
}

impl Memorisation {
    /// From each clip's distance to its nearest training clip.
    pub fn new(distances: &[f64], held_out: &[f64]) -> Result<Self, EvaluationError> {
        let sorted = |distances: &[f64]| {
            let mut sorted = distances.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted
        };
        let (found, held_out) = (sorted(distances), sorted(held_out));
        let fine = |distances: &[f64]| !distances.is_empty() && distances.iter().all(|x| x.is_finite());
        if !fine(&found) || !fine(&held_out) {
            let message =
                format!("{} and {} finite distances are needed, one of each", found.len(), held_out.len());
            return Err(EvaluationError::Statistic { statistic: "memorisation", message });
        }
        let below = |fraction: f64| {
            let limit = quantile(&held_out, fraction);
            let count = found.iter().filter(|&&distance| distance < limit).count();
            let Interval { estimate, low, high } = wilson_interval(count as f64 / found.len() as f64, found.len());
            (estimate, [low, high])
        };
        let ((below_1st, below_1st_interval), (below_5th, below_5th_interval)) = (below(0.01), below(0.05));
        let (median, held_out_median) = (quantile(&found, 0.5), quantile(&held_out, 0.5));
        let ratio = median / held_out_median;
        let copies = below_1st_interval[0] > COPIED_SHARE;
        Ok(Self {
            median,
            held_out_median,
            ratio,
            below_1st,
            below_1st_interval,
            below_5th,
            below_5th_interval,
            copies,
        })
    }
}

/// A clip as one vector to compare by: every frame averaged over cells, to 16 rows and columns at most.
pub fn thumbnail(clip: &Clip) -> Vec<f64> {
    let cells = |length: usize| length.div_ceil(length.div_ceil(THUMBNAIL).max(1));
    let (rows, columns) = (cells(clip.height), cells(clip.width));
    cell_means(clip, rows, columns)
}

/// Means over the cells of a grid, `[F, 3, rows, columns]`.
pub fn cell_means(clip: &Clip, rows: usize, columns: usize) -> Vec<f64> {
    let area = clip.height * clip.width;
    let mut means = Vec::with_capacity(clip.frames * 3 * rows * columns);
    for plane in clip.pixels.chunks(area) {
        for row in 0..rows {
            for column in 0..columns {
                let [ys, xs] = [(row, rows, clip.height), (column, columns, clip.width)]
                    .map(|(cell, cells, length)| cell * length / cells..((cell + 1) * length).div_ceil(cells));
                let mut sum = 0.0;
                for y in ys.clone() {
                    sum += plane[y * clip.width..][xs.clone()].iter().map(|&x| f64::from(x)).sum::<f64>();
                }
                means.push(sum / (ys.len() * xs.len()) as f64);
            }
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;
    use tnas_clips::{ShapeClips, ShapeSettings, Split};

    use crate::nearest_neighbours;

    fn shapes(split: Split, range: std::ops::Range<usize>) -> Vec<Vec<f64>> {
        let settings = ShapeSettings { frames: 4, size: 16, split, ..Default::default() };
        let clips = ShapeClips::new(settings).expect("settings");
        range.map(|index| thumbnail(&clips.clip(index))).collect()
    }

    #[test]
    fn copies_of_training_clips_are_told_and_held_out_clips_are_not() {
        let train = shapes(Split::Train, 0..400);
        let nearest = |clips: &[Vec<f64>]| -> Vec<f64> {
            nearest_neighbours(clips, &train).expect("thumbnails").iter().map(|found| found.distance).collect()
        };
        let held_out = nearest(&shapes(Split::Validation, 0..300));
        let fresh = Memorisation::new(&nearest(&shapes(Split::Test, 0..200)), &held_out).expect("distances");
        assert!(!fresh.copies && (0.8..1.25).contains(&fresh.ratio), "{fresh:?}");
        // A model that repeats training clips with a little noise.
        let copied: Vec<Vec<f64>> = train[..200]
            .iter()
            .map(|clip| clip.iter().enumerate().map(|(i, x)| x + [0.01, -0.01][i % 2]).collect())
            .collect();
        let copied = Memorisation::new(&nearest(&copied), &held_out).expect("distances");
        assert!(copied.copies && copied.below_1st > 0.95 && copied.ratio < 0.5, "{copied:?}");
        // One that repeats a fifth of the time.
        let mixed: Vec<f64> = nearest(&shapes(Split::Test, 0..160)).into_iter().chain(vec![0.0; 40]).collect();
        assert!(Memorisation::new(&mixed, &held_out).expect("distances").copies);
    }

    #[test]
    fn nothing_to_compare_is_refused() {
        assert!(Memorisation::new(&[], &[1.0]).is_err() && Memorisation::new(&[1.0], &[]).is_err());
        assert!(Memorisation::new(&[f64::NAN], &[1.0]).is_err());
    }

    #[test]
    fn small_frames_are_their_own_thumbnails_and_large_ones_are_averaged() {
        let clip = Clip::new(1, 2, 2, (0..12).map(|x| x as f32 / 16.0).collect()).expect("a clip");
        assert_eq!(thumbnail(&clip), clip.pixels.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let large = Clip::new(2, 64, 40, vec![0.25; 2 * 3 * 64 * 40]).expect("a clip");
        assert_eq!(thumbnail(&large), vec![0.25; 2 * 3 * 16 * 14]);
        let halves: Vec<f32> = (0..3 * 4 * 4).map(|i| if i % 4 < 2 { -1.0 } else { 1.0 }).collect();
        assert_eq!(cell_means(&Clip::new(1, 4, 4, halves).expect("a clip"), 1, 2), [-1.0, 1.0].repeat(3));
    }
}
