mod settings;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use burn::tensor::{Device, Tensor, activation};
use rand::RngExt;
use tnas_graph::Graph;
use tnas_models::{Backbone, DenoiserShape, Discriminator, HEAD_PREFIX};
use tnas_network::{Leaves, Parameters, Stream, Value, WeightSource, execute, normal_vec, stream};
use tnas_schedulers::{Parameterisation, euler_times, interpolate};
use tnas_space::Genotype;

pub use self::settings::AdversarialSettings;
use crate::{
    Checkpoint, Compute, LatentSource, LoopRecord, LoopSettings, Observer, StepOutcome, StepReport, TextFeatures,
    TrainError, TrainSet, Turn,
    checkpoint::{load_sets, save_sets},
    denoise::{Denoise, by_clip, column, on},
    distribution_matching::{DistillMethod, Path as NoisePath},
    flow_loss::{Cut, FlowBatch, HalfGraphs, part_loss},
    learning_rate,
    loader::beside,
    stills::Stills,
    train_loop,
};

/// The networks of the stage: the student, and those that teach it.
#[derive(Clone)]
pub struct Student {
    /// The student's weights.
    pub generator: TrainSet,
    /// Frozen encoder (the teacher's) and trainable heads.
    pub discriminator: TrainSet,
    /// The network that learns the score of the student's clips; nothing of it trains where the method has none.
    pub score: TrainSet,
    /// The trained video model that all start from.
    pub teacher: Parameters,
}

impl Student {
    /// Both start from the trained video model; the heads are drawn.
    pub fn new(
        teacher: &Parameters,
        backbone: &Backbone,
        genotype: &Genotype,
        shape: DenoiserShape,
        settings: &AdversarialSettings,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let graph = discriminator_graph(backbone, genotype, shape)?;
        let mut weights = Parameters::new(teacher.device());
        for weight in graph.weights() {
            if let Some(found) = teacher.get(&weight.name) {
                weights.insert(&weight.name, found.clone());
            }
        }
        weights.init(graph.weights(), seed);
        let heads = settings.has_heads();
        let heads = TrainSet::new(weights, |name| heads && name.starts_with(HEAD_PREFIX), &settings.heads, 0.0);
        let generator = TrainSet::new(teacher.clone(), |_| true, &settings.generator, settings.ema_decay);
        let by_scores = settings.method == DistillMethod::Dmd2;
        let score = TrainSet::new(teacher.clone(), |_| by_scores, &settings.scores.optimizer, 0.0);
        Ok(Self { generator, discriminator: heads, score, teacher: teacher.clone() })
    }
}

impl Checkpoint for Student {
    fn save(&self, path: &Path, record: &LoopRecord) -> Result<(), TrainError> {
        let Self { generator, discriminator, score, .. } = self;
        save_sets(path, &[("generator/", generator), ("heads/", discriminator), ("score/", score)], record)
    }

    fn load(&mut self, path: &Path) -> Result<LoopRecord, TrainError> {
        let Self { generator, discriminator, score, .. } = self;
        load_sets(path, &mut [("generator/", generator), ("heads/", discriminator), ("score/", score)])
    }

    fn weights(&self) -> Parameters {
        self.generator.averaged()
    }
}

