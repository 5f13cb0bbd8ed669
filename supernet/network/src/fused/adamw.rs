//! AdamW and gradient norms in one pass each, as an extension of Burn's CPU backend.

use burn::{
    backend::{Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor},
    tensor::Tensor,
};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{
    AdamWStep,
    extension::{tensor, with_slice},
    simd::{sum, vectorised},
};

/// Elements of one task.
const CHUNK: usize = 1 << 16;

#[backend_extension(Flex)]
pub trait OptimizerBackend: Backend {
    fn fused_adamw(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn fused_squares(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

pub(super) fn adamw([weights, gradient, first, second]: [Tensor<1>; 4], step: AdamWStep) -> [Tensor<1>; 3] {
    let (weights, gradient) = (weights.into_dispatch(), gradient.into_dispatch());
    let (first, second) = (first.into_dispatch(), second.into_dispatch());
    let (weights, first, second) =
        <Dispatch as OptimizerBackend>::fused_adamw(weights, gradient, first, second, step);
    [weights, first, second].map(Tensor::from_dispatch)
}

/// Sums of squares of chunks.
pub(super) fn squares(x: Tensor<1>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as OptimizerBackend>::fused_squares(x.into_dispatch()))
}

/// The tensor over the whole of its buffer, which is its own where nobody else holds it.
fn owned(x: FlexTensor) -> FlexTensor {
    let whole = x.to_contiguous();
    drop(x);
    whole
}

impl OptimizerBackend for Flex {
    fn fused_adamw(
        weights: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: AdamWStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (mut weights, mut first, mut second) = (owned(weights), owned(first), owned(second));
        with_slice(&gradient, |gradient| {
            let moments = first.storage_mut::<f32>().par_chunks_mut(CHUNK);
            let moments = moments.zip(second.storage_mut::<f32>().par_chunks_mut(CHUNK));
            let weights = weights.storage_mut::<f32>().par_chunks_mut(CHUNK);
            weights.zip(gradient.par_chunks(CHUNK)).zip(moments).for_each(
                |((weights, gradient), (first, second))| adamw_chunk(weights, gradient, first, second, step),
            );
        });
        (weights, first, second)
    }

    fn fused_squares(x: FlexTensor) -> FlexTensor {
        let sums: Vec<f32> = with_slice(&x, |x| x.par_chunks(CHUNK).map(square_sum).collect());
        let count = sums.len();
        tensor(sums, vec![count])
    }
}

vectorised! {
    fn square_sum(x: &[f32]) -> f32 {
        sum(x, |x| x * x)
    }
}

vectorised! {
    /// In the order of roundings of Burn's AdamW.
    fn adamw_chunk(weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], s: AdamWStep) {
        let (rest1, rest2) = (1.0 - s.beta1, 1.0 - s.beta2);
        let (correct1, correct2) = (1.0 - s.beta1.powi(s.time), 1.0 - s.beta2.powi(s.time));
        let (keep, rate, scale) = ((1.0 - s.rate * f64::from(s.decay)) as f32, s.rate as f32, s.scale as f32);
        let moments = first.iter_mut().zip(second);
        for ((weight, &gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * scale;
            let (added1, added2) = (gradient * rest1, gradient * gradient * rest2);
            (*first, *second) =
                if s.time == 1 { (added1, added2) } else { (*first * s.beta1 + added1, *second * s.beta2 + added2) };
            let delta = (*first / correct1) / ((*second / correct2).sqrt() + s.epsilon);
            *weight = *weight * keep - delta * rate;
        }
    }
}
