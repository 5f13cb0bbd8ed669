use anyhow::Context;
use tnas_graph::{Dtype, Graph, HostTensor};
use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_space::Genotype;

use super::{Golden, Subject};

/// `UNet2DConditionModel` and `UNet2DModel`: `sample`, `timestep` and what else the config asks for, to `out`.
pub struct UNet {
    config: UNetConfig,
}

impl UNet {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> anyhow::Result<Self> {
        Ok(Self { config: UNetConfig::from_json(text)? })
    }
}

impl Subject for UNet {
    fn graphs(&self, case: &Golden) -> anyhow::Result<Vec<Graph>> {
        let mut config = self.config.clone();
        if let (Some(text_time), Some([_, ids])) =
            (&mut config.embedding.text_time, case.shape("in.added_cond_kwargs.time_ids").as_deref())
        {
            text_time.ids = *ids;
        }
        let sample = case.shape("in.sample").context("there is no in.sample")?;
        let &[batch, _, height, width] = sample.as_slice() else {
            anyhow::bail!("in.sample has the shape {sample:?}, [B, C, H, W] is expected");
        };
        let tokens = match case.shape("in.encoder_hidden_states").as_deref() {
            Some([_, tokens, _]) => *tokens,
            _ => 1,
        };
        let shape = DenoiserShape { batch, frames: 1, height, width, tokens };
        Ok(vec![Backbone::new(config).denoiser(&Genotype::none(), shape)?])
    }

    fn input(&self, case: &Golden, name: &str, shape: &[usize], dtype: Dtype) -> anyhow::Result<HostTensor> {
        // A missing condition counts as zeros: its projection has no bias.
        if name == "timestep_cond" && case.shape("in.timestep_cond").is_none() {
            return Ok(HostTensor::f32(shape, vec![0.0; shape.iter().product()]));
        }
        case.input(name, shape, dtype)
    }
}
