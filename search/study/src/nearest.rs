use strsim::osa_distance;

/// The name most likely meant by a misspelt one, if any is near: at most a third of its letters wrong.
///
/// Errors are insertions, deletions, substitutions and swaps of neighbours (optimal string alignment); case, and which dash,
/// count as none.
///
/// ```
/// assert_eq!(tnas_study::nearest("frmaes", ["seed", "frames"]), Some("frames"));
/// assert_eq!(tnas_study::nearest("speed_ms", ["seed", "frames"]), None);
/// ```
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = found.chars().count() / 3;
    let distances = known.into_iter().map(|name| (osa_distance(&folded(found), &folded(name)), name));
    distances.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Letters without what is typed wrong most easily: case, and which dash.
fn folded(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
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
}
