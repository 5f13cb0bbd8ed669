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

/// Standard normal numbers of a clip `[C, F, H, W]` whose frames have a fraction of their variance in common, of 0 to 1: the mixed
/// noise of Ge et al. 2023 (arXiv 2305.10474), who write α²/(1 + α²) for the fraction.
pub fn clip_noise([channels, frames, height, width]: [usize; 4], shared: f64, rng: &mut Stream) -> Vec<f32> {
    let area = height * width;
    let mut noise = normal_vec(channels * frames * area, rng);
    if shared > 0.0 {
        let common = normal_vec(channels * area, rng);
        let [of_all, own] = [shared, 1.0 - shared].map(|fraction| fraction.max(0.0).sqrt() as f32);
        for (channel, common) in noise.chunks_mut(frames * area).zip(common.chunks(area)) {
            for frame in channel.chunks_mut(area) {
                frame.iter_mut().zip(common).for_each(|(x, common)| *x = own * *x + of_all * common);
            }
        }
    }
    noise
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
    fn frames_share_as_much_of_their_noise_as_asked() {
        let shape = [2, 3, 40, 50];
        let draw = |shared| clip_noise(shape, shared, &mut stream(0, "frames", 0));
        assert_eq!(draw(0.0), normal_vec(12_000, &mut stream(0, "frames", 0)));
        for shared in [0.3, 0.8, 1.0] {
            let noise = draw(shared);
            let plane = |channel: usize, frame: usize| &noise[(channel * 3 + frame) * 2000..][..2000];
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() / 2000.0;
            for (a, b, expected) in
                [((0, 0), (0, 0), 1.0), ((1, 2), (1, 2), 1.0), ((0, 0), (0, 2), shared), ((0, 1), (1, 1), 0.0)]
            {
                let found = f64::from(product(plane(a.0, a.1), plane(b.0, b.1)));
                assert!((found - expected).abs() < 0.1, "{shared}: {a:?} {b:?} {found}");
            }
        }
        assert_eq!(draw(1.0)[..2000], draw(1.0)[2000..4000]);
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let x = normal_vec(20_000, &mut stream(0, "moments", 0));
        let mean = x.iter().sum::<f32>() / 20_000.0;
        let variance = x.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }
}
