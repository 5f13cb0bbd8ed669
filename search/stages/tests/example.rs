//! The example of ARCHITECTURE.md runs, and its front is the best there is.

#[allow(dead_code, reason = "its main prints the front")]
#[path = "../examples/search_as_a_library.rs"]
mod search_as_a_library;

#[test]
fn the_front_keeps_the_limit_and_no_member_dominates_another() {
    let front = search_as_a_library::front().expect("the search runs");
    assert!(front.len() > 10, "{front:?}");
    for (genotype, values) in &front {
        assert!(values["latency_ms"] <= 24.0, "{genotype}");
        for (other, theirs) in front.iter().filter(|(other, _)| other != genotype) {
            let no_worse = theirs["loss"] <= values["loss"] && theirs["latency_ms"] <= values["latency_ms"];
            assert!(!no_worse || theirs == values, "{other} dominates {genotype}");
        }
    }
    // Convolution everywhere costs 8 ms: with 14 ms to spend, the deepest slots can have attention.
    let best = front.iter().map(|(_, values)| values["loss"]).fold(f64::INFINITY, f64::min);
    assert!((best - 0.59).abs() < 1e-9, "{best}");
}
