//! Numbers as a reader compares them. An unknown one is `–`.

use tnas_record::Spread;

/// So many decimals.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if value.is_nan() { unknown() } else { format!("{value:.decimals$}") }
}

/// Four decimals and a sign.
pub(crate) fn signed(value: f64) -> String {
    if value.is_nan() { unknown() } else { format!("{value:+.4}") }
}

/// Value of an objective, from losses to multiply-accumulates.
pub(crate) fn readable(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => unknown(),
        size if size < 1.0 => fixed(value, 5),
        size if size < 1e5 => fixed(value, 3),
        _ => fixed(value, 0),
    }
}

/// Three significant digits.
pub(crate) fn significant(value: f64) -> String {
    let decimals = if value == 0.0 { 2.0 } else { (2.0 - value.abs().log10().floor()).clamp(0.0, 5.0) };
    fixed(value, decimals as usize)
}

/// A fraction in per cent.
pub(crate) fn percent(fraction: f64) -> String {
    if fraction.is_nan() { unknown() } else { format!("{:.0} %", 100.0 * fraction) }
}

/// Ends of an interval in brackets, in two decimals.
pub(crate) fn ends(low: f64, high: f64) -> String {
    format!("[{}, {}]", fixed(low, 2), fixed(high, 2))
}

/// An estimate in so many decimals with its interval; unknown where there is none.
pub(crate) fn spread(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or_else(unknown, |Spread { estimate, low, high, .. }| {
        format!("{} {}", fixed(estimate, decimals), ends(low, high))
    })
}

/// What stands for a number that is not known.
pub(crate) fn unknown() -> String {
    "–".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_size() {
        assert_eq!([0.0, 1.5, 0.012_345, 1234.5].map(significant), ["0.00", "1.50", "0.0123", "1234"]);
        assert_eq!([0.5, 12.0, 2e9].map(readable), ["0.50000", "12.000", "2000000000"]);
        assert_eq!([fixed(f64::NAN, 2), signed(0.01), percent(0.5)], ["–", "+0.0100", "50 %"]);
    }
}
