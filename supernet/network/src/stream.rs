use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

/// A random stream of its own, so that nothing depends on the order in which others draw.
pub type Stream = ChaCha8Rng;

/// The stream of a purpose (e.g. `"supernet/noise"`) at a step of a study with this seed.
pub fn stream(seed: u64, purpose: &str, step: u64) -> Stream {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(step.to_le_bytes());
    hash.update(purpose.as_bytes());
    Stream::from_seed(hash.finalize().into())
}

/// Standard normal numbers.
pub fn normal_vec(count: usize, rng: &mut Stream) -> Vec<f32> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_step() {
        let first = |seed, purpose, step| normal_vec(4, &mut stream(seed, purpose, step));
        assert_eq!(first(1, "a", 0), first(1, "a", 0));
        let all = [first(1, "a", 0), first(2, "a", 0), first(1, "b", 0), first(1, "a", 1)];
        assert!((1..4).all(|i| all[i] != all[0]));
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let x = normal_vec(20_000, &mut stream(0, "moments", 0));
        let mean = x.iter().sum::<f32>() / 20_000.0;
        let variance = x.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }
}
