use rayon::prelude::*;

use crate::{Clip, ClipError};

/// Mean |x_{f+1} − x_f| of each pair of neighbouring frames, F−1 numbers. Alone it misleads: frames that have nothing
/// to do with each other score highest.
pub fn frame_differences(clip: &Clip) -> Vec<f64> {
    let difference = |f: usize| {
        let pairs = clip.frame(f).iter().zip(clip.frame(f + 1));
        pairs.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / clip.frame_len() as f64
    };
    (0..clip.frames.saturating_sub(1)).map(difference).collect()
}

/// Mean of [`frame_differences`]; 0 for a single frame.
pub fn mean_frame_difference(clip: &Clip) -> f64 {
    let differences = frame_differences(clip);
    differences.iter().sum::<f64>() / differences.len().max(1) as f64
}

/// The reference nearest to something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Which reference; the first of equals.
    pub index: usize,
    /// Euclidean distance to it.
    pub distance: f64,
}

/// For each query the nearest reference. Generated clips nearer to training clips than held-out real clips are were
/// memorised.
pub fn nearest_neighbours(queries: &[Vec<f64>], references: &[Vec<f64>]) -> Result<Vec<Neighbour>, ClipError> {
    const STATISTIC: &str = "nearest neighbours";
    feature_width(STATISTIC, &[queries, references], 1)?;
    let squared = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    let nearest = |query: &Vec<f64>| {
        let mut best = Neighbour { index: 0, distance: f64::INFINITY };
        for (index, reference) in references.iter().enumerate() {
            let distance = squared(query, reference);
            if distance < best.distance {
                best = Neighbour { index, distance };
            }
        }
        Neighbour { distance: best.distance.sqrt(), ..best }
    };
    Ok(queries.par_iter().map(nearest).collect())
}

/// Length of the feature vectors, if all sets have at least `least` of one length, and all numbers are finite.
pub(crate) fn feature_width(
    statistic: &'static str,
    sets: &[&[Vec<f64>]],
    least: usize,
) -> Result<usize, ClipError> {
    let refuse = |message: String| Err(ClipError::Statistic { statistic, message });
    if let Some(small) = sets.iter().find(|set| set.len() < least) {
        return refuse(format!("{} feature vectors, at least {least} needed", small.len()));
    }
    let width = sets.iter().find_map(|set| set.first()).map_or(0, Vec::len);
    for vector in sets.iter().copied().flatten() {
        if vector.len() != width || width == 0 {
            return refuse(format!("feature vectors of {width} and {} numbers", vector.len()));
        }
        if !vector.iter().all(|x| x.is_finite()) {
            return refuse("a feature is not finite".to_owned());
        }
    }
    Ok(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_means_over_a_frame() {
        let frames: [[f32; 3]; 3] = [[0.0; 3], [0.3, 0.0, 0.0], [0.3, 0.6, -0.6]];
        let clip = Clip::new(3, 1, 1, frames.concat()).expect("a clip");
        let differences = frame_differences(&clip);
        assert!((differences[0] - 0.1).abs() < 1e-6 && (differences[1] - 0.4).abs() < 1e-6);
        assert!((mean_frame_difference(&clip) - 0.25).abs() < 1e-6);
        assert_eq!(mean_frame_difference(&clip.select_frames(&[1])), 0.0);
    }

    #[test]
    fn the_nearest_is_found() {
        let references = [vec![0.0, 0.0], vec![3.0, 4.0], vec![3.0, 4.0]];
        let found = nearest_neighbours(&[vec![3.0, 5.0], vec![0.0, 0.0]], &references).expect("features");
        assert_eq!(found, [Neighbour { index: 1, distance: 1.0 }, Neighbour { index: 0, distance: 0.0 }]);
    }

    #[test]
    fn features_that_do_not_fit_are_refused() {
        assert!(nearest_neighbours(&[vec![1.0]], &[]).is_err());
        assert!(nearest_neighbours(&[vec![1.0]], &[vec![1.0, 2.0]]).is_err());
        assert!(nearest_neighbours(&[vec![f64::NAN]], &[vec![1.0]]).is_err());
        assert!(nearest_neighbours(&[vec![]], &[vec![]]).is_err());
    }
}
