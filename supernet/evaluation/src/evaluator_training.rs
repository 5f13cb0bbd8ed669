use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};
use rand::RngExt;
use tnas_clips::{Clip, ClipSet};
use tnas_graph::Graph;
use tnas_models::EvaluatorNetwork;
use tnas_network::{Leaves, Stream, execute, stream};
use tnas_training::{
    Loading, LoopSettings, Observer, Schedule, StabilitySettings, TrainError, TrainSet, TrainingObjective, Update,
    UpdateFigures, WeightedLoss, optimize,
};

use crate::{
    EvaluatorSettings, blend,
    evaluator::{
        Alike, ColourTargets, OUT_OF_ORDER, batch_of, class_of, disturbed, kind_of_corruption, out_of_order, read,
    },
};

/// Weight of an evaluator's last label relative to the others: whether a clip is as filmed, out of order or, where appearance is to
/// be seen, a blend of two. With 0.5 a flicker passes for disorder and labels are predicted worse.
const KIND_WEIGHT: f64 = 0.1;

/// What the training of an evaluator needs besides its weights and its settings.
pub struct EvaluatorContext<'a> {
    /// The network.
    pub network: &'a EvaluatorNetwork,
    /// Its labels with their values, without the kinds of clips.
    pub labels: &'a [(String, Vec<String>)],
    /// Real clips to train on.
    pub clips: &'a ClipSet,
    /// How they are prefetched.
    pub loading: Loading,
    /// Seed of every random stream.
    pub seed: u64,
    /// Length, checkpoints and name of the loop.
    pub run: &'a LoopSettings,
    /// Receives figures, and may stop the loop.
    pub observer: &'a mut dyn Observer,
}

/// Trains the classifier by cross-entropy on real clips, and on distinguishing them from clips whose frames are out of order (without
/// which its features need not depend on time at all) and from blends.
pub fn train_evaluator(
    context: EvaluatorContext,
    set: &mut TrainSet,
    settings: &EvaluatorSettings,
) -> Result<(), TrainError> {
    let EvaluatorContext { network, labels, clips, loading, seed, run, observer } = context;
    let corrupted = settings.batch.div_ceil(2);
    let objective = Classification {
        graphs: [network.graph(settings.batch)?, network.graph(corrupted)?],
        alike: Alike::new(clips),
        colours: ColourTargets::new(clips, settings)?,
        network,
        labels,
        clips,
        settings,
        seed,
        steps: run.steps,
    };
    optimize(&objective, set, loading, &StabilitySettings::default(), run, observer)
}

/// Labels of real clips, and real clips among corrupted ones.
struct Classification<'a> {
    /// Of a batch of real clips, and of corrupted ones.
    graphs: [Graph; 2],
    alike: Alike,
    colours: ColourTargets,
    network: &'a EvaluatorNetwork,
    labels: &'a [(String, Vec<String>)],
    clips: &'a ClipSet,
    settings: &'a EvaluatorSettings,
    seed: u64,
    steps: u64,
}

/// Clips of one step.
enum Shown {
    /// Real ones with their colours.
    Real(Vec<Clip>, Vec<f32>),
    /// Corrupted ones.
    Corrupted(Vec<Clip>),
}

