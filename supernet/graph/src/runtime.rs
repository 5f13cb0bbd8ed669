use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{Graph, HostTensor, Weight};

/// Something that executes graphs on a device: this project's own network, ONNX Runtime, ….
pub trait Runtime {
    /// Name in profiles and reports, e.g. `burn` or `onnxruntime`.
    fn name(&self) -> &str;

    /// Prepares a graph with its weights.
    fn load(&self, graph: &Graph, weights: &dyn Weights) -> Result<Box<dyn Session>, RuntimeError>;

    /// Prepares an exported model file, of a format that [`RuntimeKind::reads`](crate::RuntimeKind::reads) names. The usual
    /// runtime reads none.
    fn load_file(&self, file: &Path) -> Result<Box<dyn Session>, RuntimeError> {
        let message = format!("it reads no model files, hence not {}", file.display());
        Err(RuntimeError::Backend { runtime: self.name().into(), message })
    }
}

/// A graph ready to run.
pub trait Session {
    /// Runs once. Inputs and outputs in the graph's order.
    fn run(&mut self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, RuntimeError>;
}

/// Weight tensors by name, wherever they are kept.
pub trait Weights {
    /// Stored shape, or `None` where there is no such tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// Values, row-major.
    fn values(&self, name: &str) -> Result<Cow<'_, [f32]>, WeightError>;
}

/// Why a runtime could not do its work.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// A weight is missing or misshapen.
    #[error(transparent)]
    Weight(#[from] WeightError),
    /// The inputs do not fit the graph.
    #[error("run the graph: input {name}: expected {expected:?}, found {found:?}")]
    Input {
        /// Input name.
        name: String,
        /// The graph's shape.
        expected: Vec<usize>,
        /// The caller's shape.
        found: Vec<usize>,
    },
    /// The runtime's library is not installed, or not where it was said to be.
    #[error("find the library of {runtime}: {reason}")]
    NoLibrary {
        /// Runtime name.
        runtime: String,
        /// Where it was searched for, and how to install or name it.
        reason: String,
    },
    /// A model file cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The runtime's own library failed.
    #[error("run on {runtime}: {message}")]
    Backend {
        /// Runtime name.
        runtime: String,
        /// Its message.
        message: String,
    },
}

/// Why a weight could not be had.
#[derive(Debug, Error)]
pub enum WeightError {
    /// No such tensor.
    #[error("find weight {0}: the checkpoint holds no such tensor")]
    Missing(String),
    /// Another shape than the graph needs.
    #[error("use weight {name}: expected {expected:?}, found {found:?}")]
    Shape {
        /// Weight name.
        name: String,
        /// The graph's shape.
        expected: Vec<usize>,
        /// The stored shape.
        found: Vec<usize>,
    },
    /// The file could not be read.
    #[error("read weight {name}: {message}")]
    Read {
        /// Weight name.
        name: String,
        /// Cause.
        message: String,
    },
}

/// Weights in a map, for tests and small networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightMap(pub BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Weights for WeightMap {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|(shape, _)| shape.clone())
    }

    fn values(&self, name: &str) -> Result<Cow<'_, [f32]>, WeightError> {
        let found = self.0.get(name).ok_or_else(|| WeightError::Missing(name.into()))?;
        Ok(Cow::Borrowed(&found.1))
    }
}

/// A weight's values as a node uses them: looked up, checked, and sliced where it is elastic.
pub fn resolve<'a>(weights: &'a dyn Weights, weight: &Weight) -> Result<Cow<'a, [f32]>, WeightError> {
    let stored = weights.shape(&weight.name).ok_or_else(|| WeightError::Missing(weight.name.clone()))?;
    let ranges = weight.ranges(&stored).ok_or_else(|| WeightError::Shape {
        name: weight.name.clone(),
        expected: weight.shape.clone(),
        found: stored.clone(),
    })?;
    let values = weights.values(&weight.name)?;
    if stored == weight.shape {
        return Ok(values);
    }
    Ok(Cow::Owned(slice(&values, &stored, &ranges)))
}

fn slice(values: &[f32], stored: &[usize], ranges: &[(usize, usize)]) -> Vec<f32> {
    let (Some((&length, rest)), Some((&(start, end), inner))) = (stored.split_first(), ranges.split_first()) else {
        return values.to_vec();
    };
    let stride = values.len() / length;
    (start..end).flat_map(|i| slice(&values[i * stride..(i + 1) * stride], rest, inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Elastic, Init};

    #[test]
    fn an_elastic_weight_is_a_slice_of_the_stored_one() {
        let stored = (0..20).map(|x| x as f32).collect();
        let map = WeightMap([("w".into(), (vec![4, 5], stored))].into());
        let weight = Weight::new("w", &[2, 3], Init::Zeros).with_elastic(Elastic::PrefixCentre(1));
        assert_eq!(*resolve(&map, &weight).unwrap(), [1.0, 2.0, 3.0, 6.0, 7.0, 8.0]);
        let wrong = Weight::new("w", &[2, 3], Init::Zeros);
        assert!(matches!(resolve(&map, &wrong), Err(WeightError::Shape { .. })));
    }
}
