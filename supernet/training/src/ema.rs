use std::{collections::BTreeSet, convert::Infallible};

use tnas_network::{Parameter, Parameters, side_by_side};

/// Exponential moving average of trained weights.
#[derive(Clone, Debug)]
pub struct Ema {
    /// Fraction of the old average kept at each step, once warm.
    pub decay: f64,
    average: Parameters,
}

impl Ema {
    /// Starts at the present weights of the named tensors.
    pub fn new(parameters: &Parameters, trained: &BTreeSet<String>, decay: f64) -> Self {
        let mut average = Parameters::new(parameters.device());
        for (name, parameter) in parameters.iter().filter(|(name, _)| trained.contains(*name)) {
            average.insert(name, parameter.clone());
        }
        Self { decay, average }
    }

    /// Moves towards the present weights. Early steps count more: decay min(d, (1+n)/(10+n)).
    pub fn update(&mut self, parameters: &Parameters, step: u64) {
        let warm = (1.0 + step as f64) / (10.0 + step as f64);
        let keep = self.decay.min(warm);
        let pairs =
            self.average.iter().filter_map(|(name, old)| Some((name, old, parameters.get(name)?))).collect();
        let Ok(moved) =
            side_by_side(parameters.device(), pairs, |(name, old, new): (&str, &Parameter, &Parameter)| {
                let flat = old.flat.clone().mul_scalar(keep) + new.flat.clone().mul_scalar(1.0 - keep);
                Ok::<_, Infallible>((name.to_string(), Parameter { shape: old.shape.clone(), flat }))
            });
        for (name, parameter) in moved {
            self.average.insert(name, parameter);
        }
    }

    /// The averaged tensors.
    pub fn average(&self) -> &Parameters {
        &self.average
    }

    pub(crate) fn restore(&mut self, average: Parameters) {
        self.average = average;
    }
}
