//! Rectified flow: x_t = (1 − t)·x0 + t·ε, whose velocity is ε − x0.

use serde::{Deserialize, Serialize};

/// How a sampler moves from one time to the next. Time runs from 1 (noise) to 0 (data).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Follows the velocity: x ← x + (t' − t)·v.
    Euler,
    /// Predicts the data and noises it anew: x ← (1 − t')·x̂0 + t'·ε. What a few-step student is trained on.
    Renoise,
}

impl Sampler {
    /// One move of a flat sample from `t` to `next`, given the velocity at `t`. `draw` gives as many standard normal numbers as
    /// the sample has, and is called by re-noising alone, where noise is left.
    pub fn step(self, x: &mut [f32], velocity: &[f32], t: f32, next: f32, draw: &mut dyn FnMut() -> Vec<f32>) {
        match self {
            Self::Euler => {
                for (x, v) in x.iter_mut().zip(velocity) {
                    *x += (next - t) * v;
                }
            }
            Self::Renoise => {
                let noise = if next > 0.0 { draw() } else { vec![0.0; x.len()] };
                for ((x, v), e) in x.iter_mut().zip(velocity).zip(noise) {
                    let data = *x - t * v;
                    *x = (1.0 - next) * data + next * e;
                }
            }
        }
    }
}

/// x_t = (1 − t)·x0 + t·ε (rectified flow, Liu et al. 2022).
pub fn interpolate(data: &[f32], noise: &[f32], t: f32) -> Vec<f32> {
    data.iter().zip(noise).map(|(x, e)| (1.0 - t) * x + t * e).collect()
}

/// Shift of times towards noise for larger samples: s·t / (1 + (s − 1)·t) (Esser et al. 2024, §5.3.2).
pub fn shift_time(t: f32, shift: f32) -> f32 {
    shift * t / (1.0 + (shift - 1.0) * t)
}

/// `steps + 1` times from 1 to 0, evenly spaced and then shifted.
pub fn euler_times(steps: usize, shift: f32) -> Vec<f32> {
    (0..=steps).map(|i| shift_time(1.0 - i as f32 / steps as f32, shift)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_start_at_noise_and_end_at_data() {
        for shift in [1.0, 3.0] {
            let times = euler_times(4, shift);
            assert_eq!((times[0], times[4]), (1.0, 0.0));
            assert!(times.windows(2).all(|pair| pair[0] > pair[1]));
        }
        assert_eq!(euler_times(4, 1.0), [1.0, 0.75, 0.5, 0.25, 0.0]);
    }

    #[test]
    fn both_samplers_reach_the_data_of_a_straight_flow() {
        let data = [0.3f32, -0.7];
        for sampler in [Sampler::Euler, Sampler::Renoise] {
            let mut x = vec![1.1, -0.2];
            for pair in euler_times(4, 1.0).windows(2) {
                // The exact velocity of a flow whose data is one point.
                let v: Vec<f32> = x.iter().zip(data).map(|(x, d)| (x - d) / pair[0]).collect();
                sampler.step(&mut x, &v, pair[0], pair[1], &mut || vec![0.4, -1.3]);
            }
            assert!(x.iter().zip(data).all(|(x, d)| (x - d).abs() < 1e-5), "{sampler:?} {x:?}");
        }
    }
}
