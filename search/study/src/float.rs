//! Numbers in JSON, bit for bit: JSON has no word for the numbers that are not finite.

use serde_json::Value;

/// The number, or `"nan"`, `"inf"`, `"-inf"`.
pub(crate) fn to_json(number: f64) -> Value {
    match number {
        n if n.is_finite() => Value::from(n),
        n if n.is_nan() => "nan".into(),
        n if n > 0.0 => "inf".into(),
        _ => "-inf".into(),
    }
}

/// The number that [`to_json`] wrote.
pub(crate) fn from_json(value: &Value) -> Option<f64> {
    match value.as_str() {
        None => value.as_f64(),
        Some("nan") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        let numbers =
            [0.0, -0.0, 0.1, 1e300, f64::MIN_POSITIVE, 5e-324, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        for number in numbers {
            let text = to_json(number).to_string();
            let found = serde_json::from_str(&text).ok().and_then(|value| from_json(&value));
            assert_eq!(found.map(f64::to_bits), Some(number.to_bits()), "{text}");
        }
    }
}
