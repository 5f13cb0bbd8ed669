//! Distribution matching distillation (Yin et al. 2024, DMD2, arXiv 2405.14867), written for rectified flow: the student
//! follows the difference of two scores of its own clips, the teacher's and that of a network that learns what the student
//! makes. It never sees a real clip, unless an adversarial term is asked for.

use burn::tensor::{Device, Tensor};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tnas_network::{Parameters, Stream, WeightSource};

use crate::{
    AdamWSettings, EMPTY_CAPTION, SettingError, StepReport, Student, TimeDistribution, TrainError, Turn,
    adversarial::{Game, Round},
    denoise::on,
    flow_loss::{FlowBatch, clips_noise, mean_squared, part_loss},
    learning_rate,
    stills::Stills,
};

/// What pulls the student.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistillMethod {
    /// A discriminator, and the distance to the data (SF-V, arXiv 2406.04324).
    #[default]
    Adversarial,
    /// The difference of two scores (DMD2, arXiv 2405.14867).
    Dmd2,
}

impl DistillMethod {
    /// Whether it is the default, which is then not written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// As written in studies.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adversarial => "adversarial",
            Self::Dmd2 => "dmd2",
        }
    }
}

/// Distillation by scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreSettings {
    /// Updates of the network that learns the student's score, per update of the student.
    pub updates: u64,
    /// Guidance of the teacher's score; 1 asks for no second call.
    pub guidance: f32,
    /// Law of the times at which the scores are compared and learnt.
    pub noise: TimeDistribution,
    /// Weight of −D(ŷ), with the heads of the adversarial stage and as many updates of them; 0 leaves them out.
    pub adversarial: f64,
    /// Optimiser of the network that learns the student's score.
    pub optimizer: AdamWSettings,
}

impl Default for ScoreSettings {
    fn default() -> Self {
        Self {
            updates: 5,
            guidance: 1.0,
            noise: TimeDistribution::default(),
            adversarial: 0.0,
            optimizer: AdamWSettings { learning_rate: 1e-4, warmup_steps: 10, ..AdamWSettings::default() },
        }
    }
}

impl ScoreSettings {
    /// Whether these are the defaults, which are then not written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with the settings, if anything.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self { updates, guidance, adversarial, .. } = self;
        if *updates == 0 {
            let reason = "= 0 leaves the student's score untrained; give at least 1";
            return Err(SettingError::new("updates", reason));
        }
        if !guidance.is_finite() || *guidance < 0.0 {
            return Err(SettingError::new("guidance", format!("= {guidance} must be a number from 0 on")));
        }
        if !adversarial.is_finite() || *adversarial < 0.0 {
            return Err(SettingError::new("adversarial", format!("= {adversarial} must be a number from 0 on")));
        }
        Ok(())
    }
}

/// Noise of the student's own steps before the one that is trained, one after another, each of the whole batch.
pub(crate) type Path = Vec<Vec<f32>>;

