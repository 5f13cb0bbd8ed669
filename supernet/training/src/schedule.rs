/// Linear warm-up, then half a cosine down to a tenth of the peak (Loshchilov & Hutter 2017).
pub fn learning_rate(peak: f64, step: u64, steps: u64, warmup_steps: u64) -> f64 {
    const FLOOR: f64 = 0.1;
    if step < warmup_steps {
        return peak * (step + 1) as f64 / warmup_steps as f64;
    }
    let span = steps.saturating_sub(warmup_steps).max(1) as f64;
    let progress = ((step - warmup_steps) as f64 / span).min(1.0);
    peak * (FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_a_tenth() {
        let rates: Vec<f64> = (0..=100).map(|step| learning_rate(1.0, step, 100, 10)).collect();
        assert!(rates[..10].windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rates[10..].windows(2).all(|pair| pair[0] >= pair[1]));
        assert!((rates[9] - 1.0).abs() < 1e-12 && (rates[100] - 0.1).abs() < 1e-12);
    }
}
