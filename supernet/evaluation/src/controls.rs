//! Negative controls: real clips corrupted in one way. A measure of quality that does not score them worse is no measure.

use rand::{Rng, RngExt};

use tnas_clips::Clip;

/// The same frames in a random other order: each picture is right, the motion is not.
pub fn shuffled_frames(clip: &Clip, rng: &mut impl Rng) -> Clip {
    let mut order: Vec<usize> = (0..clip.frames).collect();
    // Fisher and Yates.
    for last in (1..order.len()).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    // Playing in order, or backwards, may be another right motion.
    match order.len() {
        2 => order = vec![1, 0],
        3.. if order.is_sorted() || order.is_sorted_by(|a, b| a > b) => order.swap(0, 1),
        _ => {}
    }
    clip.select_frames(&order)
}

/// The middle frame all along: the picture is right, nothing moves.
pub fn frozen(clip: &Clip) -> Clip {
    clip.select_frames(&vec![clip.frames.saturating_sub(1) / 2; clip.frames])
}

/// Normal noise of standard deviation `sigma` on every number, clamped to [-1, 1].
pub fn noisy(clip: &Clip, rng: &mut impl Rng, sigma: f32) -> Clip {
    let mut noisy = clip.clone();
    for value in &mut noisy.pixels {
        *value = (*value + sigma * normal(rng)).clamp(-1.0, 1.0);
    }
    noisy
}

/// Two clips of one shape laid over each other, `fraction` of the second: the picture that is right on average.
pub fn blend(clip: &Clip, other: &Clip, fraction: f32) -> Clip {
    let pixels = clip.pixels.iter().zip(&other.pixels).map(|(a, b)| a + fraction * (b - a)).collect();
    Clip { pixels, ..clip.clone() }
}

/// Each clip and half of another one of its caption, or of any where no other has it. Clips are of one shape.
pub fn blended(clips: &[Clip], rng: &mut impl Rng) -> Vec<Clip> {
    let one = |(index, clip): (usize, &Clip)| {
        let pool = of_the_caption(clips, index, 1);
        blend(clip, pool[rng.random_range(0..pool.len())], 0.5)
    };
    clips.iter().enumerate().map(one).collect()
}

/// Each pixel is the mean of the three by three around it, as far as the frame reaches.
pub fn blurred(clip: &Clip) -> Clip {
    let (height, width) = (clip.height, clip.width);
    let mut pixels = Vec::with_capacity(clip.pixels.len());
    for plane in clip.pixels.chunks(height * width) {
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let rows = row.saturating_sub(1)..(row + 2).min(height);
            let columns = column.saturating_sub(1)..(column + 2).min(width);
            let count = rows.len() * columns.len();
            let sum: f32 = rows.flat_map(|row| &plane[row * width..][columns.clone()]).sum();
            pixels.push(sum / count as f32);
        }
    }
    Clip { pixels, ..clip.clone() }
}

/// The other clips of a clip's caption; of any where there are fewer than `least`, and itself where it is alone.
fn of_the_caption(clips: &[Clip], index: usize, least: usize) -> Vec<&Clip> {
    let others = |alike: bool| -> Vec<&Clip> {
        let other = |(i, other): &(usize, &Clip)| *i != index && (!alike || other.caption == clips[index].caption);
        clips.iter().enumerate().filter(other).map(|(_, other)| other).collect()
    };
    let mut pool = others(true);
    if pool.len() < least {
        pool = others(false);
    }
    if pool.is_empty() {
        pool.push(&clips[index]);
    }
    pool
}

/// Frames that have nothing to do with each other: each from another clip of one caption, or of any where no other has it.
/// Each picture shows what was asked for, and no two the same thing. Clips are of one shape.
pub fn independent_frames(clips: &[Clip], rng: &mut impl Rng) -> Vec<Clip> {
    let mut made = Vec::with_capacity(clips.len());
    for (index, clip) in clips.iter().enumerate() {
        let pool = of_the_caption(clips, index, 2);
        let pixels =
            (0..clip.frames).flat_map(|f| pool[rng.random_range(0..pool.len())].frame(f)).copied().collect();
        made.push(Clip { pixels, ..clip.clone() });
    }
    made
}

