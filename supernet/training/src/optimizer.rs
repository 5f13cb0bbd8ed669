use std::{collections::BTreeMap, convert::Infallible};

use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer as _},
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};
use tnas_network::{Parameter, Parameters, side_by_side};

/// Settings of AdamW (Loshchilov & Hutter 2019) with clipping of the global gradient norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWSettings {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest norm of all gradients together.
    pub clip_norm: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.99, weight_decay: 0.01, clip_norm: 1.0, warmup_steps: 20 }
    }
}

/// Burn's AdamW over named tensors. A tensor without a gradient keeps its bits and its moments.
#[derive(Clone)]
pub struct Optimizer {
    adamw: AdamW,
    clip_norm: f64,
    states: BTreeMap<String, AdamWState<1>>,
}

/// The moments of one tensor, as stored.
pub(crate) struct Moments {
    pub steps: u64,
    pub first: Tensor<1>,
    pub second: Tensor<1>,
}

impl Optimizer {
    /// An optimiser without history.
    pub fn new(settings: &AdamWSettings) -> Self {
        // Burn's defaults differ from torch's: epsilon 1e-5 and decay 1e-4 are set here.
        let config = AdamWConfig::new()
            .with_beta_1(settings.beta1)
            .with_beta_2(settings.beta2)
            .with_epsilon(1e-8)
            .with_weight_decay(settings.weight_decay);
        Self { adamw: config.build(), clip_norm: settings.clip_norm, states: BTreeMap::new() }
    }

    /// Global norm of gradients before clipping.
    pub fn norm(device: &Device, gradients: &BTreeMap<String, Tensor<1>>) -> f64 {
        let Ok(squares) =
            side_by_side(device, gradients.values().collect(), |x| Ok::<_, Infallible>(sum_of_squares(x)));
        squares.iter().sum::<f64>().sqrt()
    }

    /// Steps every tensor that has a gradient; `norm` is that of all of them, `rate` gives the learning rate by name.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: BTreeMap<String, Tensor<1>>,
        norm: f64,
        rate: impl Fn(&str) -> f64,
    ) {
        let device = parameters.device().clone();
        let factor = if norm > self.clip_norm { self.clip_norm / norm } else { 1.0 };
        let mut jobs = Vec::new();
        for (name, gradient) in gradients {
            let Some(parameter) = parameters.get(&name).cloned() else { continue };
            let state = self.states.remove(&name);
            jobs.push((rate(&name), name, gradient, parameter, state));
        }
        let Ok(moved) = side_by_side(&device, jobs, |(rate, name, gradient, Parameter { shape, flat }, state)| {
            let gradient = if factor == 1.0 { gradient } else { gradient.mul_scalar(factor) };
            let (flat, state) = self.adamw.step(rate, flat, gradient, state);
            Ok::<_, Infallible>((name, Parameter { shape, flat }, state))
        });
        for (name, parameter, state) in moved {
            if let Some(state) = state {
                self.states.insert(name.clone(), state);
            }
            parameters.insert(name, parameter);
        }
    }

    pub(crate) fn moments(&self) -> impl Iterator<Item = (&str, Moments)> {
        self.states.iter().map(|(name, state)| {
            let AdaptiveMomentumState { time, moment_1, moment_2, .. } = state.momentum.clone();
            (name.as_str(), Moments { steps: time as u64, first: moment_1, second: moment_2 })
        })
    }

    pub(crate) fn restore(&mut self, name: String, moments: Moments) {
        let state = AdaptiveMomentumState::new(moments.steps as usize, moments.first, moments.second);
        self.states.insert(name, AdamWState::new(state));
    }
}

/// Sum of squares in a fixed order: longer sums on the CPU backend are unordered and would not repeat.
fn sum_of_squares(x: &Tensor<1>) -> f64 {
    const CHUNK: usize = 1 << 20;
    let [length] = x.dims();
    let part = |start: usize| {
        let chunk = x.clone().narrow(0, start, CHUNK.min(length - start));
        f64::from(chunk.square().sum().into_scalar::<f32>())
    };
    (0..length).step_by(CHUNK).map(part).sum()
}
