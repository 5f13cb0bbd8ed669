//! Noise levels of a discrete diffusion process, and what a model predicts there.

use std::f64::consts::PI;

use crate::{SchedulerError, options::Options, spacing::linspace_f32};

/// What a denoiser's output stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// The noise.
    Epsilon,
    /// α·ε − σ·x0 (Salimans & Ho 2022).
    Velocity,
    /// The data.
    Sample,
    /// ε − x0.
    Flow,
}

/// ᾱ by training timestep, and what the model predicts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Diffusion {
    /// ᾱ_t: the data's fraction of the variance.
    pub alphas: Vec<f32>,
    pub prediction: Prediction,
    /// The cosine schedule (Nichol & Dhariwal 2021), under which samplers keep fractional timesteps.
    pub cosine: bool,
}

/// How a class differs from the others.
pub(crate) struct DiffusionDefaults {
    pub beta_start: f64,
    pub beta_end: f64,
    pub schedule: &'static str,
    pub schedules: &'static [&'static str],
    pub predictions: &'static [(&'static str, Prediction)],
    /// Takes `rescale_betas_zero_snr`.
    pub rescales: bool,
    /// Leaves a trace of data in a last level that has none.
    pub keeps_trace: bool,
}

/// Most classes' schedules.
pub(crate) const SCHEDULES: &[&str] = &["linear", "scaled_linear", "squaredcos_cap_v2"];

/// Most classes' predictions.
pub(crate) const PREDICTIONS: &[(&str, Prediction)] =
    &[("epsilon", Prediction::Epsilon), ("v_prediction", Prediction::Velocity), ("sample", Prediction::Sample)];

impl Default for DiffusionDefaults {
    fn default() -> Self {
        Self {
            beta_start: 1e-4,
            beta_end: 0.02,
            schedule: "linear",
            schedules: SCHEDULES,
            predictions: PREDICTIONS,
            rescales: true,
            keeps_trace: false,
        }
    }
}

impl Diffusion {
    pub fn read(options: &mut Options, defaults: &DiffusionDefaults) -> Result<Self, SchedulerError> {
        let train = options.count("num_train_timesteps", 1000)?;
        let (start, end) =
            (options.get("beta_start", defaults.beta_start)?, options.get("beta_end", defaults.beta_end)?);
        let words: Vec<(&str, &str)> = defaults.schedules.iter().map(|&name| (name, name)).collect();
        let schedule = options.word("beta_schedule", &words, defaults.schedule)?;
        let prediction = options.word("prediction_type", defaults.predictions, defaults.predictions[0].1)?;
        let rescale = defaults.rescales && options.get("rescale_betas_zero_snr", false)?;
        let trained: Option<Vec<f64>> = options.take("trained_betas")?;
        let mut betas = match trained {
            Some(betas) if betas.len() != train => {
                let count = betas.len();
                return Err(
                    options.wrong(format!("trained_betas has {count} numbers, num_train_timesteps is {train}"))
                );
            }
            Some(betas) => betas.into_iter().map(|beta| beta as f32).collect(),
            None => betas(schedule, start, end, train),
        };
        if let Some(beta) = betas.iter().find(|beta| !(0.0..=1.0).contains(*beta)) {
            return Err(options.wrong(format!("a beta is {beta}: they must lie between 0 and 1")));
        }
        if rescale {
            betas = zero_terminal(&betas);
        }
        let mut alphas = cumulated(&betas);
        if let Some(last) = alphas.last_mut().filter(|_| rescale && defaults.keeps_trace) {
            *last = (-24.0f32).exp2();
        }
        Ok(Self { alphas, prediction, cosine: schedule == "squaredcos_cap_v2" })
    }

    /// Training timesteps.
    pub fn train(&self) -> usize {
        self.alphas.len()
    }

    /// ᾱ of a timestep; before the first one, `last`.
    pub fn alpha(&self, timestep: i64, last: f32) -> f32 {
        usize::try_from(timestep).map_or(last, |t| self.alphas[t.min(self.alphas.len() - 1)])
    }

