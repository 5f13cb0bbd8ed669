use std::f64::consts::FRAC_PI_2;

/// The error that `coverage` of the errors, each with its weight, do not exceed; a further one counts 1 (Vovk et al. 2005;
/// with weights Barber et al. 2023). `None` where there are no errors.
pub(crate) fn conformal(mut errors: Vec<(f64, f64)>, coverage: f64) -> Option<f64> {
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = coverage * (1.0 + errors.iter().map(|error| error.1).sum::<f64>());
    let mut held = 0.0;
    for &(deviation, weight) in &errors {
        held += weight;
        // Up to the rounding of the sum.
        if held >= wanted - 1e-9 {
            return Some(deviation);
        }
    }
    errors.last().map(|error| error.0)
}

/// Two-sided quantile of Student's t with some degrees of freedom, 1 at least.
pub(crate) fn student(coverage: f64, freedom: f64) -> f64 {
    // With t = √ν·tan θ the density is proportional to cos^(ν−1) θ, over which Simpson's rule goes up to each end.
    const INTERVALS: usize = 400;
    let mass = |end: f64| {
        let at = |i: usize| (end * i as f64 / INTERVALS as f64).cos().max(0.0).powf(freedom.max(1.0) - 1.0);
        let inner = (1..INTERVALS).map(|i| at(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum::<f64>();
        end * (at(0) + inner + at(INTERVALS))
    };
    let wanted = coverage * mass(FRAC_PI_2);
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if mass(middle) < wanted { low = middle } else { high = middle }
    }
    freedom.max(1.0).sqrt() * (0.5 * (low + high)).tan()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (coverage, freedom, quantile) in
            [(0.9, 8.0, 1.860), (0.95, 8.0, 2.306), (0.9, 3.0, 2.353), (0.9, 1.0, 6.314), (0.9, 30.0, 1.697)]
        {
            assert!((student(coverage, freedom) - quantile).abs() < 1e-3, "{freedom}");
        }
        let errors = (1..=19).map(|error| (f64::from(error), 1.0)).collect();
        assert_eq!(conformal(errors, 0.9), Some(18.0));
        assert_eq!(conformal(Vec::new(), 0.9), None);
    }
}
