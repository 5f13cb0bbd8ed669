//! Distribution matching distillation (Yin et al. 2024, DMD2, arXiv 2405.14867), written for rectified flow: the student
//! follows the difference of two scores of its own clips, the teacher's and that of a network that learns what the student
//! makes. It sees real clips only where an adversarial term is asked for.

use burn::tensor::{Device, Tensor};
use tnas_network::{Leaves, Parameters, Value, WeightSource};

use crate::{
    EMPTY_CAPTION, Student, TrainError, WeightedLoss, distillation::Distillation, flow_batch::FlowBatch,
    student_batch::StudentBatch, weighted_loss::mean_squared,
};

impl Distillation<'_> {
    /// The clips as the student has them before the step that is trained: what its earlier steps make of noise, noised anew before
    /// each. At the first time they are noise alone.
    fn before_last_step(&self, batch: &StudentBatch, student: &Parameters) -> Result<FlowBatch, TrainError> {
        let mut clips = batch.clips.clone();
        let device = student.device();
        let length = clips.data.len() / clips.times.len();
        for (noise, time) in batch.step_noise.iter().zip(self.student_times()) {
            if clips.times.iter().all(|&t| t >= time) {
                break;
            }
            let step = FlowBatch { times: vec![time; clips.times.len()], noise: noise.clone(), ..clips.clone() };
            let predicted = self.predicted_data(&step, student, device)?.to_vec();
            let rows = clips.data.chunks_mut(length).zip(predicted.chunks(length)).zip(&clips.times);
            rows.filter(|(_, t)| **t < time).for_each(|((data, predicted), _)| data.copy_from_slice(predicted));
        }
        Ok(clips)
    }

    /// Flow loss of the score network on clips that the student makes.
    pub fn score_loss(
        &self,
        networks: &Student,
        leaves: &Leaves,
        batch: StudentBatch,
    ) -> Result<WeightedLoss, TrainError> {
        let device = leaves.device();
        let student = &networks.generator.parameters;
        let clips = self.before_last_step(&batch, student)?;
        let made = self.predicted_data(&clips, student, student.device())?.to_vec();
        let noised = FlowBatch { data: made, noise: batch.seen_noise, times: batch.seen_times, ..clips };
        let v = noised.velocity(self.denoisers.of(noised.shape), leaves, self.text, device)?;
        let loss = mean_squared(v, Value::constant(noised.target(), &noised.shape, device));
        Ok(WeightedLoss::new(loss, noised.fraction_of(self.micro.clips)))
    }

    /// ½·mean((x̂0 − sg(x̂0 − g))²) with g of [`Distillation::goal`], and the adversarial term where asked for.
    pub fn matching_loss(
        &self,
        networks: &Student,
        leaves: &Leaves,
        batch: StudentBatch,
    ) -> Result<WeightedLoss, TrainError> {
        let device = leaves.device();
        let clips = self.before_last_step(&batch, &networks.generator.parameters)?;
        let made = self.predicted_data(&clips, leaves, device)?;
        let goal = self.goal(made.to_vec(), &clips, &batch, networks)?;
        let goal = Value::constant(goal, &clips.shape, device);
        let mut loss: Tensor<1> = mean_squared(made.clone(), goal).mul_scalar(0.5);
        let weight = self.settings.scores.adversarial;
        if weight > 0.0 {
            let adversarial = self.adversarial_loss(&networks.discriminator, made, &batch, device)?;
            loss = loss + adversarial.mul_scalar(weight);
        }
        Ok(WeightedLoss::new(loss, clips.fraction_of(self.micro.clips)))
    }

    /// Where the scores move clips that the student made: x̂0 − t'·(v_teacher − v_student) / mean |x̂0 − x̂0_teacher| per clip, seen
    /// at times t' (DMD2, eq. 1 and 2: with y = (1 − t')·x̂0 + t'·ε', the difference of both predictions of the data).
    fn goal(
        &self,
        made: Vec<f32>,
        clips: &FlowBatch,
        batch: &StudentBatch,
        networks: &Student,
    ) -> Result<Vec<f32>, TrainError> {
        let Student { teacher, score, .. } = networks;
        let device = teacher.device();
        let (noise, times) = (batch.seen_noise.clone(), batch.seen_times.clone());
        let seen = FlowBatch { data: made, noise, times, ..clips.clone() };
        let of_student = self.velocity_of(&seen, &score.parameters, device)?;
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
        Ok(batch.velocity(self.denoisers.of(batch.shape), weights, self.text, device)?.to_vec())
    }
}

/// Moves one clip `x` along the difference of two scores, both of the noised clip `y` at time `t`.
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
    use crate::distillation::mix;

    #[test]
    fn equal_scores_move_nothing_and_others_towards_the_teachers_data() {
        let (x, noise, t) = ([0.5f32, -1.0, 2.0, 0.0], [1.0f32, 0.3, -0.2, 0.8], 0.6f32);
        let y = mix(&x, &noise, &[t]);
        // The student's score predicts its own clip: y − t·v = x. The teacher's predicts another.
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
}
