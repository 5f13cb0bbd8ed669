use std::collections::BTreeMap;

use burn::tensor::Tensor;
use tnas_network::Leaves;

use crate::{
    AdamWSettings, Checkpoint, Loading, LoopSettings, Observer, StabilitySettings, TrainError, TrainSet,
    WeightedLoss, learning_rate,
    loader::with_prefetch,
    loop_record::CurrentStep,
    train_loop::{StepOutcome, train_loop},
};

/// What a stage teaches its networks: the batches of a step, and a loss for each.
///
/// [`optimize`] does the rest alike for all stages: it prefetches batches, sums gradients over micro-batches and devices, follows
/// the learning rate's schedule, skips and rolls back unstable steps, averages weights, checkpoints, resumes, stops early and
/// reports.
pub trait TrainingObjective: Sync {
    /// The networks under training.
    type Networks: Networks;
    /// Clips, times and noise of an update, on the host.
    type Batch: Send;
    /// The part of a batch whose loss one thread computes.
    type Part: Send;

    /// The updates of a step in order, each with its batch. Called by prefetching threads: they depend on the step alone.
    fn updates(&self, step: u64) -> Result<Vec<Update<Self>>, TrainError>;

    /// An update's micro-batches, each in parts. Called before the update, with the networks as they are then.
    fn micro_batches(
        &self,
        step: u64,
        networks: &mut Self::Networks,
        batch: Self::Batch,
    ) -> Result<Vec<Vec<Self::Part>>, TrainError>;

    /// A part's loss under the tracked weights of the network that the update trains.
    fn loss(
        &self,
        networks: &Self::Networks,
        leaves: &Leaves,
        part: Self::Part,
    ) -> Result<WeightedLoss, TrainError>;

    /// Loss on held-out clips, which early stopping goes by; none for a stage without any.
    fn held_out_loss(&self, networks: &Self::Networks) -> Result<Option<f64>, TrainError> {
        let _ = networks;
        Ok(None)
    }

    /// Figures of a step besides those of its updates.
    fn figures(&self, step: u64, networks: &Self::Networks) -> Vec<(&'static str, f64)> {
        let _ = (step, networks);
        Vec::new()
    }
}

/// Networks that are trained together, each with its optimiser and average.
pub trait Networks: Checkpoint + Clone + Sync {
    /// Names one of them.
    type Name: Copy + Send;

    /// One of them.
    fn network(&self, name: Self::Name) -> &TrainSet;

    /// One of them, to update.
    fn network_mut(&mut self, name: Self::Name) -> &mut TrainSet;
}

impl Networks for TrainSet {
    type Name = ();

    fn network(&self, _: ()) -> &TrainSet {
        self
    }

    fn network_mut(&mut self, _: ()) -> &mut TrainSet {
        self
    }
}

/// An update of one network's weights.
pub struct Update<O: TrainingObjective + ?Sized> {
    /// The network.
    pub network: <O::Networks as Networks>::Name,
    /// Where it stands in the learning rate's schedule.
    pub schedule: Schedule,
    /// Names of its figures.
    pub figures: UpdateFigures,
    /// What its loss is computed on.
    pub batch: O::Batch,
}

/// Place of an update among all updates of a network.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Peak and warm-up of the learning rate.
    pub optimizer: AdamWSettings,
    /// Updates before this one.
    pub index: u64,
    /// Updates in all.
    pub count: u64,
}

/// Names under which an update is reported, and which of its figures make it a bad one by exploding.
#[derive(Clone, Copy, Debug)]
pub struct UpdateFigures {
    /// Name of the loss.
    pub loss: &'static str,
    /// Name of the global gradient norm before clipping.
    pub gradient_norm: &'static str,
    /// Name of the learning rate; not reported without.
    pub learning_rate: Option<&'static str>,
    /// Whether a loss far above its running median makes the update a bad one.
    pub loss_explodes: bool,
    /// The same for the gradient norm.
    pub norm_explodes: bool,
}

impl UpdateFigures {
    /// Those of a stage that updates one network once a step.
    pub const PLAIN: Self = Self {
        loss: "loss",
        gradient_norm: "gradient_norm",
        learning_rate: Some("learning_rate"),
        loss_explodes: true,
        norm_explodes: true,
    };
}

/// Trains networks by an objective, from the checkpoint of `run` on where there is one.
pub fn optimize<O: TrainingObjective>(
    objective: &O,
    networks: &mut O::Networks,
    loading: Loading,
    stability: &StabilitySettings,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let batches = |step| objective.updates(step);
    with_prefetch(loading, run, observer, batches, |loader, observer| {
        train_loop(run, stability, networks, observer, |networks, current| {
            let updates = loader.take(current.index)?;
            step(objective, networks, updates, current)
        })
    })
}

/// Does the updates of a step, and evaluates the held-out loss where it is due.
fn step<O: TrainingObjective>(
    objective: &O,
    networks: &mut O::Networks,
    updates: Vec<Update<O>>,
    current: &mut CurrentStep,
) -> Result<StepOutcome, TrainError> {
    let (mut figures, mut good) = (Figures::default(), true);
    for Update { network, schedule, figures: names, batch } in updates {
        let micro_batches = objective.micro_batches(current.index, networks, batch)?;
        let trained = networks.network(network);
        let found = trained.gradients(micro_batches, |leaves, part| objective.loss(networks, leaves, part))?;
        good &= apply(networks.network_mut(network), found, schedule, names, current, &mut figures);
    }
    for (name, value) in objective.figures(current.index, networks) {
        figures.report(name, value);
    }
    let due = current.settings.held_out_due(current.index);
    let held_out = if due { objective.held_out_loss(networks)? } else { None };
    Ok(StepOutcome { figures: figures.0, good, held_out })
}

/// Applies a loss's gradients at the scheduled learning rate unless they are bad; returns whether they were good.
fn apply(
    network: &mut TrainSet,
    (loss, gradients): (f64, BTreeMap<String, Tensor<1>>),
    Schedule { optimizer, index, count }: Schedule,
    names: UpdateFigures,
    current: &mut CurrentStep,
    figures: &mut Figures,
) -> bool {
    let scheduled = learning_rate(optimizer.learning_rate, index, count, optimizer.warmup_steps);
    let rate = scheduled * current.rate_factor;
    let report = network.apply_if(gradients, rate, index, |norm| {
        let watched = [(names.loss_explodes, names.loss, loss), (names.norm_explodes, names.gradient_norm, norm)];
        let watched: Vec<_> = watched.iter().filter(|one| one.0).map(|&(_, name, value)| (name, value)).collect();
        loss.is_finite() && current.accepts(&watched)
    });
    figures.report(names.loss, loss);
    figures.report(names.gradient_norm, report.gradient_norm);
    if let Some(name) = names.learning_rate {
        figures.report(name, rate);
    }
    report.good()
}

/// Figures by name, in the order in which the names were first reported; of several values of one name the last.
#[derive(Default)]
struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    fn report(&mut self, name: &'static str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }
}
