use crate::error::{Result, require_count, require_finite};
use crate::order::lexicographic;

/// The exact volume that `points` dominate and `reference` bounds, all coordinates minimised (Zitzler & Thiele
/// 1999). Points that are not below the reference in every coordinate add nothing.
///
/// Two objectives: one sweep, O(n log n). More: sums of exclusive volumes, O(n² log n) for three and exponential in
/// the number of objectives. The result is the same, to the bit, for any order of the points.
///
/// ```
/// let front = [[1.0, 3.0], [2.0, 1.0]];
/// assert_eq!(tnas_evolution::hypervolume(&front, &[4.0, 4.0])?, 7.0);
/// # Ok::<(), tnas_evolution::EvolutionError>(())
/// ```
pub fn hypervolume<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> Result<f64> {
    require_finite("reference point coordinate", reference)?;
    let mut inside = Vec::new();
    for point in points {
        let point = point.as_ref();
        require_count(reference.len(), point.len())?;
        require_finite("point coordinate", point)?;
        if point.iter().zip(reference).all(|(x, bound)| x < bound) {
            inside.push(point.to_vec());
        }
    }
    Ok(volume(inside, reference))
}

/// The volume of points that are below `reference`.
fn volume(points: Vec<Vec<f64>>, reference: &[f64]) -> f64 {
    match *reference {
        [] => 0.0,
        [bound] => points.iter().fold(0.0, |longest, point| (bound - point[0]).max(longest)),
        [bound, ceiling] => area(points, bound, ceiling),
        [ref lower @ .., last] => sliced(points, lower, last),
    }
}

/// Two dimensions: from left to right, each point adds a rectangle under the lowest one so far.
fn area(mut points: Vec<Vec<f64>>, bound: f64, mut ceiling: f64) -> f64 {
    points.sort_unstable_by(|a, b| lexicographic(a, b));
    let mut area = 0.0;
    for point in points {
        let [x, y] = [point[0], point[1]];
        if y < ceiling {
            area += (bound - x) * (ceiling - y);
            ceiling = y;
        }
    }
    area
}

/// Exclusive volumes (While, Bradstreet & Barone 2012, WFG), worst last coordinate first. What a point adds to those
/// after it is then a prism over the lower coordinates: its base is the point's own box less what the others,
/// limited to that box, cover.
fn sliced(mut points: Vec<Vec<f64>>, lower: &[f64], bound: f64) -> f64 {
    let last = lower.len();
    points.sort_unstable_by(|a, b| b[last].total_cmp(&a[last]).then_with(|| lexicographic(a, b)));
    let mut total = 0.0;
    for (index, point) in points.iter().enumerate() {
        let base = &point[..last];
        let limited = points[index + 1..].iter().map(|other| worse_of(base, &other[..last])).collect();
        let limited = minima(limited);
        if limited.first().is_some_and(|other| other == base) {
            continue;
        }
        let own: f64 = base.iter().zip(lower).map(|(x, bound)| bound - x).product();
        total += (own - volume(limited, lower)) * (bound - point[last]);
    }
    total
}

/// The corner of the box that both points dominate.
fn worse_of(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x.max(*y)).collect()
}

/// The points that no other weakly dominates, sorted.
fn minima(mut points: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    points.sort_unstable_by(|a, b| lexicographic(a, b));
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for point in points {
        if !kept.iter().any(|other| other.iter().zip(&point).all(|(x, y)| x <= y)) {
            kept.push(point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::error::EvolutionError;
    use crate::variation::Rng;

    /// The slow, obvious twin: inclusion and exclusion over all subsets.
    fn by_subsets(points: &[Vec<f64>], reference: &[f64]) -> f64 {
        let volume = |subset: u32| -> f64 {
            let members = points.iter().enumerate().filter(|(index, _)| subset >> index & 1 == 1);
            let corner = members.fold(vec![f64::MIN; reference.len()], |corner, (_, p)| worse_of(&corner, p));
            corner.iter().zip(reference).map(|(x, bound)| (bound - x).max(0.0)).product()
        };
        let sign = |subset: u32| if subset.count_ones() % 2 == 1 { 1.0 } else { -1.0 };
        (1..1_u32 << points.len()).map(|subset| sign(subset) * volume(subset)).sum()
    }

    fn cloud(count: usize, dimension: usize, rng: &mut Rng) -> Vec<Vec<f64>> {
        // On a grid, so that coordinates and whole points repeat, and some lie beyond the reference.
        (0..count).map(|_| (0..dimension).map(|_| f64::from(rng.random_range(0..12)) / 10.0).collect()).collect()
    }

    #[test]
    fn agrees_with_inclusion_and_exclusion() {
        let mut rng = Rng::seed_from_u64(1);
        for round in 0..150 {
            let [count, dimension] = [round % 9, 1 + round % 5];
            let points = cloud(count, dimension, &mut rng);
            let reference = vec![1.0; dimension];
            let fast = hypervolume(&points, &reference).expect("finite");
            let slow = by_subsets(&points, &reference);
            assert!((fast - slow).abs() < 1e-12, "{fast} against {slow} in {dimension} dimensions");
        }
    }

    #[test]
    fn the_order_of_the_points_changes_no_bit() {
        let mut rng = Rng::seed_from_u64(2);
        for dimension in 2..=5 {
            let mut points = cloud(40, dimension, &mut rng);
            let before = hypervolume(&points, &vec![1.1; dimension]).expect("finite");
            points.shuffle(&mut rng);
            assert_eq!(before, hypervolume(&points, &vec![1.1; dimension]).expect("finite"));
        }
    }

    #[test]
    fn more_points_never_take_volume_away() {
        let mut rng = Rng::seed_from_u64(3);
        for dimension in 2..=4 {
            let points = cloud(30, dimension, &mut rng);
            let volumes = (0..=points.len()).map(|count| hypervolume(&points[..count], &vec![1.1; dimension]));
            let volumes: Vec<f64> = volumes.collect::<Result<_>>().expect("finite");
            // 1e-12: sums of tenths round.
            assert!(volumes.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12));
        }
    }

    #[test]
    fn what_has_no_volume_is_refused() {
        let error = EvolutionError::ObjectiveCount { expected: 2, found: 3 };
        assert_eq!(hypervolume(&[[0.0; 3]], &[1.0; 2]), Err(error));
        assert!(hypervolume(&[[0.0, f64::NEG_INFINITY]], &[1.0; 2]).is_err());
        assert!(hypervolume(&[[0.0; 2]], &[1.0, f64::NAN]).is_err());
        assert_eq!(hypervolume(&[[0.0; 0]; 0], &[1.0; 2]), Ok(0.0));
    }
}
