use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;
use tnas_network::{Compute, Device, Leaves, Parameters, accumulate, open_device, side_by_side};

use crate::{
    AdamWSettings, Adapters, Checkpointing, Ema, Optimizer, TrainError, TrainingRecipe, loss_scale::LossScale,
    weighted_loss::WeightedLoss,
};

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
    /// What a step keeps of its forward pass.
    pub checkpointing: Checkpointing,
    /// Numbers that a trainer keeps besides weights, by name; stored in checkpoints.
    pub notes: BTreeMap<String, u64>,
    /// Frozen weights with low-rank adapters that train.
    pub adapters: Adapters,
    /// Devices that a step's micro-batches are computed on, one at a time each; the weights' own device where empty.
    pub devices: Vec<Device>,
    /// Precision of the forward and backward pass.
    pub compute: Compute,
}

/// What an update of the weights did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
    /// Whether the weights moved: a bad update is skipped.
    pub moved: bool,
    /// Whether gradients overflowed in f16 under a scaled loss: the next loss is scaled less.
    pub overflowed: bool,
}

impl StepReport {
    /// Whether training is stable: an overflow while the loss scale is still falling does not count as a bad update.
    pub fn good(&self) -> bool {
        self.moved || self.overflowed
    }
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
            checkpointing: Checkpointing::Off,
            notes: BTreeMap::new(),
            adapters: Adapters::default(),
            devices: Vec::new(),
            compute: Compute::F32,
        }
    }

    /// Tracked weights for one step.
    pub fn leaves(&self) -> Leaves {
        self.leaves_of(&self.adapters.merged(&self.parameters))
    }

    fn leaves_of(&self, weights: &Parameters) -> Leaves {
        let leaves = weights.leaves(|name| self.trained.contains(name) || self.adapters.contains(name));
        let leaves = leaves.computing(self.compute);
        match self.checkpointing {
            Checkpointing::Off => leaves,
            Checkpointing::Blocks => leaves.in_segments(),
        }
    }

    /// All weights as constants of a step on a device.
    pub fn frozen_leaves(&self, device: &Device) -> Leaves {
        self.adapters.merged(&self.parameters).on_device(device).leaves(|_| false).computing(self.compute)
    }

    /// Steps the optimiser with summed gradients, then the average, where the gradients are finite.
    pub fn apply(&mut self, gradients: BTreeMap<String, Tensor<1>>, learning_rate: f64, step: u64) -> StepReport {
        self.apply_if(gradients, learning_rate, step, f64::is_finite)
    }

    /// The same where `accepts` the global gradient norm; else every weight, moment and average keeps its bits.
    pub fn apply_if(
        &mut self,
        gradients: BTreeMap<String, Tensor<1>>,
        learning_rate: f64,
        step: u64,
        accepts: impl FnOnce(f64) -> bool,
    ) -> StepReport {
        let gradient_norm = Optimizer::norm(self.parameters.device(), &gradients);
        let moved = accepts(gradient_norm) && gradient_norm.is_finite();
        if moved {
            let (rates, other) = (&self.rates, self.other_rate);
            let rate = |name: &str| {
                let factor =
                    rates.iter().find(|(front, _)| name.starts_with(front.as_str())).map_or(other, |(_, &f)| f);
                learning_rate * factor
            };
            self.optimizer.step(&mut self.parameters, gradients, gradient_norm, rate);
            self.ema.update(&self.parameters, step);
        }
        let overflowed = !gradient_norm.is_finite() && self.loss_scale().is_scaled();
        if let Some(mut scale) = LossScale::of(self.compute, &self.notes) {
            scale.adjust(overflowed);
            scale.note(&mut self.notes);
        }
        StepReport { gradient_norm, moved, overflowed }
    }

    /// All weights with the trained ones averaged and adapters merged: what is evaluated and shipped.
    pub fn averaged(&self) -> Parameters {
        let mut parameters = self.parameters.clone();
        parameters.absorb(self.ema.average().clone());
        self.adapters.merged(&parameters)
    }

    /// Sets checkpointing, precision and devices, which are opened by name, as a recipe says.
    pub fn configure(&mut self, recipe: &TrainingRecipe) -> Result<(), TrainError> {
        self.checkpointing = recipe.checkpointing;
        self.devices = recipe.devices.iter().map(|name| open_device(name)).collect::<Result<_, _>>()?;
        self.compute_in(recipe.compute)
    }

    /// Sets the precision of the forward and backward pass; an error where a device lacks it.
    pub fn compute_in(&mut self, compute: Compute) -> Result<(), TrainError> {
        self.compute = compute;
        let own = self.devices.is_empty().then(|| self.parameters.device());
        Ok(self.devices.iter().chain(own).try_for_each(|device| compute.check(device))?)
    }

    /// Puts low-rank adapters (Hu et al. 2022) on the frozen weights of linear layers and convolutions that `adapts` names: the
    /// adapters train, the weights stay.
    pub fn adapt(&mut self, rank: usize, adapts: impl Fn(&str) -> bool, seed: u64) {
        let frozen = |name: &str| !self.trained.contains(name) && adapts(name);
        let added = self.adapters.add(&mut self.parameters, rank, frozen, seed);
        self.trained.extend(added);
        self.ema = Ema::new(&self.parameters, &self.trained, self.ema.decay);
    }
}