impl TrainingObjective for Classification<'_> {
    type Networks = TrainSet;
    type Batch = [Shown; 2];
    type Part = Shown;

    fn updates(&self, step: u64) -> Result<Vec<Update<Self>>, TrainError> {
        let (settings, clips) = (self.settings, self.clips);
        let mut rng = stream(self.seed, "judge", step);
        let mut picked =
            |count: usize| -> Vec<usize> { (0..count).map(|_| rng.random_range(0..clips.len())).collect() };
        let (real, others) = (picked(settings.batch), picked(settings.batch.div_ceil(2)));
        let real = real.into_iter().map(|index| read(clips, index)).collect::<Result<Vec<_>, _>>()?;
        let colours = self.colours.of(&real);
        let others = others.into_iter().enumerate().map(|(index, clip)| self.corrupted(index, clip, &mut rng));
        let others: Vec<Clip> = others.collect::<Result<_, _>>()?;
        let mut disturbed = |clip: &Clip| disturbed(clip, settings, &mut rng);
        let real: Vec<Clip> = real.iter().map(|clip| disturbed(clip)).collect();
        let others: Vec<Clip> = others.iter().map(&mut disturbed).collect();
        let schedule = Schedule { optimizer: settings.optimizer, index: step, count: self.steps };
        let batch = [Shown::Real(real, colours), Shown::Corrupted(others)];
        Ok(vec![Update { network: (), schedule, figures: UpdateFigures::PLAIN, batch }])
    }

    fn micro_batches(&self, _: u64, _: &mut TrainSet, batch: [Shown; 2]) -> Result<Vec<Vec<Shown>>, TrainError> {
        Ok(vec![batch.into()])
    }

    fn loss(&self, _: &TrainSet, leaves: &Leaves, shown: Shown) -> Result<WeightedLoss, TrainError> {
        let loss = match shown {
            Shown::Real(clips, colours) => self.loss_of_real(leaves, &clips, &colours)?,
            Shown::Corrupted(clips) => {
                let kinds = self.settings.kinds();
                let [_, graph] = &self.graphs;
                let input = batch_of(&clips, self.network, leaves.device());
                let logits = execute(graph, leaves, vec![input], leaves.device())?.remove(1).rows();
                let kind = |index| kind_of_corruption(index, kinds) as i64;
                self.loss_of_kinds(&logits, (0..clips.len()).map(kind).collect())
            }
        };
        Ok(WeightedLoss::new(loss, 1.0))
    }
}

impl Classification<'_> {
    /// A clip out of order, or blended with another one of the same caption; `index` decides which.
    fn corrupted(&self, index: usize, clip: usize, rng: &mut Stream) -> Result<Clip, TrainError> {
        let seen: Arc<Clip> = read(self.clips, clip)?;
        if kind_of_corruption(index, self.settings.kinds()) == OUT_OF_ORDER {
            return Ok(out_of_order(&seen, rng));
        }
        let other = read(self.clips, self.alike.another(clip, rng))?;
        Ok(blend(&seen, &other, rng.random_range(0.3..0.7)))
    }

    /// Cross-entropy of the labels and the kind of real clips, and the error of their colours where those are predicted, `[1]`.
    fn loss_of_real(&self, leaves: &Leaves, clips: &[Clip], colours: &[f32]) -> Result<Tensor<1>, TrainError> {
        let [graph, _] = &self.graphs;
        let input = batch_of(clips, self.network, leaves.device());
        let mut outputs = execute(graph, leaves, vec![input], leaves.device())?;
        let logits = outputs.remove(1).rows();
        let mut loss = self.loss_of_kinds(&logits, vec![0; clips.len()]);
        let mut start = 0;
        for (label, values) in self.labels {
            let classes = clips.iter().map(|clip| class_of(clip, label, values)).collect::<Result<_, _>>()?;
            loss = loss + cross_entropy(&logits, start, values.len(), classes);
            start += values.len();
        }
        match outputs.pop().filter(|_| self.network.colours > 0) {
            Some(predicted) => Ok(loss + self.colours.loss(predicted, colours, leaves.device())),
            None => Ok(loss),
        }
    }

    /// Cross-entropy of the kinds of clips, real or corrupted in some way, with its weight, `[1]`.
    fn loss_of_kinds(&self, logits: &Tensor<2>, kinds: Vec<i64>) -> Tensor<1> {
        let start = self.labels.iter().map(|(_, values)| values.len()).sum();
        cross_entropy(logits, start, self.settings.kinds(), kinds).mul_scalar(KIND_WEIGHT)
    }
}

/// Mean cross-entropy of `count` logits from `start` on, `[1]`.
fn cross_entropy(logits: &Tensor<2>, start: usize, count: usize, truths: Vec<i64>) -> Tensor<1> {
    let log_likelihoods = activation::log_softmax(logits.clone().narrow(1, start, count), 1);
    let data = TensorData::new(truths, [logits.dims()[0], 1]);
    log_likelihoods.gather(1, Tensor::<2, Int>::from_data(data, &logits.device())).mean().neg()
}
