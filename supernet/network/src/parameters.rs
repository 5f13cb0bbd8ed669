use std::{borrow::Cow, collections::BTreeMap};

use burn::tensor::{Device, Gradients, Tensor};
use rand::RngExt;
use thiserror::Error;
use tnas_graph::{Graph, Init, RuntimeError, Weight, WeightError, Weights};

use crate::{Compute, Value, WeightSource, execute::Runner, normal_vec, segmented::Tapes, stream};

/// Weights by checkpoint name, on the plain device. A supernet is a `Parameters` that holds every choice's weights.
#[derive(Clone, Debug)]
pub struct Parameters {
    device: Device,
    pub(crate) tensors: BTreeMap<String, Parameter>,
}

/// One weight, kept flat so that optimisers and files need not know ranks.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Axis lengths.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub flat: Tensor<1>,
}

/// Why parameters cannot be used.
#[derive(Debug, Error)]
pub enum ParametersError {
    /// A weight is missing or misshapen.
    #[error(transparent)]
    Weight(#[from] WeightError),
    /// The checkpoint holds tensors that no part of the network reads.
    #[error("use the checkpoint: {count} tensors are read by nothing, the first is {first}")]
    Extra {
        /// How many.
        count: usize,
        /// The first by name.
        first: String,
    },
}

impl Parameters {
    /// No weights yet.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone().inner(), tensors: BTreeMap::new() }
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Tensors in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.tensors.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// A tensor.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.tensors.get(name)
    }

    /// Puts a tensor in.
    pub fn insert(&mut self, name: impl Into<String>, parameter: Parameter) {
        self.tensors.insert(name.into(), parameter);
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Parameter> {
        self.tensors.remove(name)
    }

    /// The same weights on another device.
    pub fn on_device(&self, device: &Device) -> Self {
        let device = device.clone().inner();
        if device == self.device {
            return self.clone();
        }
        let moved = |Parameter { shape, flat }: &Parameter| Parameter {
            shape: shape.clone(),
            flat: flat.clone().to_device(&device),
        };
        let tensors = self.tensors.iter().map(|(name, parameter)| (name.clone(), moved(parameter))).collect();
        Self { device, tensors }
    }

    /// Puts host values in.
    pub fn insert_host(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<f32>) {
        let length = values.len();
        let flat = Value::from_f32(values, &[length], &self.device).flat();
        self.insert(name, Parameter { shape: shape.to_vec(), flat });
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.tensors.values().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// Draws the weights that are not there yet. Each has a random stream named after it: what it becomes depends on
    /// the seed and its name alone.
    pub fn init<'a>(&mut self, weights: impl IntoIterator<Item = &'a Weight>, seed: u64) {
        for weight in weights {
            if !self.tensors.contains_key(&weight.name) {
                self.insert_host(&weight.name, &weight.shape, draw(weight, seed));
            }
        }
    }

    /// The weights of one graph, each in the shape that the graph uses.
    pub fn extract(&self, graph: &Graph) -> Result<Self, WeightError> {
        let mut out = Self::new(&self.device);
        for weight in graph.weights() {
            let flat = self.weight(weight)?.flat();
            out.insert(&weight.name, Parameter { shape: weight.shape.clone(), flat });
        }
        Ok(out)
    }

    /// Takes in all tensors of another, replacing those of one name.
    pub fn absorb(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
    }

    /// An error where a tensor is read by none of the graphs.
    pub fn refuse_extra(&self, graphs: &[&Graph]) -> Result<(), ParametersError> {
        let read: std::collections::BTreeSet<&str> =
            graphs.iter().flat_map(|graph| graph.weights()).map(|weight| weight.name.as_str()).collect();
        let extra: Vec<&str> = self.names().filter(|name| !read.contains(name)).collect();
        match extra.first() {
            None => Ok(()),
            Some(first) => Err(ParametersError::Extra { count: extra.len(), first: (*first).into() }),
        }
    }

    /// Weights for one training step on the autodiff device: those that `trains` names are tracked.
    pub fn leaves(&self, trains: impl Fn(&str) -> bool) -> Leaves {
        let device = self.device.clone().autodiff();
        let leaf = |(name, parameter): (&String, &Parameter)| {
            let flat = Tensor::from_inner(parameter.flat.clone());
            let flat = if trains(name) { flat.require_grad() } else { flat };
            (name.clone(), Parameter { shape: parameter.shape.clone(), flat })
        };
        Leaves { device, tensors: self.tensors.iter().map(leaf).collect(), tapes: None, compute: Compute::F32 }
    }
}

impl WeightSource for Parameters {
    fn flat(&self, name: &str) -> Option<(&[usize], Tensor<1>)> {
        self.tensors.get(name).map(|p| (&p.shape[..], p.flat.clone()))
    }
}

impl Weights for Parameters {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|p| p.shape.clone())
    }

    fn values(&self, name: &str) -> Result<Cow<'_, [f32]>, WeightError> {
        let found = self.tensors.get(name).ok_or_else(|| WeightError::Missing(name.into()))?;
        Ok(Cow::Owned(Value::F1(found.flat.clone()).to_vec()))
    }
}