/// Trains heads and student in turn. A step is `head_updates` updates of the heads, or `scores.updates` of the student's
/// score, then one of the student, which waits for the heads' warm-up.
#[allow(clippy::too_many_arguments)]
pub fn train_student(
    backbone: &Backbone,
    genotype: &Genotype,
    student: &mut Student,
    data: &dyn LatentSource,
    text: &TextFeatures,
    settings: &AdversarialSettings,
    seed: u64,
    run: &LoopSettings,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    data.check(text.context.len())?;
    student.generator.checkpointing = settings.checkpointing;
    student.score.checkpointing = settings.checkpointing;
    // The penalty divides a small difference of logits by a smaller number: few bits would leave their rounding alone.
    let of_heads = if settings.r1 > 0.0 { Compute::F32 } else { settings.compute };
    student.discriminator.spread(&[], of_heads)?;
    for set in [&mut student.generator, &mut student.score] {
        set.spread(&[], settings.compute)?;
    }
    let [_, frames, height, width] = data.shape();
    let shape = DenoiserShape { batch: settings.batch, frames, height, width, tokens: text.tokens };
    let rows = |batch, frames| DenoiserShape { batch, frames, ..shape };
    let cut = Cut::new(settings.batch, 1, &[], frames, settings.images);
    let game = Game {
        denoisers: HalfGraphs::new(&cut, |batch, frames| backbone.denoiser(genotype, rows(batch, frames)))?,
        discriminators: HalfGraphs::new(&cut, |batch, frames| {
            discriminator_graph(backbone, genotype, rows(batch, frames))
        })?,
        parameterisation: &backbone.parameterisation,
        data,
        text,
        settings,
    };
    let by_scores = settings.method == DistillMethod::Dmd2;
    let head_updates = if settings.has_heads() { settings.head_updates } else { 0 };
    let warmup_rounds = match head_updates {
        0 => 0,
        updates => settings.head_warmup_steps.div_ceil(updates),
    };
    let make = |step| {
        let mut rng = stream(seed, settings.method.name(), step);
        let mut stills = Stills::of_step(settings.images, seed, settings.method.name(), step);
        let heads =
            (0..head_updates).map(|_| game.draw(&mut stills, &mut rng)).collect::<Result<_, TrainError>>()?;
        let mut round = || match settings.method {
            DistillMethod::Adversarial => game.draw(&mut stills, &mut rng),
            DistillMethod::Dmd2 => game.draw_from_noise(&mut stills, &mut rng),
        };
        let scores = if by_scores { settings.scores.updates } else { 0 };
        let scores = (0..scores).map(|_| round()).collect::<Result<_, TrainError>>()?;
        let student = (step >= warmup_rounds).then(round).transpose()?;
        Ok::<_, TrainError>(Rounds { heads, scores, student })
    };
    let train = |rounds: Rounds, student: &mut Student, turn: &mut Turn| {
        let step = turn.step;
        let (mut figures, mut good) = (Vec::new(), true);
        let mut done = |names: [&'static str; 2], (loss, report): (f64, StepReport)| {
            good &= report.good();
            [(names[0], loss), (names[1], report.gradient_norm)]
        };
        let mut last = [("loss_heads", 0.0), ("gradient_norm_heads", 0.0)];
        for (update, round) in (step * head_updates..).zip(&rounds.heads) {
            let update = game.update_heads(student, update, run.steps, turn, round)?;
            last = done(["loss_heads", "gradient_norm_heads"], update);
        }
        if head_updates > 0 {
            figures.extend(last);
        }
        let mut last = None;
        for (update, round) in (step * settings.scores.updates..).zip(&rounds.scores) {
            let update = game.update_score(student, update, run.steps, turn, round)?;
            last = Some(done(["loss_score", "gradient_norm_score"], update));
        }
        figures.extend(last.into_iter().flatten());
        let mut last = [("loss_student", 0.0), ("gradient_norm", 0.0)];
        if let Some(round) = &rounds.student {
            let update = step - warmup_rounds;
            let update = match settings.method {
                DistillMethod::Adversarial => game.update_generator(student, update, run.steps, turn, round)?,
                DistillMethod::Dmd2 => game.update_by_scores(student, update, run.steps, turn, round)?,
            };
            last = done(["loss_student", "gradient_norm"], update);
        }
        figures.extend(last);
        Ok(StepOutcome::new(figures, good))
    };
    beside(data.loading(), run, observer, make, |loader, observer| {
        train_loop(run, &settings.stability, student, observer, |student, turn| {
            train(loader.take(turn.step)?, student, turn)
        })
    })
}

fn discriminator_graph(
    backbone: &Backbone,
    genotype: &Genotype,
    shape: DenoiserShape,
) -> Result<Graph, TrainError> {
    Ok(Discriminator { backbone: backbone.clone(), genotype: genotype.clone() }.graph(shape)?)
}

/// What a round needs besides the networks.
pub(crate) struct Game<'a> {
    pub denoisers: HalfGraphs,
    discriminators: HalfGraphs,
    pub parameterisation: &'a Arc<Parameterisation>,
    pub data: &'a dyn LatentSource,
    pub text: &'a TextFeatures,
    pub settings: &'a AdversarialSettings,
}

/// The batches of a step.
struct Rounds {
    heads: Vec<Round>,
    scores: Vec<Round>,
    /// None before the heads are warm.
    student: Option<Round>,
}

/// A batch noised to times of the student's, and what discriminator or scores look at it through. Rows are clips.
pub(crate) struct Round {
    pub batch: FlowBatch,
    /// Times t'.
    pub look: Vec<f32>,
    /// Their noise ε'.
    pub noise: Vec<f32>,
    /// ξ of the penalty; empty where there is none.
    pub xi: Vec<f32>,
    /// Noise of the student's steps before; empty where a clip stands for them.
    pub path: NoisePath,
}

