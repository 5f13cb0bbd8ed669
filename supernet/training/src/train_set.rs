use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;
use tnas_network::{Leaves, Parameters, side_by_side};

use crate::{AdamWSettings, Ema, Optimizer, TrainError};

/// Weights under training: all of them, which of them train, and the optimiser's and the average's state.
#[derive(Clone)]
pub struct TrainSet {
    /// Every weight that the network reads.
    pub parameters: Parameters,
    /// Names that train; the rest is frozen.
    pub trained: BTreeSet<String>,
    /// AdamW's moments.
    pub optimizer: Optimizer,
    /// Average of the trained weights.
    pub ema: Ema,
    /// Learning rate relative to the peak, by front part of names.
    pub rates: BTreeMap<String, f64>,
    /// The same for names that no front part fits.
    pub other_rate: f64,
    /// What a trainer must remember besides weights; kept in checkpoints.
    pub notes: BTreeMap<String, u64>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
    /// Whether the weights moved: not where the norm is not finite.
    pub moved: bool,
}

impl TrainSet {
    /// Nothing trained so far.
    pub fn new(
        parameters: Parameters,
        trains: impl Fn(&str) -> bool,
        settings: &AdamWSettings,
        ema_decay: f64,
    ) -> Self {
        let trained: BTreeSet<String> = parameters.names().filter(|name| trains(name)).map(String::from).collect();
        let ema = Ema::new(&parameters, &trained, ema_decay);
        Self {
            parameters,
            trained,
            optimizer: Optimizer::new(settings),
            ema,
            rates: BTreeMap::new(),
            other_rate: 1.0,
            notes: BTreeMap::new(),
        }
    }

    /// Tracked weights for one step.
    pub fn leaves(&self) -> Leaves {
        self.parameters.leaves(|name| self.trained.contains(name))
    }

    /// All weights as constants of a step.
    pub fn frozen_leaves(&self) -> Leaves {
        self.parameters.leaves(|_| false)
    }

    /// Steps the optimiser with summed gradients, then the average.
    pub fn apply(&mut self, gradients: BTreeMap<String, Tensor<1>>, learning_rate: f64, step: u64) -> StepReport {
        let (rates, other) = (&self.rates, self.other_rate);
        let rate = |name: &str| {
            let factor =
                rates.iter().find(|(front, _)| name.starts_with(front.as_str())).map_or(other, |(_, &f)| f);
            learning_rate * factor
        };
        let gradient_norm = self.optimizer.step(&mut self.parameters, gradients, rate);
        let moved = gradient_norm.is_finite();
        if moved {
            self.ema.update(&self.parameters, step);
        }
        StepReport { gradient_norm, moved }
    }

    /// All weights with the trained ones averaged: what is evaluated and shipped.
    pub fn averaged(&self) -> Parameters {
        let mut parameters = self.parameters.clone();
        parameters.absorb(self.ema.average().clone());
        parameters
    }
}

/// A share of a step's loss.
pub struct PartLoss {
    /// What is differentiated.
    pub loss: Tensor<1>,
    /// What is reported.
    pub value: f64,
}

impl TrainSet {
    /// Loss and gradients of a step's parts, computed side by side and added in their order. A part says its own weight
    /// in the step's loss by scaling.
    pub fn gradients<J: Send>(
        &self,
        parts: Vec<J>,
        loss: impl Fn(&Leaves, J) -> Result<PartLoss, TrainError> + Sync,
    ) -> Result<(f64, BTreeMap<String, Tensor<1>>), TrainError> {
        let found = side_by_side(self.parameters.device(), parts, |part| {
            let leaves = self.leaves();
            let PartLoss { loss, value } = loss(&leaves, part)?;
            // A path without temporal layers over frozen image weights trains nothing.
            let gradients =
                if loss.is_tracked() { leaves.gradients(&mut loss.backward()) } else { BTreeMap::new() };
            Ok::<_, TrainError>((value, gradients))
        })?;
        let (mut value, mut sum) = (0.0, BTreeMap::new());
        for (part, gradients) in found {
            value += part;
            accumulate(&mut sum, gradients);
        }
        Ok((value, sum))
    }
}

/// Adds gradients by name.
fn accumulate(sum: &mut BTreeMap<String, Tensor<1>>, more: BTreeMap<String, Tensor<1>>) {
    for (name, gradient) in more {
        match sum.remove(&name) {
            None => sum.insert(name, gradient),
            Some(old) => sum.insert(name, old + gradient),
        };
    }
}
