use rayon::prelude::*;

use crate::EvaluationError;

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
pub fn nearest_neighbours(
    queries: &[Vec<f64>],
    references: &[Vec<f64>],
) -> Result<Vec<Neighbour>, EvaluationError> {
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
) -> Result<usize, EvaluationError> {
    let refuse = |message: String| Err(EvaluationError::Statistic { statistic, message });
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
