use burn::tensor::{Device, Tensor};
use tnas_graph::Graph;
use tnas_network::{Value, WeightSource, execute};
use tnas_schedulers::{Level, Parameterisation};

use crate::TrainError;

/// A call of a denoiser, whose output is turned into the velocity of a rectified flow by its parameterisation.
pub(crate) struct Denoise<'a> {
    /// What the network takes as input and predicts: noise, v, data or velocity.
    pub parameterisation: &'a Parameterisation,
    /// Time of each clip, in the model's range.
    pub times: &'a [f32],
    /// Device of the call, plain or with gradients.
    pub device: &'a Device,
}

impl Denoise<'_> {
    /// Velocity of the noised clips x_t `[B, C, F, H, W]`, in the same shape.
    pub fn velocity(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        x: Value,
        rest: Vec<Value>,
    ) -> Result<Value, TrainError> {
        Ok(self.velocity_and_features(graph, weights, x, rest)?.0)
    }

    /// The same, with the graph's other outputs: those before its last.
    pub fn velocity_and_features(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        x: Value,
        rest: Vec<Value>,
    ) -> Result<(Value, Vec<Value>), TrainError> {
        let inputs = self.inputs(x.clone(), rest);
        let mut outputs = execute(graph, weights, inputs, self.device)?;
        let out = outputs.pop().ok_or_else(|| TrainError::Data("the denoiser has no output".into()))?;
        if self.parameterisation.is_flow() {
            return Ok((out, outputs));
        }
        let shape = out.shape();
        let (skip, output) = (self.column_of(|level| level.skip), self.column_of(|level| level.output));
        Ok((Value::F2(by_clip(x) * skip + by_clip(out) * output).reshape(&shape), outputs))
    }

    /// Inputs of the network for the noised clips x_t: the scaled sample, the timesteps and the rest.
    pub fn inputs(&self, x: Value, rest: Vec<Value>) -> Vec<Value> {
        let timesteps = self.levels().map(|level| level.timestep).collect();
        let timesteps = Value::constant(timesteps, &[self.times.len()], self.device);
        let sample = if self.parameterisation.is_flow() {
            x
        } else {
            let shape = x.shape();
            Value::F2(by_clip(x) * self.column_of(|level| level.input)).reshape(&shape)
        };
        [sample, timesteps].into_iter().chain(rest).collect()
    }

    fn levels(&self) -> impl Iterator<Item = Level> {
        self.times.iter().map(|&t| self.parameterisation.at(t))
    }

    fn column_of(&self, of: impl Fn(Level) -> f32) -> Tensor<2> {
        column(Value::constant(self.levels().map(of).collect(), &[self.times.len()], self.device))
    }
}

/// `[B, elements]`
pub(crate) fn by_clip(x: Value) -> Tensor<2> {
    let shape = x.shape();
    x.reshape(&[shape[0], shape[1..].iter().product()]).rows()
}

/// `[B, 1]`
pub(crate) fn column(x: Value) -> Tensor<2> {
    let length = x.shape()[0];
    x.reshape(&[length, 1]).rows()
}

#[cfg(test)]
mod tests {
    use tnas_graph::{Dtype, GraphBuilder};
    use tnas_network::{Parameters, open_device};
    use tnas_schedulers::SchedulerConfig;

    use super::*;

    /// A network that gives twice what it is given, and the time.
    fn network() -> Graph {
        let mut g = GraphBuilder::new();
        let x = g.input("sample", &[2, 1, 1, 1, 2], Dtype::F32);
        let t = g.input("timestep", &[2], Dtype::F32);
        let t = g.reshape("column", t, &[2, 1, 1, 1, 1]);
        let twice = g.add("twice", x, x);
        let out = g.add("out", twice, t);
        g.finish(&[("out", out)]).unwrap()
    }

    #[test]
    fn the_velocity_is_what_the_levels_make_of_the_output() {
        let device = open_device("cpu").unwrap();
        let (x, times) = (vec![0.5f32, -1.0, 0.25, 2.0], [0.3f32, 0.8]);
        for json in [
            r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#,
            r#"{"_class_name": "DDIMScheduler", "prediction_type": "epsilon"}"#,
            r#"{"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}"#,
            r#"{"_class_name": "DDIMScheduler", "prediction_type": "sample"}"#,
        ] {
            let flow = Parameterisation::new(SchedulerConfig::from_json(json).unwrap()).unwrap();
            let denoise = Denoise { parameterisation: &flow, times: &times, device: &device };
            let sample = Value::constant(x.clone(), &[2, 1, 1, 1, 2], &device);
            let v = denoise.velocity(&network(), &Parameters::new(&device), sample, Vec::new()).unwrap().to_vec();
            let expected = x.iter().enumerate().map(|(i, x)| {
                let level = flow.at(times[i / 2]);
                level.skip * x + level.output * (2.0 * level.input * x + level.timestep)
            });
            for (v, expected) in v.iter().zip(expected) {
                assert!((v - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{json}: {v} {expected}");
            }
        }
    }
}