impl TrainSet {
    /// Loss and summed gradients of a step's micro-batches, each in parts that are computed at the same time: one micro-batch
    /// after another, or one on each device at a time, so that few of them are in memory together. Sums are in the order of
    /// micro-batches and parts.
    pub fn gradients<Part: Send>(
        &self,
        micro_batches: Vec<Vec<Part>>,
        loss: impl Fn(&Leaves, Part) -> Result<WeightedLoss, TrainError> + Sync,
    ) -> Result<(f64, BTreeMap<String, Tensor<1>>), TrainError> {
        let home = self.parameters.device();
        let weights = self.adapters.merged(&self.parameters);
        let replicas: Vec<Parameters> = match &self.devices[..] {
            [] => vec![weights],
            devices => devices.iter().map(|device| weights.on_device(device)).collect(),
        };
        let scale = self.loss_scale();
        let compute = |weights: &Parameters, parts: Vec<Part>| {
            side_by_side(weights.device(), parts, |part| {
                let leaves = self.leaves_of(weights);
                let WeightedLoss { loss, value } = loss(&leaves, part)?;
                Ok::<_, TrainError>((value, scale.backward(&leaves, loss)?))
            })
        };
        let (mut value, mut sum) = (0.0, BTreeMap::new());
        let mut waiting = micro_batches.into_iter().peekable();
        while waiting.peek().is_some() {
            let one_each: Vec<_> = replicas.iter().zip(waiting.by_ref()).collect();
            for found in at_once(one_each, |(weights, parts)| compute(weights, parts))? {
                for (part, gradients) in found {
                    value += part;
                    accumulate(&mut sum, to_device(gradients, home));
                }
            }
        }
        self.adapters.split(&self.parameters, &mut sum);
        Ok((value, sum))
    }

    fn loss_scale(&self) -> LossScale {
        LossScale::of(self.compute, &self.notes).unwrap_or_default()
    }
}

/// Does jobs at the same time, each in a thread of its own; a single job in this thread. Results are in the jobs' order.
fn at_once<J: Send, R: Send>(
    mut jobs: Vec<J>,
    work: impl Fn(J) -> Result<R, TrainError> + Sync,
) -> Result<Vec<R>, TrainError> {
    let Some(first) = (jobs.len() < 2).then(|| jobs.pop()).flatten() else {
        return std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(move || work(job))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
    };
    Ok(vec![work(first)?])
}

fn to_device(gradients: BTreeMap<String, Tensor<1>>, device: &Device) -> BTreeMap<String, Tensor<1>> {
    gradients
        .into_iter()
        .map(|(name, x)| (name, if x.device() == *device { x } else { x.to_device(device) }))
        .collect()
}
