use anyhow::Context;
use tnas_graph::{Dtype, Graph, HostTensor};
use tnas_models::Autoencoder;

use super::{Golden, Subject};

/// `AutoencoderKL` and `AutoencoderTiny`: `sample` to `out.latents` (not scaled; of a distribution the mean) and
/// `out.decoded`, which is decoded from our own latents.
pub struct Images {
    autoencoder: Autoencoder,
}

impl Images {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> anyhow::Result<Self> {
        Ok(Self { autoencoder: Autoencoder::from_json(text)?.bare() })
    }
}

impl Subject for Images {
    fn graphs(&self, case: &Golden) -> anyhow::Result<Vec<Graph>> {
        let sample = case.shape("in.sample").context("there is no in.sample")?;
        let &[batch, _, height, width] = sample.as_slice() else {
            anyhow::bail!("in.sample has the shape {sample:?}, [B, C, H, W] is expected");
        };
        let mut graph = self.autoencoder.round_trip(batch, height, width)?;
        case.select(&mut graph, |name| match name {
            "latents" => Some("latent".into()),
            "decoded" => Some("image".into()),
            _ => None,
        })?;
        Ok(vec![graph])
    }

    fn input(&self, case: &Golden, _: &str, shape: &[usize], dtype: Dtype) -> anyhow::Result<HostTensor> {
        case.input("sample", shape, dtype)
    }
}
