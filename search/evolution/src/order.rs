use std::cmp::Ordering;

/// Orders points of one dimension by their first coordinate, then by the next.
pub(crate) fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(x, y)| x.total_cmp(y)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