/// A standard normal number (Box & Muller 1958).
fn normal(rng: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use tnas_clips::mean_frame_difference;

    fn ramp(frames: usize) -> Clip {
        let pixels = (0..frames).flat_map(|f| [f as f32 / frames as f32 * 2.0 - 1.0; 3 * 4]).collect();
        Clip::new(frames, 2, 2, pixels).expect("a clip").with_caption("brighter")
    }

    #[test]
    fn shuffling_keeps_the_frames_and_loses_the_order() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for frames in [3, 4, 8] {
                let clip = ramp(frames);
                let shuffled = shuffled_frames(&clip, &mut rng);
                let firsts: Vec<f32> = (0..frames).map(|f| shuffled.frame(f)[0]).collect();
                assert!(!firsts.is_sorted() && !firsts.is_sorted_by(|a, b| a > b), "{firsts:?}");
                let mut sorted = firsts.clone();
                sorted.sort_by(f32::total_cmp);
                assert_eq!(sorted, (0..frames).map(|f| clip.frame(f)[0]).collect::<Vec<_>>());
                assert_eq!(shuffled.caption, clip.caption);
            }
        }
        assert_eq!(shuffled_frames(&ramp(1), &mut ChaCha8Rng::seed_from_u64(0)), ramp(1));
    }

    #[test]
    fn a_frozen_clip_does_not_move() {
        assert_eq!(mean_frame_difference(&frozen(&ramp(8))), 0.0);
        assert_eq!(frozen(&ramp(8)).frame(7), ramp(8).frame(3));
    }

    #[test]
    fn independent_frames_are_of_other_clips_of_the_caption() {
        let of =
            |tone: f32, caption: &str| Clip::new(3, 1, 1, vec![tone; 9]).expect("a clip").with_caption(caption);
        let clips = [of(0.0, "a"), of(0.1, "a"), of(0.2, "a"), of(0.3, "b"), of(0.4, "b")];
        for seed in 0..20 {
            let made = independent_frames(&clips, &mut ChaCha8Rng::seed_from_u64(seed));
            let tones = |i: usize| (0..3).map(|f| made[i].frame(f)[0]).collect::<Vec<f32>>();
            assert!(tones(0).iter().all(|tone| [0.1, 0.2].contains(tone)), "{:?}", tones(0));
            // A pair would show one other clip alone: frames of any clip then, never its own.
            assert!(tones(3).iter().all(|tone| *tone != 0.3));
            assert!(made.iter().zip(&clips).all(|(made, clip)| made.caption == clip.caption));
        }
        assert_eq!(independent_frames(&clips[..1], &mut ChaCha8Rng::seed_from_u64(0)), clips[..1]);
    }

    #[test]
    fn a_blend_lies_between_two_clips_of_a_caption() {
        let of =
            |tone: f32, caption: &str| Clip::new(1, 1, 1, vec![tone; 3]).expect("a clip").with_caption(caption);
        let clips = [of(0.0, "a"), of(0.5, "a"), of(1.0, "b")];
        for seed in 0..20 {
            let made = blended(&clips, &mut ChaCha8Rng::seed_from_u64(seed));
            let tones: Vec<f32> = made.iter().map(|clip| clip.pixels[0]).collect();
            assert!(tones[..2] == [0.25, 0.25] && [0.5, 0.75].contains(&tones[2]), "{tones:?}");
            assert_eq!(made[2].caption, "b");
        }
        assert_eq!(blended(&clips[..1], &mut ChaCha8Rng::seed_from_u64(0)), clips[..1]);
    }

    #[test]
    fn a_blur_spreads_a_point_over_its_neighbours_and_keeps_what_is_even() {
        let mut pixels = vec![0.0; 3 * 25];
        pixels[12] = 0.9;
        let point = blurred(&Clip::new(1, 5, 5, pixels).expect("a clip"));
        let lit: Vec<usize> = (0..75).filter(|&i| point.pixels[i] != 0.0).collect();
        assert_eq!(lit, [6, 7, 8, 11, 12, 13, 16, 17, 18]);
        assert!(lit.iter().all(|&i| (point.pixels[i] - 0.1).abs() < 1e-6));
        assert_eq!(blurred(&ramp(3)), ramp(3));
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let grey = Clip::new(8, 16, 16, vec![0.0; 8 * 3 * 256]).expect("a clip");
        let noisy = noisy(&grey, &mut ChaCha8Rng::seed_from_u64(3), 0.2);
        let square = noisy.pixels.iter().map(|x| f64::from(x * x)).sum::<f64>() / noisy.pixels.len() as f64;
        assert!((square.sqrt() - 0.2).abs() < 0.005, "{square}");
        assert!(noisy.pixels.iter().sum::<f32>().abs() / (noisy.pixels.len() as f32) < 0.01);
    }
}
