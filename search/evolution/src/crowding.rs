/// Crowding distance of each point of one front (Deb et al. 2002, §III-B): per objective the gap between a point's
/// two neighbours over the front's range, summed; infinite at the ends, so that they are kept.
///
/// An objective in which all points agree says nothing and is left out.
pub(crate) fn crowding_distances(front: &[&[f64]]) -> Vec<f64> {
    let mut distances = vec![0.0; front.len()];
    let objectives = front.first().map_or(0, |point| point.len());
    let mut order: Vec<usize> = (0..front.len()).collect();
    for objective in 0..objectives {
        let value = |index: usize| front[index][objective];
        order.sort_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
        let [first, .., last] = order[..] else { return vec![f64::INFINITY; front.len()] };
        let range = value(last) - value(first);
        if range <= 0.0 {
            continue;
        }
        for neighbours in order.windows(3) {
            distances[neighbours[1]] += (value(neighbours[2]) - value(neighbours[0])) / range;
        }
        distances[first] = f64::INFINITY;
        distances[last] = f64::INFINITY;
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let front: [&[f64]; 4] = [&[0.0, 10.0], &[1.0, 6.0], &[3.0, 5.0], &[4.0, 0.0]];
        let inner = [3.0 / 4.0 + 5.0 / 10.0, 3.0 / 4.0 + 6.0 / 10.0];
        assert_eq!(crowding_distances(&front), [f64::INFINITY, inner[0], inner[1], f64::INFINITY]);
    }

    #[test]
    fn few_points_are_all_ends_and_equal_points_are_all_crowded() {
        assert!(crowding_distances(&[]).is_empty());
        assert_eq!(crowding_distances(&[&[1.0, 2.0]]), [f64::INFINITY]);
        assert_eq!(crowding_distances(&[&[1.0, 2.0], &[2.0, 1.0]]), [f64::INFINITY; 2]);
        assert_eq!(crowding_distances(&[&[1.0, 2.0][..]; 3]), [0.0; 3]);
    }
}
