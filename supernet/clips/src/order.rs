/// A permutation of `0..len` that walks through files in long equal steps, for metadata that lists the kinds of
/// clips in short cycles and their characters in runs.
///
/// The step is the prime next to len/φ that does not divide len: a prime shares no factor with any shorter cycle, so
/// the kinds come evenly (in a cycle of 20, each 20 steps show all 20, where len is a multiple of 20); and steps of
/// the golden ratio spread evenly over the runs however many are taken. `seed` chooses the start.
pub fn balanced_order(len: usize, seed: u64) -> Vec<usize> {
    if len == 0 {
        return Vec::new();
    }
    let step = golden_prime(len);
    let start = (seed % len as u64) as usize;
    // In u128: a length times a step may not fit 64 bits.
    (0..len).map(|i| ((start as u128 + i as u128 * step as u128) % len as u128) as usize).collect()
}

fn golden_prime(len: usize) -> usize {
    let golden = (len as f64 * 0.618_033_988_749_895).round() as usize;
    let fits = |n: &usize| is_prime(*n) && !len.is_multiple_of(*n);
    let nearest = (0..golden.max(2)).flat_map(|distance| [golden + distance, golden - distance]).find(fits);
    nearest.unwrap_or(1)
}

fn is_prime(n: usize) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_index_comes_once() {
        for len in (0..200).chain([2000, 2003, 4096]) {
            for seed in [0, 1, u64::MAX] {
                let seen: BTreeSet<usize> = balanced_order(len, seed).into_iter().collect();
                assert_eq!(seen, (0..len).collect(), "{len}");
            }
        }
    }

    #[test]
    fn kinds_come_evenly_and_characters_early() {
        // 100 characters, each with the same 20 kinds of clips in a row.
        let order = balanced_order(2000, 7);
        for twenty in order.chunks(20) {
            let kinds: BTreeSet<usize> = twenty.iter().map(|i| i % 20).collect();
            assert_eq!(kinds.len(), 20);
        }
        let characters: BTreeSet<usize> = order[..200].iter().map(|i| i / 20).collect();
        assert!(characters.len() >= 95, "{} of 100 characters in 200 clips", characters.len());
    }
}
