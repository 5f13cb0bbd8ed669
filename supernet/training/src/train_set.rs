use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use tnas_network::{Compute, Device, Leaves, Parameters, accumulate, open_device, side_by_side};

use crate::{AdamWSettings, Adapters, Ema, Optimizer, TrainError};

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
    /// What a step keeps for its backward pass.
    pub checkpointing: Checkpointing,
    /// What a trainer must remember besides weights; kept in checkpoints.
    pub notes: BTreeMap<String, u64>,
    /// Frozen weights with low-rank adapters that train.
    pub adapters: Adapters,
    /// Where the groups of a step's clips are computed, one at a time each; on the weights' own device where there are none.
    pub devices: Vec<Device>,
    /// What the network computes in during a step.
    pub compute: Compute,
}

/// What a training step keeps of its forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkpointing {
    /// All values that the backward pass reads.
    #[default]
    Off,
    /// The values between blocks; each block is computed again (Chen et al. 2016): less than half the memory for up to a
    /// third more time.
    Blocks,
}

impl Checkpointing {
    /// Whether it is the default, which is then not written: a stage's settings read as they did before.
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
    /// Whether the weights moved: not where the step was bad.
    pub moved: bool,
    /// Whether gradients overflowed in f16 under a scaled loss: the next step's loss is scaled less.
    pub overflowed: bool,
}

impl StepReport {
    /// Whether nothing is wrong with the training: the search for a loss scale is no fault of it.
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

    /// All weights as constants of a step.
    pub fn frozen_leaves(&self) -> Leaves {
        self.adapters.merged(&self.parameters).leaves(|_| false).computing(self.compute)
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
        let overflowed = !gradient_norm.is_finite() && self.loss_scale() > 1;
        self.adjust_loss_scale(overflowed);
        StepReport { gradient_norm, moved, overflowed }
    }

    /// All weights with the trained ones averaged and adapters merged: what is evaluated and shipped.
    pub fn averaged(&self) -> Parameters {
        let mut parameters = self.parameters.clone();
        parameters.absorb(self.ema.average().clone());
        self.adapters.merged(&parameters)
    }

    /// Opens the devices, by name, that the groups of a step's clips are computed on, and says in what precision.
    pub fn spread(&mut self, devices: &[String], compute: Compute) -> Result<(), TrainError> {
        self.devices = devices.iter().map(|name| open_device(name)).collect::<Result<_, _>>()?;
        self.compute = compute;
        let own = self.devices.is_empty().then(|| self.parameters.device());
        Ok(self.devices.iter().chain(own).try_for_each(|device| compute.check(device))?)
    }
}

/// A fraction of a step's loss.
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
        self.gradients_of(vec![parts], loss)
    }

    /// The same of groups of parts: one group after another, or one on each device at a time, so that the parts of few
    /// groups are in memory together. Sums are in the groups' order.
    pub(crate) fn gradients_of<J: Send>(
        &self,
        groups: Vec<Vec<J>>,
        loss: impl Fn(&Leaves, J) -> Result<PartLoss, TrainError> + Sync,
    ) -> Result<(f64, BTreeMap<String, Tensor<1>>), TrainError> {
        let home = self.parameters.device();
        let weights = self.adapters.merged(&self.parameters);
        let replicas: Vec<Parameters> = match &self.devices[..] {
            [] => vec![weights],
            devices => devices.iter().map(|device| weights.on_device(device)).collect(),
        };
        let scale = self.loss_scale();
        let group = |weights: &Parameters, parts: Vec<J>| {
            side_by_side(weights.device(), parts, |part| {
                let leaves = self.leaves_of(weights);
                let PartLoss { loss, value } = loss(&leaves, part)?;
                Ok::<_, TrainError>((value, backward_scaled(&leaves, loss, scale)?))
            })
        };
        let (mut value, mut sum) = (0.0, BTreeMap::new());
        let mut groups = groups.into_iter().peekable();
        while groups.peek().is_some() {
            let turn: Vec<_> = replicas.iter().zip(groups.by_ref()).collect();
            for found in at_once(turn, |(weights, parts)| group(weights, parts))? {
                for (part, gradients) in found {
                    value += part;
                    accumulate(&mut sum, to_device(gradients, home));
                }
            }
        }
        self.adapters.split(&self.parameters, &mut sum);
        Ok((value, sum))
    }
}

/// Factor of a loss in f16 at first, and the largest.
const LOSS_SCALE: u64 = 1 << 14;

/// Steps without overflow after which it is doubled again.
const SCALE_GROWS_AFTER: u64 = 200;

/// The notes that keep it, and the steps since it last changed.
const SCALE: &str = "loss scale";
const SINCE: &str = "steps at this loss scale";

impl TrainSet {
    /// What losses are multiplied by before the backward pass, and gradients divided by after it: in f16 small gradients would
    /// vanish (Micikevicius et al. 2018, §3.2).
    fn loss_scale(&self) -> u64 {
        if self.compute == Compute::F16 { self.notes.get(SCALE).copied().unwrap_or(LOSS_SCALE) } else { 1 }
    }

    /// Halves it where gradients overflowed, doubles it after many steps where none did.
    fn adjust_loss_scale(&mut self, overflowed: bool) {
        if self.compute != Compute::F16 {
            return;
        }
        let (scale, since) = (self.loss_scale(), self.notes.get(SINCE).copied().unwrap_or(0) + 1);
        let (scale, since) = match (overflowed, since) {
            (true, _) => ((scale / 2).max(1), 0),
            (false, SCALE_GROWS_AFTER..) => ((scale * 2).min(LOSS_SCALE), 0),
            (false, _) => (scale, since),
        };
        self.notes.extend([(SCALE.into(), scale), (SINCE.into(), since)]);
    }
}

fn backward_scaled(
    leaves: &Leaves,
    loss: Tensor<1>,
    scale: u64,
) -> Result<BTreeMap<String, Tensor<1>>, TrainError> {
    if scale == 1 {
        return Ok(leaves.backward(loss)?);
    }
    let gradients = leaves.backward(loss.mul_scalar(scale as f64))?;
    Ok(gradients.into_iter().map(|(name, x)| (name, x.div_scalar(scale as f64))).collect())
}

/// Does jobs at the same time, a thread each; one alone in this thread. Results come in the jobs' order.
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
