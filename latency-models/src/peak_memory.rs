use std::fs;

/// Largest resident memory of this process since its start or the last [`reset_peak_memory`], where the system reports it.
pub fn peak_memory_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Forgets the peak so far, so that the next one belongs to what runs next; false where the system cannot.
pub fn reset_peak_memory() -> bool {
    // proc(5): writing 5 sets the peak to what is resident now.
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(1024 * kibibytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kibibytes_and_nothing_else() {
        assert_eq!(parse("Name:\ttnas\nVmHWM:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(parse("Name:\ttnas\n"), None);
        assert_eq!(parse("VmHWM:\tmany kB\n"), None);
    }
}
