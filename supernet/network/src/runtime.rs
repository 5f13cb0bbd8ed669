use burn::tensor::Device;
use tnas_graph::{
    Graph, HostTensor, Runtime, RuntimeError, RuntimeKind, RuntimeOptions, Session, Weights, resolve,
};

use crate::{Parameters, Value, execute, open_device};

/// This program as a kind of runtime.
pub const BURN: RuntimeKind = RuntimeKind {
    name: "burn",
    help: "this program's own network, on the CPU, a graphics card or CUDA",
    devices: &["cpu", "gpu", "cuda:N"],
    install: None,
    reads: &[],
    precision: "f32",
    // The version of Burn that Cargo.toml pins, and ours: the fused operations are this project's.
    version: |_| Ok(concat!("0.22.1, tnas ", env!("CARGO_PKG_VERSION")).into()),
    open: |options| Ok(Box::new(BurnRuntime::open(options)?)),
};

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

    fn open(options: &RuntimeOptions) -> Result<Self, RuntimeError> {
        let fail = |message: String| RuntimeError::Backend { runtime: BURN.name.into(), message };
        Ok(Self::new(&open_device(&options.device).map_err(|error| fail(error.to_string()))?))
    }

    /// As [`Runtime::load`], for weights that are on the device already: they are shared, not copied.
    pub fn session(&self, graph: &Graph, weights: &Parameters) -> Result<Box<dyn Session>, RuntimeError> {
        let parameters = weights.extract(graph)?;
        Ok(Box::new(BurnSession { graph: graph.clone(), parameters, device: self.device.clone() }))
    }
}

impl Runtime for BurnRuntime {
    fn name(&self) -> &str {
        BURN.name
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
