use std::fs;

/// Runnable processes of the last minute, where the system reports it: ours has not begun, so they are others'.
pub fn load_of_others() -> Option<f64> {
    parse(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn parse(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok().filter(|load: &f64| load.is_finite() && *load >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_first_number() {
        assert_eq!(parse("1.25 0.80 0.61 2/333 4711\n"), Some(1.25));
        assert_eq!(parse(""), None);
        assert_eq!(parse("nan 1 1"), None);
    }
}