/// Weights on the autodiff device, for one step.
#[derive(Clone, Debug)]
pub struct Leaves {
    device: Device,
    tensors: BTreeMap<String, Parameter>,
    tapes: Option<Tapes>,
    compute: Compute,
}

impl Leaves {
    /// The autodiff device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs graphs segment by segment: only the values between segments are kept, and [`Leaves::backward`] computes a
    /// segment again when it comes to it. A loss may read what such a run gives, and what was given to it, but nothing else
    /// that depends on the weights through both.
    pub fn in_segments(self) -> Self {
        Self { tapes: Some(Tapes::default()), ..self }
    }

    /// Runs operations in this precision over the f32 weights, whose gradients are f32 again.
    pub fn computing(self, compute: Compute) -> Self {
        Self { compute, ..self }
    }

    /// Takes the gradients out by name; weights that no path used have none.
    pub fn gradients(&self, gradients: &mut Gradients) -> BTreeMap<String, Tensor<1>> {
        let tracked = self.tensors.iter().filter(|(_, leaf)| leaf.flat.is_tracked());
        tracked.filter_map(|(name, leaf)| Some((name.clone(), leaf.flat.grad_remove(gradients)?))).collect()
    }

    /// Gradients of a loss by name. A loss that depends on no tracked weight has none.
    pub fn backward(&self, loss: Tensor<1>) -> Result<BTreeMap<String, Tensor<1>>, RuntimeError> {
        // A path without temporal layers over frozen image weights trains nothing.
        if !loss.is_tracked() {
            return Ok(BTreeMap::new());
        }
        let mut found = loss.backward();
        let mut sums = self.gradients(&mut found);
        if let Some(tapes) = &self.tapes {
            tapes.backward(self, found, &mut sums)?;
        }
        Ok(sums)
    }

    /// Leaves of their own for some of the weights, run whole.
    pub(crate) fn anew<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let leaf = |name: &str| {
            let Parameter { shape, flat } = self.tensors.get(name)?;
            let plain = Tensor::from_inner(flat.clone().inner());
            let flat = if flat.is_tracked() { plain.require_grad() } else { plain };
            Some((name.to_string(), Parameter { shape: shape.clone(), flat }))
        };
        let tensors = names.into_iter().filter_map(leaf).collect();
        Self { device: self.device.clone(), tensors, tapes: None, compute: self.compute }
    }
}

impl WeightSource for Leaves {
    fn flat(&self, name: &str) -> Option<(&[usize], Tensor<1>)> {
        self.tensors.get(name).map(|p| (&p.shape[..], p.flat.clone()))
    }

    fn compute(&self) -> Compute {
        self.compute
    }

    fn runner(&self) -> Option<&dyn Runner> {
        self.tapes.as_ref().map(|tapes| tapes as &dyn Runner)
    }
}

/// Adds gradients by name.
pub fn accumulate(sum: &mut BTreeMap<String, Tensor<1>>, more: BTreeMap<String, Tensor<1>>) {
    for (name, gradient) in more {
        match sum.remove(&name) {
            None => sum.insert(name, gradient),
            Some(old) => sum.insert(name, old + gradient),
        };
    }
}

/// The weights of several graphs by name, each as large as its largest use: what a supernet holds.
pub fn merged_weights<'a>(graphs: impl IntoIterator<Item = &'a Graph>) -> BTreeMap<String, Weight> {
    let mut merged: BTreeMap<String, Weight> = BTreeMap::new();
    for weight in graphs.into_iter().flat_map(Graph::weights) {
        let entry = merged.entry(weight.name.clone()).or_insert_with(|| weight.clone());
        for (have, &want) in entry.shape.iter_mut().zip(&weight.shape) {
            *have = (*have).max(want);
        }
    }
    merged
}

fn draw(weight: &Weight, seed: u64) -> Vec<f32> {
    let mut rng = stream(seed, &format!("init/{}", weight.name), 0);
    let count = weight.elements();
    match weight.init {
        Init::Zeros => vec![0.0; count],
        Init::Ones => vec![1.0; count],
        Init::Normal(deviation) => normal_vec(count, &mut rng).into_iter().map(|x| x * deviation).collect(),
        Init::FanIn => {
            // Kaiming uniform with a = √5, that is ±1/√fan_in (torch's default).
            let fan_in = weight.shape[1..].iter().product::<usize>().max(1);
            let fan_in = if weight.shape.len() == 1 { count } else { fan_in };
            let bound = 1.0 / (fan_in as f32).sqrt();
            (0..count).map(|_| rng.random_range(-bound..=bound)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_device;

    #[test]
    fn a_weight_depends_on_seed_and_name_alone() {
        let device = open_device("cpu").unwrap();
        let a = Weight::new("a", &[4, 3], Init::FanIn);
        let b = Weight::new("b", &[2], Init::Normal(0.1));
        let values = |weights: &[&Weight], name: &str| {
            let mut parameters = Parameters::new(&device);
            parameters.init(weights.iter().copied(), 7);
            parameters.values(name).unwrap().into_owned()
        };
        assert_eq!(values(&[&a, &b], "a"), values(&[&b, &a], "a"));
        assert!(values(&[&a], "a").iter().all(|x| x.abs() <= 1.0 / 3f32.sqrt()));
        assert_ne!(values(&[&b], "b")[0], 0.0);
    }
}
