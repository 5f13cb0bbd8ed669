use tnas_graph::{Graph, HostData, HostTensor, Runtime, Session, WeightMap};
use tnas_latency::{Outcome, Subject, measure, peak_memory_bytes, serve};
use tnas_models::DenoiserShape;
use tnas_space::Genotype;

use super::{Request, subject};
use tnas_pipeline::model_folder::read_configs;

/// The measuring process: requests on stdin, outcomes on stdout.
pub fn measure_one() -> anyhow::Result<()> {
    let answer =
        |request: Request| one(&request).unwrap_or_else(|error| Outcome::Crashed { reason: format!("{error:#}") });
    Ok(serve(std::io::stdin().lock(), std::io::stdout().lock(), answer)?)
}

fn one(request: &Request) -> anyhow::Result<Outcome> {
    let configs = read_configs(&request.configs)?;
    let [batch, frames, height, width, tokens] = request.shape;
    let shape = DenoiserShape { batch, frames, height, width, tokens };
    let reference = configs.0.denoiser(&Genotype::none(), shape)?;
    let runtime = request.target.open()?;
    let mut measured = Loaded::new(runtime.as_ref(), &subject(request, configs, shape)?)?;
    measured.session.run(&measured.inputs)?;
    // Before the reference takes memory too.
    let peak_memory_bytes = peak_memory_bytes();
    let mut reference = Loaded::new(runtime.as_ref(), &reference)?;
    let timing = measure(measured.subject(), Some(reference.subject()), &request.policy)?;
    Ok(Outcome::Ran { timing, peak_memory_bytes })
}

/// A network ready to run.
struct Loaded {
    session: Box<dyn Session>,
    inputs: Vec<HostTensor>,
}

impl Loaded {
    fn new(runtime: &dyn Runtime, graph: &Graph) -> anyhow::Result<Self> {
        let mut noise = Noise(1);
        let mut inputs = Vec::new();
        for input in &graph.inputs {
            let shape = graph.shape(input.value).to_vec();
            let count = shape.iter().product();
            let data = match graph.dtype(input.value) {
                tnas_graph::Dtype::F32 => HostData::F32(noise.values(count, 1.0)),
                tnas_graph::Dtype::I64 => HostData::I64(vec![0; count]),
            };
            inputs.push(HostTensor { shape, data });
        }
        Ok(Self { session: runtime.load(graph, &weights(graph))?, inputs })
    }

    fn subject(&mut self) -> Subject<'_> {
        Subject { session: self.session.as_mut(), inputs: &self.inputs }
    }
}

/// Weights as large as those that training starts from: no sum overflows, and no value is so small (subnormal) that
/// arithmetic slows down.
pub fn weights(graph: &Graph) -> WeightMap {
    let mut noise = Noise(2);
    let weights = graph.weights().into_iter().map(|weight| {
        let inner = weight.shape.iter().skip(1).product::<usize>().max(1);
        let values = noise.values(weight.elements(), 1.0 / (inner as f32).sqrt());
        (weight.name.clone(), (weight.shape.clone(), values))
    });
    WeightMap(weights.collect())
}

/// A linear congruential generator (Knuth, MMIX): the values do not matter, as long as they never change.
struct Noise(u64);

impl Noise {
    /// Uniform from −width to width.
    fn values(&mut self, count: usize, width: f32) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| width * next()).collect()
    }
}
