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

/// Two-sided quantile of Student's t with 8 degrees of freedom: what few errors, some of them outliers, ask for.
pub(crate) fn student(coverage: f64) -> f64 {
    // Closed form for even degrees of freedom (Abramowitz & Stegun 1964, eq. 26.7.4).
    let within = |t: f64| {
        let cos2 = 1.0 / (1.0 + t * t / 8.0);
        let sine = (1.0 - cos2).sqrt();
        sine * (1.0 + 0.5 * cos2 + 0.375 * cos2 * cos2 + 0.3125 * cos2.powi(3))
    };
    let (mut low, mut high) = (0.0, 1e3);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if within(middle) < coverage { low = middle } else { high = middle }
    }
    0.5 * (low + high)
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
        assert!((student(0.9) - 1.860).abs() < 1e-3 && (student(0.95) - 2.306).abs() < 1e-3);
        let errors = (1..=19).map(|error| (f64::from(error), 1.0)).collect();
        assert_eq!(conformal(errors, 0.9), Some(18.0));
        assert_eq!(conformal(Vec::new(), 0.9), None);
    }
}
