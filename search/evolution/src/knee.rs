use crate::error::{EvolutionError, Result, require_count, require_finite};
use crate::order::lexicographic;

/// Where a front bends most: past this point, a little of one objective costs much of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knee {
    /// The point's place in the list.
    pub index: usize,
    /// How far it lies below the plane through the front's extremes, in units of the front's ranges; 0 when nothing
    /// does, that is when the front is straight or bulges away from the ideal.
    pub distance: f64,
}

/// The knee of a front of mutually non-dominated points (none for an empty list): the point farthest below the
/// line between the extremes, each objective scaled to [0, 1] (Das 1999, the bulge of normal-boundary intersection).
///
/// With m objectives the line becomes the plane Σx = m − 1 through the corners where one objective is best and the
/// others worst, and the distance is (m − 1 − Σx) / √m. Among equals the lexicographically smallest point is taken.
///
/// ```
/// let knee = tnas_evolution::knee(&[[0.0, 1.0], [0.2, 0.2], [1.0, 0.0]])?;
/// assert_eq!(knee.map(|knee| knee.index), Some(1));
/// # Ok::<(), tnas_evolution::EvolutionError>(())
/// ```
pub fn knee<P: AsRef<[f64]>>(points: &[P]) -> Result<Option<Knee>> {
    let points: Vec<&[f64]> = points.iter().map(AsRef::as_ref).collect();
    let Some(first) = points.first() else { return Ok(None) };
    if first.is_empty() {
        return Err(EvolutionError::NoObjectives);
    }
    for point in &points {
        require_count(first.len(), point.len())?;
        require_finite("point coordinate", point)?;
    }

    let ranges: Vec<Range> = (0..first.len()).map(|objective| Range::of(&points, objective)).collect();
    // An objective in which all points agree neither bends nor counts.
    let dimension = ranges.iter().filter(|range| range.width > 0.0).count();
    let sum = |index: usize| -> f64 { ranges.iter().zip(points[index]).map(|(range, x)| range.scaled(*x)).sum() };
    let smaller = |a: &usize, b: &usize| {
        sum(*a).total_cmp(&sum(*b)).then_with(|| lexicographic(points[*a], points[*b])).then(a.cmp(b))
    };
    let knee = |index| {
        let below = dimension as f64 - 1.0 - sum(index);
        Knee { index, distance: if dimension > 0 { below.max(0.0) / (dimension as f64).sqrt() } else { 0.0 } }
    };
    Ok((0..points.len()).min_by(smaller).map(knee))
}

/// The values of one objective over a front.
struct Range {
    low: f64,
    width: f64,
}

impl Range {
    fn of(points: &[&[f64]], objective: usize) -> Self {
        let values = points.iter().map(|point| point[objective]);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        Self { low, width: values.fold(f64::NEG_INFINITY, f64::max) - low }
    }

    /// The value in [0, 1].
    fn scaled(&self, value: f64) -> f64 {
        if self.width > 0.0 { (value - self.low) / self.width } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<P: AsRef<[f64]>>(points: &[P]) -> Knee {
        knee(points).expect("finite").expect("points")
    }

    /// The slow, obvious twin for two objectives: distance to the line between the extremes, by a cross product.
    fn by_cross_product(points: &[[f64; 2]]) -> usize {
        let extreme = |objective: usize| {
            let best = points.iter().min_by(|a, b| a[objective].total_cmp(&b[objective]));
            *best.expect("points")
        };
        let [left, right] = [extreme(0), extreme(1)];
        let scaled =
            |p: &[f64; 2]| [(p[0] - left[0]) / (right[0] - left[0]), (p[1] - right[1]) / (left[1] - right[1])];
        let below = |p: &[f64; 2]| {
            let [a, b, p] = [scaled(&left), scaled(&right), scaled(p)];
            ((b[1] - a[1]) * (p[0] - a[0]) - (b[0] - a[0]) * (p[1] - a[1])) / (b[0] - a[0]).hypot(b[1] - a[1])
        };
        let order = |a: &usize, b: &usize| below(&points[*a]).total_cmp(&below(&points[*b]));
        (0..points.len()).max_by(order).expect("points")
    }

    #[test]
    fn agrees_with_the_distance_to_the_line() {
        for power in [1.3, 2.0, 3.7, 6.0] {
            let front: Vec<[f64; 2]> = (0..=57)
                .map(|step| f64::from(step) / 57.0)
                .map(|x| [3.0 + 40.0 * x, -1.0 + 0.02 * (1.0 - x).powf(power)])
                .collect();
            assert_eq!(found(&front).index, by_cross_product(&front));
        }
    }

    #[test]
    fn scaling_an_objective_moves_no_knee() {
        let front = [[0.0, 8.0], [1.0, 3.0], [2.0, 2.0], [4.0, 0.0]];
        let scaled = front.map(|[x, y]| [1024.0 * x, y / 1024.0 + 1.0]);
        assert_eq!(found(&front), found(&scaled));
        assert_eq!(found(&front).index, 1);
        assert!((found(&front).distance - (1.0 - 0.25 - 0.375) / 2.0_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn straight_and_hollow_fronts_have_no_distance() {
        assert_eq!(found(&[[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]), Knee { index: 2, distance: 0.0 });
        assert_eq!(found(&[[4.0, 0.0], [3.0, 3.0], [0.0, 4.0]]).distance, 0.0);
        assert_eq!(found(&[[1.0, 1.0]]), Knee { index: 0, distance: 0.0 });
        assert_eq!(knee::<[f64; 2]>(&[]), Ok(None));
    }

    #[test]
    fn three_objectives_bend_towards_the_ideal() {
        let front = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.5, 0.5, 0.5]];
        let knee = found(&front);
        assert_eq!(knee.index, 3);
        assert!((knee.distance - 0.5 / 3.0_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_scaled_is_refused() {
        assert!(knee(&[[0.0, f64::NAN]]).is_err());
        assert!(knee(&[vec![0.0, 1.0], vec![0.0]]).is_err());
    }
}
