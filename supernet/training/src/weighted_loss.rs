use burn::tensor::Tensor;
use tnas_network::Value;

/// The loss of a part of a step's clips, times that part's weight in the step's loss.
pub struct WeightedLoss {
    /// What is differentiated, `[1]`.
    pub loss: Tensor<1>,
    /// What is added to the step's reported loss.
    pub value: f64,
}

impl WeightedLoss {
    /// A part's mean loss `[1]` with its weight, e.g. the part's fraction of the step's clips.
    pub fn new(loss: Tensor<1>, weight: f64) -> Self {
        let value = f64::from(loss.clone().inner().into_scalar::<f32>()) * weight;
        Self { value, loss: loss.mul_scalar(weight) }
    }

    /// Adds a term `[1]` that is differentiated but not reported.
    pub fn add_unreported(&mut self, term: Tensor<1>) {
        self.loss = self.loss.clone() + term;
    }
}

/// Mean squared difference of two values of one shape, `[1]`.
pub(crate) fn mean_squared(a: Value, b: Value) -> Tensor<1> {
    (a.flat() - b.flat()).square().mean()
}
