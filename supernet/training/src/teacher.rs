use burn::tensor::Tensor;
use tnas_graph::cost;
use tnas_models::{Backbone, DenoiserShape};
use tnas_network::{Device, Parameters, Value};
use tnas_space::{Genome, Genotype, SearchSpace};

use crate::{
    HeldOut, TextFeatures, TrainError, flow_batch::FlowBatch, micro_batches::HalfGraphs,
    weighted_loss::mean_squared,
};

/// What the teacher predicts for some clips: the targets of distillation.
pub(crate) struct TeacherTargets {
    /// Velocity in the clips' shape.
    pub velocity: Vec<f32>,
    /// Block outputs with their shapes.
    features: Vec<(Vec<usize>, Vec<f32>)>,
}

impl TeacherTargets {
    /// Runs the teacher with averaged weights.
    pub fn of(
        half: &FlowBatch,
        graphs: &HalfGraphs,
        averaged: &Parameters,
        text: &TextFeatures,
    ) -> Result<Self, TrainError> {
        let device = averaged.device();
        let (velocity, features) = half.velocity_and_features(graphs.of(half.shape), averaged, text, device)?;
        let features = features.iter().map(|feature| (feature.shape(), feature.to_vec())).collect();
        Ok(Self { velocity: velocity.to_vec(), features })
    }

    /// Mean over blocks of ‖h − h_teacher‖² / ‖h_teacher‖² (hints, Romero et al. 2015), `[1]`; none without block outputs.
    pub fn feature_distance(&self, features: Vec<Value>, device: &Device) -> Option<Tensor<1>> {
        let count = features.len();
        let distance = |(feature, (shape, target)): (Value, &(Vec<usize>, Vec<f32>))| {
            let size = target.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / target.len() as f64;
            mean_squared(feature, Value::constant(target.clone(), shape, device)).div_scalar(size.max(1e-12))
        };
        let sum = features.into_iter().zip(&self.features).map(distance).reduce(|a, b| a + b)?;
        Some(sum.div_scalar(count as f64))
    }
}

/// Whether the teacher's genotype has a lower held-out loss than no temporal layers.
pub(crate) fn is_better_than_none(
    teacher: &Genotype,
    backbone: &Backbone,
    averaged: &Parameters,
    held_out: &HeldOut,
) -> Result<bool, TrainError> {
    let loss = |genotype| held_out.loss(averaged, |shape| Ok(backbone.denoiser(genotype, shape)?));
    Ok(loss(teacher)?.mean < loss(&Genotype::none())?.mean)
}

/// The default teacher: at each slot the choice with the most multiply-accumulates.
pub fn largest_genotype(
    backbone: &Backbone,
    space: &SearchSpace,
    shape: DenoiserShape,
) -> Result<Genotype, TrainError> {
    let mut genome: Genome = vec![0; space.slots().len()];
    for slot in 0..genome.len() {
        let mut best = (0, 0);
        for choice in 0..space.slots()[slot].choices.len() as u16 {
            let mut one: Genome = vec![0; genome.len()];
            one[slot] = choice;
            let macs = cost(&backbone.denoiser(&space.genotype(&one), shape)?).macs;
            best = best.max((macs, choice));
        }
        genome[slot] = best.1;
    }
    Ok(space.genotype(&genome))
}