impl Round {
    pub fn halves(&self) -> Vec<Self> {
        let (mut row, mut element) = (0, 0);
        let half = |batch: FlowBatch| {
            let rows = row..row + batch.captions.len();
            let elements = element..element + batch.data.len();
            (row, element) = (rows.end, elements.end);
            let xi = self.xi.get(elements.clone()).unwrap_or_default().to_vec();
            let path = self.path.iter().map(|noise| noise[elements.clone()].to_vec()).collect();
            Self { batch, look: self.look[rows].to_vec(), noise: self.noise[elements].to_vec(), xi, path }
        };
        self.batch.halves().into_iter().map(half).collect()
    }
}

impl Game<'_> {
    /// Clips at times drawn evenly from the student's.
    fn draw(&self, stills: &mut Stills, rng: &mut Stream) -> Result<Round, TrainError> {
        let settings = self.settings;
        let times = euler_times(settings.student_steps, settings.shift);
        let rows = settings.batch;
        let indices: Vec<usize> = (0..rows).map(|_| rng.random_range(0..self.data.captions().len())).collect();
        let drawn = (0..rows).map(|_| times[rng.random_range(0..settings.student_steps)]).collect();
        let batch = stills.take(FlowBatch::of(self.data, self.parameterisation, &indices, drawn, rng)?);
        let look = (0..rows).map(|_| self.parameterisation.time(settings.noise.draw(rng))).collect();
        let noise = batch.fresh_noise(rng);
        let xi = normal_vec(batch.data.len(), rng);
        Ok(Round { batch, look, noise, xi, path: NoisePath::new() })
    }

    /// x̂0 = x_t − t·v.
    pub fn predicted_data(
        &self,
        batch: &FlowBatch,
        weights: &dyn WeightSource,
        device: &Device,
    ) -> Result<Value, TrainError> {
        let x_t = on(batch.noised(), &batch.shape, device);
        let v = batch.velocity(self.denoisers.of(batch), weights, self.text, device)?;
        let times = on(batch.times.clone(), &[batch.times.len()], device);
        Ok(subtract_scaled(x_t, v, times))
    }

    /// Hinge loss of the heads with the approximate R1 penalty (γ/σ²)·‖D(y) − D(y + σξ)‖² on real clips.
    fn update_heads(
        &self,
        student: &mut Student,
        update: u64,
        steps: u64,
        turn: &mut Turn,
        round: &Round,
    ) -> Result<(f64, StepReport), TrainError> {
        let settings = self.settings;
        let generator = &student.generator.parameters;
        let (value, gradients) = student.discriminator.gradients(round.halves(), |leaves, round| {
            let device = leaves.device();
            let Round { batch, look, noise, xi, .. } = &round;
            let fake = self.predicted_data(batch, generator, generator.device())?.to_vec();
            let real_input = mix(&batch.data, noise, look);
            let fake_input = mix(&fake, noise, look);
            let d = |input: Vec<f32>| self.logits(leaves, on(input, &batch.shape, device), batch, look, device);
            let real = d(real_input.clone())?;
            let mut loss = activation::relu(real.clone().neg().add_scalar(1.0)).mean()
                + activation::relu(d(fake_input)?.add_scalar(1.0)).mean();
            if settings.r1 > 0.0 {
                let moved = real_input.iter().zip(xi).map(|(y, xi)| y + settings.r1_noise * xi).collect();
                let penalty = (real - d(moved)?).square().mean();
                loss = loss + penalty.mul_scalar(settings.r1 / f64::from(settings.r1_noise).powi(2));
            }
            Ok(part_loss(loss, batch.share(settings.batch)))
        })?;
        let rate = learning_rate(
            settings.heads.learning_rate,
            update,
            steps * settings.head_updates,
            settings.heads.warmup_steps,
        ) * turn.rate;
        // Heads that win have next to no gradient: a jump from there is no explosion.
        let report =
            student.discriminator.apply_if(gradients, rate, update, |norm| value.is_finite() && norm.is_finite());
        Ok((value, report))
    }

    /// −D(ŷ) + λ·(√(‖x̂0 − x0‖² + c²) − c)/√d, the gradient passing through the fixed discriminator.
    fn update_generator(
        &self,
        student: &mut Student,
        update: u64,
        steps: u64,
        turn: &mut Turn,
        round: &Round,
    ) -> Result<(f64, StepReport), TrainError> {
        let settings = self.settings;
        let discriminator = &student.discriminator;
        let found = student.generator.gradients(round.halves(), |leaves, round| {
            let (device, batch) = (leaves.device(), &round.batch);
            let fake = self.predicted_data(batch, leaves, device)?;
            let adversarial = self.adversarial(discriminator, fake.clone(), batch, &round, device)?;
            let distance = pseudo_huber(fake, on(batch.data.clone(), &batch.shape, device), settings.huber);
            let loss = adversarial + distance.mul_scalar(settings.reconstruction);
            Ok(part_loss(loss, batch.share(settings.batch)))
        })?;
        Ok(self.step_generator(&mut student.generator, found, update, steps, turn))
    }

    /// −D(ŷ) of clips that the student made, seen as the round looks; the discriminator is fixed.
    pub fn adversarial(
        &self,
        discriminator: &TrainSet,
        fake: Value,
        batch: &FlowBatch,
        round: &Round,
        device: &Device,
    ) -> Result<Tensor<1>, TrainError> {
        let Round { look, noise, .. } = round;
        let noise = on(noise.clone(), &batch.shape, device);
        let evaluated = mix_values(fake, noise, on(look.clone(), &[look.len()], device));
        Ok(self.logits(&discriminator.frozen_leaves(), evaluated, batch, look, device)?.mean().neg())
    }

    /// Steps the student by a loss and its gradients. The loss of a game hovers about nothing: its gradient alone can explode.
    pub fn step_generator(
        &self,
        generator: &mut TrainSet,
        (value, gradients): (f64, BTreeMap<String, Tensor<1>>),
        update: u64,
        steps: u64,
        turn: &mut Turn,
    ) -> (f64, StepReport) {
        let optimizer = &self.settings.generator;
        let rate = learning_rate(optimizer.learning_rate, update, steps, optimizer.warmup_steps) * turn.rate;
        let report = generator.apply_if(gradients, rate, update, |norm| {
            value.is_finite() && turn.accepts(&[("gradient_norm", norm)])
        });
        (value, report)
    }

    /// The student's times in the model's range, noise first.
    pub fn student_times(&self) -> Vec<f32> {
        let times = euler_times(self.settings.student_steps, self.settings.shift);
        times.into_iter().map(|t| self.parameterisation.time(t)).collect()
    }

    /// Logits `[B, heads]` of noised clips.
    fn logits(
        &self,
        weights: &Leaves,
        sample: Value,
        batch: &FlowBatch,
        look: &[f32],
        device: &Device,
    ) -> Result<Tensor<2>, TrainError> {
        let rows = batch.captions.len();
        let context =
            on(self.text.gather_context(&batch.captions), &[rows, self.text.tokens, self.text.width], device);
        let pooled = on(self.text.gather_pooled(&batch.captions), &[rows, self.text.width], device);
        let denoise = Denoise { parameterisation: self.parameterisation, times: look, device };
        let inputs = denoise.inputs(sample, vec![context, pooled]);
        let mut outputs = execute(self.discriminators.of(batch), weights, inputs, device)?;
        let logits = outputs.pop().ok_or_else(|| TrainError::Data("the discriminator has no output".into()))?;
        Ok(logits.rows())
    }
}