impl Game<'_> {
    /// Captions of clips, each at one of the student's times, from noise on: no clip is looked at.
    pub(crate) fn draw_from_noise(&self, stills: &mut Stills, rng: &mut Stream) -> Result<Round, TrainError> {
        let settings = self.settings;
        let (rows, captions) = (settings.batch, self.data.captions());
        let times = self.student_times();
        let captions = (0..rows).map(|_| captions[rng.random_range(0..captions.len())]).collect();
        let levels: Vec<usize> = (0..rows).map(|_| rng.random_range(0..settings.student_steps)).collect();
        let [channels, frames, height, width] = self.data.shape();
        let shape = [rows, channels, frames, height, width];
        let batch = FlowBatch {
            captions,
            times: levels.iter().map(|&level| times[level]).collect(),
            data: vec![0.0; shape.iter().product()],
            noise: clips_noise(shape, self.parameterisation, rng),
            weights: Vec::new(),
            given: Vec::new(),
            shape,
            parameterisation: self.parameterisation.clone(),
        };
        let batch = stills.take(batch);
        let path = (1..settings.student_steps).map(|_| batch.fresh_noise(rng)).collect();
        let look = (0..rows).map(|_| self.parameterisation.time(settings.scores.noise.draw(rng))).collect();
        let noise = batch.fresh_noise(rng);
        Ok(Round { batch, look, noise, xi: Vec::new(), path })
    }

    /// The clips as the student has them before its last step here: what it makes of noise, noised anew before each step. At
    /// the first time there is nothing but noise yet.
    fn on_the_way(&self, round: &Round, student: &Parameters) -> Result<FlowBatch, TrainError> {
        let mut batch = round.batch.clone();
        let device = student.device();
        let length = batch.data.len() / batch.times.len();
        for (noise, time) in round.path.iter().zip(self.student_times()) {
            if batch.times.iter().all(|&t| t >= time) {
                break;
            }
            let step = FlowBatch { times: vec![time; batch.times.len()], noise: noise.clone(), ..batch.clone() };
            let predicted = self.predicted_data(&step, student, device)?.to_vec();
            let rows = batch.data.chunks_mut(length).zip(predicted.chunks(length)).zip(&batch.times);
            rows.filter(|(_, t)| **t < time).for_each(|((data, predicted), _)| data.copy_from_slice(predicted));
        }
        Ok(batch)
    }

    /// The network of the student's score learns to denoise what the student makes.
    pub(crate) fn update_score(
        &self,
        student: &mut Student,
        update: u64,
        steps: u64,
        turn: &mut Turn,
        round: &Round,
    ) -> Result<(f64, StepReport), TrainError> {
        let settings = self.settings;
        let generator = &student.generator.parameters;
        let (value, gradients) = student.score.gradients(round.halves(), |leaves, round| {
            let device = leaves.device();
            let batch = self.on_the_way(&round, generator)?;
            let made = self.predicted_data(&batch, generator, generator.device())?.to_vec();
            let noised = FlowBatch { data: made, noise: round.noise, times: round.look, ..batch };
            let v = noised.velocity(self.denoisers.of(&noised), leaves, self.text, device)?;
            let loss = mean_squared(v, on(noised.target(), &noised.shape, device));
            Ok(part_loss(loss, noised.share(settings.batch)))
        })?;
        let optimizer = &settings.scores.optimizer;
        let all = steps * settings.scores.updates;
        let rate = learning_rate(optimizer.learning_rate, update, all, optimizer.warmup_steps) * turn.rate;
        let report = student.score.apply_if(gradients, rate, update, |norm| {
            turn.accepts(&[("loss_score", value), ("gradient_norm_score", norm)])
        });
        Ok((value, report))
    }

    /// ½·mean((x̂0 − sg(x̂0 − g))²) with g of [`Game::direction`], and the adversarial term where asked for.
    pub(crate) fn update_by_scores(
        &self,
        student: &mut Student,
        update: u64,
        steps: u64,
        turn: &mut Turn,
        round: &Round,
    ) -> Result<(f64, StepReport), TrainError> {
        let settings = self.settings;
        let Student { generator, discriminator, score, teacher } = student;
        let found = generator.gradients(round.halves(), |leaves, round| {
            let device = leaves.device();
            let batch = self.on_the_way(&round, &generator.parameters)?;
            let made = self.predicted_data(&batch, leaves, device)?;
            let goal = self.goal(made.to_vec(), &batch, &round, teacher, &score.parameters)?;
            let mut loss: Tensor<1> = mean_squared(made.clone(), on(goal, &batch.shape, device)).mul_scalar(0.5);
            if settings.scores.adversarial > 0.0 {
                let adversarial = self.adversarial(discriminator, made, &batch, &round, device)?;
                loss = loss + adversarial.mul_scalar(settings.scores.adversarial);
            }
            Ok(part_loss(loss, batch.share(settings.batch)))
        })?;
        Ok(self.step_generator(generator, found, update, steps, turn))
    }

    /// Where the scores pull clips that the student made: x̂0 − t'·(v_teacher − v_student) / mean |x̂0 − x̂0_teacher| per clip, seen
    /// at times t' (DMD2, eq. 1 and 2: with y = (1 − t')·x̂0 + t'·ε', the difference of both predictions of the data).
    fn goal(
        &self,
        made: Vec<f32>,
        batch: &FlowBatch,
        round: &Round,
        teacher: &Parameters,
        score: &Parameters,
    ) -> Result<Vec<f32>, TrainError> {
        let device = teacher.device();
        let seen = FlowBatch { data: made, noise: round.noise.clone(), times: round.look.clone(), ..batch.clone() };
        let of_student = self.velocity_of(&seen, score, device)?;
        let mut of_teacher = self.velocity_of(&seen, teacher, device)?;
        let guidance = self.settings.scores.guidance;
        if guidance != 1.0 {
            let free = FlowBatch { captions: vec![EMPTY_CAPTION; seen.captions.len()], ..seen.clone() };
            let free = self.velocity_of(&free, teacher, device)?;
            of_teacher.iter_mut().zip(free).for_each(|(v, free)| *v = free + guidance * (*v - free));
        }
        let mut goal = seen.data.clone();
        let length = goal.len() / seen.times.len();
        let y = seen.noised();
        for (row, &t) in seen.times.iter().enumerate() {
            let at = row * length..(row + 1) * length;
            let (x, real, fake) = (&mut goal[at.clone()], &of_teacher[at.clone()], &of_student[at.clone()]);
            pull(x, &y[at], real, fake, t);
        }
        Ok(goal)
    }

    fn velocity_of(
        &self,
        batch: &FlowBatch,
        weights: &dyn WeightSource,
        device: &Device,
    ) -> Result<Vec<f32>, TrainError> {
        Ok(batch.velocity(self.denoisers.of(batch), weights, self.text, device)?.to_vec())
    }
}

