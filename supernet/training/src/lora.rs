use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Tensor;
use tnas_graph::{Init, Weight};
use tnas_network::{Parameter, Parameters};

/// The weights that have low-rank adapters (Hu et al. 2022): the network reads W + B·A, W `[o, …]` seen as `[o, i]` stays,
/// A `[r, i]` is drawn, B `[o, r]` begins at zero. Both are named as PEFT names them.
#[derive(Clone, Debug, Default)]
pub struct Adapters(BTreeSet<String>);

/// Names of A and B of a weight.
fn names(weight: &str) -> [String; 2] {
    let module = weight.strip_suffix(".weight").unwrap_or(weight);
    [format!("{module}.lora_A.weight"), format!("{module}.lora_B.weight")]
}

impl Adapters {
    /// Puts adapters of a rank on the weights of linear layers and convolutions that `adapts` names, and draws A and B into
    /// `parameters`; returns the names of A and B. A weight with fewer rows or columns than the rank has a lower one.
    pub(crate) fn add(
        &mut self,
        parameters: &mut Parameters,
        rank: usize,
        adapts: impl Fn(&str) -> bool,
        seed: u64,
    ) -> Vec<String> {
        let fits = |name: &str, shape: &[usize]| name.ends_with(".weight") && shape.len() >= 2 && adapts(name);
        let found: Vec<(String, Vec<usize>)> = parameters
            .iter()
            .filter(|(name, parameter)| fits(name, &parameter.shape))
            .map(|(name, parameter)| (name.to_string(), parameter.shape.clone()))
            .collect();
        let mut added = Vec::new();
        for (name, shape) in found {
            let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
            let rank = rank.min(rows).min(columns);
            let [of_a, of_b] = names(&name);
            let pair = [
                Weight::new(of_a.as_str(), &[rank, columns], Init::FanIn),
                Weight::new(of_b.as_str(), &[rows, rank], Init::Zeros),
            ];
            parameters.init(&pair, seed);
            added.extend([of_a, of_b]);
            self.0.insert(name);
        }
        added
    }

    /// Whether a weight has one.
    pub fn contains(&self, weight: &str) -> bool {
        self.0.contains(weight)
    }

    /// The weights as the network reads them: W + B·A under W's name, without A and B.
    pub fn merged(&self, parameters: &Parameters) -> Parameters {
        let mut merged = parameters.clone();
        for name in &self.0 {
            let (Some(w), Some((a, b))) = (parameters.get(name), pair(parameters, name)) else { continue };
            let flat = w.flat.clone() + b.matmul(a).flatten(0, 1);
            merged.insert(name, Parameter { shape: w.shape.clone(), flat });
            for name in names(name) {
                merged.remove(&name);
            }
        }
        merged
    }

    /// Gradients of A and B from those of the weights that the network read: ∂A = Bᵀ·G, ∂B = G·Aᵀ.
    pub(crate) fn split(&self, parameters: &Parameters, gradients: &mut BTreeMap<String, Tensor<1>>) {
        for name in &self.0 {
            let (Some(g), Some((a, b))) = (gradients.remove(name), pair(parameters, name)) else { continue };
            let ([rows, _], [_, columns]) = (b.dims(), a.dims());
            let g = g.reshape([rows, columns]);
            let [of_a, of_b] = names(name);
            gradients.insert(of_a, b.transpose().matmul(g.clone()).flatten(0, 1));
            gradients.insert(of_b, g.matmul(a.transpose()).flatten(0, 1));
        }
    }
}

/// A and B.
fn pair(parameters: &Parameters, weight: &str) -> Option<(Tensor<2>, Tensor<2>)> {
    let matrix = |name: &str| {
        let Parameter { shape, flat } = parameters.get(name)?;
        let &[rows, columns] = &shape[..] else { return None };
        Some(flat.clone().reshape([rows, columns]))
    };
    let [a, b] = names(weight);
    Some((matrix(&a)?, matrix(&b)?))
}

#[cfg(test)]
mod tests {
    use tnas_network::{Value, normal_vec, open_device, stream};

    use super::*;

    /// Σ (W + B·A) ∘ C by Burn's own backward pass, through A and B.
    #[test]
    fn gradients_are_those_through_the_product() {
        let device = open_device("cpu").unwrap();
        let mut parameters = Parameters::new(&device);
        let mut put = |name: &str, shape: &[usize]| {
            let values = normal_vec(shape.iter().product(), &mut stream(1, name, 0));
            parameters.insert_host(name, shape, values);
        };
        put("m.weight", &[6, 2, 2, 1]);
        put("m.bias", &[6]);
        put("c", &[24]);
        let mut adapters = Adapters::default();
        assert_eq!(adapters.add(&mut parameters, 3, |_| true, 7), ["m.lora_A.weight", "m.lora_B.weight"]);
        parameters.insert_host("m.lora_B.weight", &[6, 3], normal_vec(18, &mut stream(1, "b", 0)));
        let leaf = |name: &str, shape| {
            let flat = parameters.get(name).unwrap().flat.clone();
            Tensor::<2>::from_inner(flat.reshape(shape)).require_grad()
        };
        let (a, b) = (leaf("m.lora_A.weight", [3, 4]), leaf("m.lora_B.weight", [6, 3]));
        let c = parameters.get("c").unwrap().flat.clone();
        let loss = (b.clone().matmul(a.clone()) * Tensor::from_inner(c.clone().reshape([6, 4]))).sum();
        let mut found = loss.backward();
        let mut gradients = BTreeMap::from([("m.weight".to_string(), c)]);
        adapters.split(&parameters, &mut gradients);
        assert_eq!(gradients.len(), 2);
        for (name, leaf) in [("m.lora_A.weight", a), ("m.lora_B.weight", b)] {
            let expected = Value::F2(leaf.grad_remove(&mut found).unwrap()).to_vec();
            let own = Value::F1(gradients[name].clone()).to_vec();
            assert!(own.iter().zip(&expected).all(|(x, y)| (x - y).abs() <= 1e-5), "{name}: {own:?} {expected:?}");
        }
    }
}
