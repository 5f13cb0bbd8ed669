//! Adversarial distillation (SF-V, arXiv 2406.04324), written for rectified flow: a discriminator of heads on the teacher's frozen
//! encoder compares noised clips of the student with noised real ones.

use burn::tensor::{Tensor, activation};
use tnas_network::{Leaves, Value};

use crate::{
    Student, TrainError, WeightedLoss,
    denoise::by_clip,
    distillation::{Distillation, mix},
    student_batch::StudentBatch,
};

impl Distillation<'_> {
    /// Hinge loss of the heads with the approximate R1 penalty (γ/σ²)·‖D(y) − D(y + σξ)‖² on real clips.
    pub fn discriminator_loss(
        &self,
        networks: &Student,
        leaves: &Leaves,
        batch: StudentBatch,
    ) -> Result<WeightedLoss, TrainError> {
        let (settings, device) = (self.settings, leaves.device());
        let student = &networks.generator.parameters;
        let StudentBatch { clips, seen_times, seen_noise, penalty_noise, .. } = &batch;
        let made = self.predicted_data(clips, student, student.device())?.to_vec();
        let real_input = mix(&clips.data, seen_noise, seen_times);
        let made_input = mix(&made, seen_noise, seen_times);
        let d =
            |input: Vec<f32>| self.logits(leaves, Value::constant(input, &clips.shape, device), clips, seen_times);
        let real = d(real_input.clone())?;
        let mut loss = activation::relu(real.clone().neg().add_scalar(1.0)).mean()
            + activation::relu(d(made_input)?.add_scalar(1.0)).mean();
        if settings.r1 > 0.0 {
            let moved = real_input.iter().zip(penalty_noise).map(|(y, xi)| y + settings.r1_noise * xi).collect();
            let penalty = (real - d(moved)?).square().mean();
            loss = loss + penalty.mul_scalar(settings.r1 / f64::from(settings.r1_noise).powi(2));
        }
        Ok(WeightedLoss::new(loss, clips.fraction_of(self.micro.clips)))
    }

    /// −D(ŷ) + λ·(√(‖x̂0 − x0‖² + c²) − c)/√d, the gradient passing through the fixed discriminator.
    pub fn generator_loss(
        &self,
        networks: &Student,
        leaves: &Leaves,
        batch: StudentBatch,
    ) -> Result<WeightedLoss, TrainError> {
        let (settings, device, clips) = (self.settings, leaves.device(), &batch.clips);
        let made = self.predicted_data(clips, leaves, device)?;
        let adversarial = self.adversarial_loss(&networks.discriminator, made.clone(), &batch, device)?;
        let data = Value::constant(clips.data.clone(), &clips.shape, device);
        let loss = adversarial + pseudo_huber(made, data, settings.huber).mul_scalar(settings.reconstruction);
        Ok(WeightedLoss::new(loss, clips.fraction_of(self.micro.clips)))
    }
}

/// Mean over clips of (√(‖a − b‖² + c²) − c)/√d, `[1]`, d being the elements of a clip.
fn pseudo_huber(a: Value, b: Value, c: f64) -> Tensor<1> {
    let difference = by_clip(a) - by_clip(b);
    let [_, elements] = difference.dims();
    let squares = difference.square().sum_dim(1);
    let root = squares.add_scalar(c * c).sqrt().add_scalar(-c);
    root.mean().mul_scalar(1.0 / (elements as f64).sqrt())
}
