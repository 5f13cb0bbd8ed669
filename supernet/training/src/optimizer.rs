use std::{collections::BTreeMap, convert::Infallible};

use burn::{
    optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer as _},
    tensor::{Device, Tensor},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_network::{AdamWStep, Parameter, Parameters, adamw, side_by_side, squares};

/// Settings of AdamW (Loshchilov & Hutter 2019) with clipping of the global gradient norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Added to the root of the second moment: torch's, not Burn's.
const EPSILON: f32 = 1e-8;

/// AdamW over named tensors, with Burn's bits. A tensor without a gradient keeps its bits and its moments.
#[derive(Clone)]
pub struct Optimizer {
    settings: AdamWSettings,
    adamw: AdamW,
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
        // Burn's defaults differ from torch's: epsilon and decay are set here.
        let config = AdamWConfig::new()
            .with_beta_1(settings.beta1)
            .with_beta_2(settings.beta2)
            .with_epsilon(EPSILON)
            .with_weight_decay(settings.weight_decay);
        Self { settings: *settings, adamw: config.build(), states: BTreeMap::new() }
    }

    /// Global norm of gradients before clipping.
    pub fn norm(device: &Device, gradients: &BTreeMap<String, Tensor<1>>) -> f64 {
        let Ok(sums) = side_by_side(device, gradients.values().collect(), |x| {
            Ok::<_, Infallible>(squares(x).into_iter().map(f64::from).sum::<f64>())
        });
        sums.iter().sum::<f64>().sqrt()
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
        let clip_norm = self.settings.clip_norm;
        let factor = if norm > clip_norm { clip_norm / norm } else { 1.0 };
        let mut jobs = Vec::new();
        for (name, gradient) in gradients {
            // Taken out, so that they are stepped in place.
            let Some(parameter) = parameters.remove(&name) else { continue };
            let state = self.states.remove(&name);
            jobs.push((rate(&name), name, gradient, parameter, state));
        }
        let Ok(moved) = side_by_side(&device, jobs, |(rate, name, gradient, Parameter { shape, flat }, state)| {
            let (flat, state) = self.step_one(rate, flat, gradient, state, factor);
            Ok::<_, Infallible>((name, Parameter { shape, flat }, state))
        });
        for (name, parameter, state) in moved {
            if let Some(state) = state {
                self.states.insert(name.clone(), state);
            }
            parameters.insert(name, parameter);
        }
    }

    /// One tensor's step: in one pass where there is an operation for it, else Burn's.
    fn step_one(
        &self,
        rate: f64,
        flat: Tensor<1>,
        gradient: Tensor<1>,
        state: Option<AdamWState<1>>,
        factor: f64,
    ) -> (Tensor<1>, Option<AdamWState<1>>) {
        let AdamWSettings { beta1, beta2, weight_decay, .. } = self.settings;
        let (first, second, time) = match state {
            Some(AdamWState { momentum }) => (momentum.moment_1, momentum.moment_2, momentum.time),
            None => (gradient.zeros_like(), gradient.zeros_like(), 0),
        };
        let step = AdamWStep {
            rate,
            beta1,
            beta2,
            epsilon: EPSILON,
            decay: weight_decay,
            scale: factor,
            time: i32::try_from(time + 1).unwrap_or(i32::MAX),
        };
        match adamw([flat, gradient, first, second], step) {
            Ok([flat, first, second]) => {
                (flat, Some(AdamWState::new(AdaptiveMomentumState::new(time + 1, first, second))))
            }
            Err(given) => {
                let [flat, gradient, first, second] = *given;
                let state = (time > 0).then(|| AdamWState::new(AdaptiveMomentumState::new(time, first, second)));
                let gradient = if factor == 1.0 { gradient } else { gradient.mul_scalar(factor) };
                self.adamw.step(rate, flat, gradient, state)
            }
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

#[cfg(test)]
mod tests {
    use tnas_network::{normal_vec, open_device, stream};

    use super::*;

    #[test]
    fn steps_have_the_bits_of_burns_adamw() {
        let device = open_device("cpu").unwrap();
        let settings = AdamWSettings { clip_norm: f64::INFINITY, ..AdamWSettings::default() };
        let mut optimizer = Optimizer::new(&settings);
        let draw = |name: &str, step| normal_vec(70_001, &mut stream(5, name, step));
        let mut parameters = Parameters::new(&device);
        parameters.insert_host("w", &[70_001], draw("w", 0));
        let mut flat = parameters.get("w").unwrap().flat.clone();
        let mut state = None;
        for step in 0..20 {
            let gradient = Tensor::<1>::from_data(draw("g", step).as_slice(), &device);
            let rate = 1e-2 / (1.0 + step as f64);
            optimizer.step(&mut parameters, BTreeMap::from([("w".into(), gradient.clone())]), 1.0, |_| rate);
            (flat, state) = optimizer.adamw.step(rate, flat, gradient, state);
        }
        let bits = |x: Tensor<1>| -> Vec<u32> {
            x.into_data().as_slice::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
        };
        assert!(bits(parameters.remove("w").unwrap().flat) == bits(flat));
        let momentum = optimizer.states.remove("w").unwrap().momentum;
        let expected = state.unwrap().momentum;
        assert_eq!(momentum.time, expected.time);
        assert!(bits(momentum.moment_1) == bits(expected.moment_1));
        assert!(bits(momentum.moment_2) == bits(expected.moment_2));
    }
}
