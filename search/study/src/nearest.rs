/// The name most likely meant by a misspelt one, if any is near: at most a third of its letters wrong.
///
/// ```
/// assert_eq!(tnas_study::nearest("frmaes", ["seed", "frames"]), Some("frames"));
/// assert_eq!(tnas_study::nearest("speed_ms", ["seed", "frames"]), None);
/// ```
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = found.chars().count() / 3;
    let distances = known.into_iter().map(|name| (distance(&folded(found), &folded(name)), name));
    distances.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Letters without what is typed wrong most easily: case, and which dash.
fn folded(name: &str) -> Vec<char> {
    name.to_lowercase().replace('-', "_").chars().collect()
}

/// Insertions, deletions, substitutions and swaps of neighbours (Damerau 1964, optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let substituted = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if swapped { table[i - 2][j - 2] + 1 } else { usize::MAX };
                substituted.min(swapped).min(table[i - 1][j] + 1).min(table[i][j - 1] + 1)
            };
        }
    }
    table[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["frames", "population", "generations", "latency_ms", "k"];
        for (found, expected) in [
            ("frame", Some("frames")),
            ("generation", Some("generations")),
            ("popluation", Some("population")),
            ("Latency-MS", Some("latency_ms")),
            ("K", Some("k")),
            ("lr", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, known), expected, "{found}");
        }
    }

    #[test]
    fn a_distance_is_zero_for_equals_only_and_the_same_both_ways() {
        let words: Vec<Vec<char>> = ["", "ab", "ba", "abc", "frames"].iter().map(|w| folded(w)).collect();
        for a in &words {
            for b in &words {
                assert_eq!(distance(a, b), distance(b, a));
                assert_eq!(distance(a, b) == 0, a == b);
            }
        }
        assert_eq!(distance(&words[1], &words[2]), 1);
    }
}
