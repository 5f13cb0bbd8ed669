use std::collections::BTreeSet;

use tnas_network::{Parameter, Parameters};

/// Exponential moving average of trained weights.
#[derive(Clone, Debug)]
pub struct Ema {
    /// Share of the old average kept at each step, once warm.
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
        let names: Vec<String> = self.average.names().map(String::from).collect();
        for name in names {
            let (Some(old), Some(new)) = (self.average.get(&name), parameters.get(&name)) else { continue };
            let flat = old.flat.clone().mul_scalar(keep) + new.flat.clone().mul_scalar(1.0 - keep);
            let shape = old.shape.clone();
            self.average.insert(name, Parameter { shape, flat });
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
