use burn::tensor::Device;
use tnas_graph::{Graph, HostTensor, Runtime, RuntimeError, Session, Weights, resolve};

use crate::{Parameters, Value, execute};

/// This program as a runtime: graphs on a Burn device.
#[derive(Clone, Debug)]
pub struct BurnRuntime {
    device: Device,
}

struct BurnSession {
    graph: Graph,
    parameters: Parameters,
    device: Device,
}

impl BurnRuntime {
    /// Runs on this device, without gradients.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone().inner() }
    }

    /// As [`Runtime::load`], for weights that are on the device already: they are shared, not copied.
    pub fn session(&self, graph: &Graph, weights: &Parameters) -> Result<Box<dyn Session>, RuntimeError> {
        let parameters = weights.extract(graph)?;
        Ok(Box::new(BurnSession { graph: graph.clone(), parameters, device: self.device.clone() }))
    }
}

impl Runtime for BurnRuntime {
    fn name(&self) -> &str {
        "burn"
    }

    fn load(&self, graph: &Graph, weights: &dyn Weights) -> Result<Box<dyn Session>, RuntimeError> {
        let mut parameters = Parameters::new(&self.device);
        for weight in graph.weights() {
            parameters.insert_host(&weight.name, &weight.shape, resolve(weights, weight)?.into_owned());
        }
        Ok(Box::new(BurnSession { graph: graph.clone(), parameters, device: self.device.clone() }))
    }
}

impl Session for BurnSession {
    fn run(&mut self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, RuntimeError> {
        let inputs = inputs.iter().map(|input| Value::from_host(input, &self.device)).collect();
        let outputs = execute(&self.graph, &self.parameters, inputs, &self.device)?;
        Ok(outputs.iter().map(Value::to_host).collect())
    }
}