/// Moves one clip `x` to where the scores pull it, seen as `y` at time `t`.
fn pull(x: &mut [f32], y: &[f32], of_teacher: &[f32], of_student: &[f32], t: f32) {
    let distances = x.iter().zip(y).zip(of_teacher).map(|((x, y), v)| f64::from((x - (y - t * v)).abs()));
    let scale = (distances.sum::<f64>() / x.len() as f64).max(1e-6) as f32;
    for ((x, real), fake) in x.iter_mut().zip(of_teacher).zip(of_student) {
        *x -= t * (real - fake) / scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversarial::mix;

    #[test]
    fn equal_scores_pull_nowhere_and_others_towards_the_teachers_data() {
        let (x, noise, t) = ([0.5f32, -1.0, 2.0, 0.0], [1.0f32, 0.3, -0.2, 0.8], 0.6f32);
        let y = mix(&x, &noise, &[t]);
        // The student's score knows its own clip: y − t·v = x. The teacher's sees another.
        let other = [1.0f32, 0.0, 1.0, -1.0];
        let v = |data: &[f32]| -> Vec<f32> { y.iter().zip(data).map(|(y, x)| (y - x) / t).collect() };
        let mut same = x;
        pull(&mut same, &y, &v(&x), &v(&x), t);
        assert_eq!(same, x);
        let mut moved = x;
        pull(&mut moved, &y, &v(&other), &v(&x), t);
        let scale = x.iter().zip(&other).map(|(x, o)| (x - o).abs()).sum::<f32>() / 4.0;
        for ((moved, x), other) in moved.iter().zip(&x).zip(&other) {
            assert!((moved - (x + (other - x) / scale)).abs() < 1e-5);
        }
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        assert!(ScoreSettings::default().check().is_ok());
        let bad = |settings: ScoreSettings| settings.check().unwrap_err().to_string();
        assert!(bad(ScoreSettings { updates: 0, ..Default::default() }).contains("updates = 0"));
        assert!(bad(ScoreSettings { guidance: f32::NAN, ..Default::default() }).contains("guidance = NaN"));
        assert!(bad(ScoreSettings { adversarial: -1.0, ..Default::default() }).contains("adversarial = -1"));
    }
}