/// (1 − t)·x + t·ε per clip, on the host.
pub(crate) fn mix(data: &[f32], noise: &[f32], times: &[f32]) -> Vec<f32> {
    let length = data.len() / times.len();
    let rows = data.chunks(length).zip(noise.chunks(length)).zip(times);
    rows.flat_map(|((data, noise), &t)| interpolate(data, noise, t)).collect()
}

/// The same on the device, with gradients to the data.
fn mix_values(data: Value, noise: Value, times: Value) -> Value {
    let shape = data.shape();
    let (data, noise, t) = (by_clip(data), by_clip(noise), column(times));
    let y = data.clone() + (noise - data) * t;
    Value::F2(y).reshape(&shape)
}

/// x − t·v per clip.
fn subtract_scaled(x: Value, v: Value, times: Value) -> Value {
    let shape = x.shape();
    Value::F2(by_clip(x) - by_clip(v) * column(times)).reshape(&shape)
}

fn pseudo_huber(a: Value, b: Value, c: f64) -> Tensor<1> {
    let difference = by_clip(a) - by_clip(b);
    let [_, elements] = difference.dims();
    let squares = difference.square().sum_dim(1);
    let root = squares.add_scalar(c * c).sqrt().add_scalar(-c);
    root.mean().mul_scalar(1.0 / (elements as f64).sqrt())
}