    /// σ/α of every timestep.
    pub fn sigmas(&self) -> Vec<f32> {
        self.alphas.iter().map(|&alpha| ((1.0 - alpha) / alpha).sqrt()).collect()
    }

    /// √ᾱ·x0 + √(1 − ᾱ)·ε at a training timestep.
    pub fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Vec<f32> {
        let alpha = self.alpha(timestep as i64, 1.0);
        mix(data, alpha.sqrt(), noise, (1.0 - alpha).sqrt())
    }

    /// The data that an output stands for, at ᾱ.
    pub fn data(&self, sample: &[f32], output: &[f32], alpha: f32) -> Vec<f32> {
        let (signal, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
        match self.prediction {
            Prediction::Epsilon => zip(sample, output, |x, e| (x - noise * e) / signal),
            Prediction::Velocity => zip(sample, output, |x, v| signal * x - noise * v),
            Prediction::Sample | Prediction::Flow => output.to_vec(),
        }
    }
}

/// a·x + b·y
pub(crate) fn mix(x: &[f32], a: f32, y: &[f32], b: f32) -> Vec<f32> {
    zip(x, y, |x, y| a * x + b * y)
}

/// Element by element.
pub(crate) fn zip(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    x.iter().zip(y).map(|(&x, &y)| f(x, y)).collect()
}

fn betas(schedule: &str, start: f64, end: f64, train: usize) -> Vec<f32> {
    match schedule {
        "scaled_linear" => linspace_f32(start.sqrt(), end.sqrt(), train).into_iter().map(|x| x * x).collect(),
        // Nichol & Dhariwal 2021, eq. 17.
        "squaredcos_cap_v2" => by_alpha_bar(train, |t| ((t + 0.008) / 1.008 * PI / 2.0).cos().powi(2)),
        "laplace" => by_alpha_bar(train, |t| {
            let logit = -0.5 * 1f64.copysign(0.5 - t) * (1.0 - 2.0 * (0.5 - t).abs() + 1e-6).ln();
            let snr = logit.exp();
            (snr / (1.0 + snr)).sqrt()
        }),
        "sigmoid" => linspace_f32(-6.0, 6.0, train)
            .into_iter()
            .map(|x| 1.0 / (1.0 + (-x).exp()) * (end - start) as f32 + start as f32)
            .collect(),
        _ => linspace_f32(start, end, train),
    }
}

fn by_alpha_bar(train: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f32> {
    let at = |i: usize| alpha_bar(i as f64 / train as f64);
    (0..train).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999) as f32).collect()
}

/// ∏ (1 − β), summed up in f64 and kept in f32.
fn cumulated(betas: &[f32]) -> Vec<f32> {
    let mut product = 1.0f64;
    let mut next = |beta: &f32| {
        product *= f64::from(1.0 - beta);
        product as f32
    };
    betas.iter().map(&mut next).collect()
}

/// Moves √ᾱ linearly so that the last level holds no data (Lin et al. 2024, algorithm 1).
fn zero_terminal(betas: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = cumulated(betas).into_iter().map(f32::sqrt).collect();
    let (first, last) = (roots[0], roots[roots.len() - 1]);
    let scale = first / (first - last);
    let bars: Vec<f32> = roots.iter().map(|root| ((root - last) * scale).powi(2)).collect();
    (0..bars.len()).map(|i| 1.0 - if i == 0 { bars[0] } else { bars[i] / bars[i - 1] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_fall_and_a_rescaled_last_one_is_empty() {
        for schedule in ["linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"] {
            let plain = betas(schedule, 1e-4, 0.02, 1000);
            let alphas = cumulated(&plain);
            assert!(alphas.windows(2).all(|pair| pair[1] <= pair[0]) && alphas[0] < 1.0, "{schedule}");
            let rescaled = cumulated(&zero_terminal(&plain));
            assert!(rescaled[999] == 0.0 && (rescaled[0] - alphas[0]).abs() < 1e-6, "{schedule}");
        }
    }
}
