use std::{cell::OnceCell, path::Path};

use anyhow::Context;
use tnas_graph::{Dtype, Graph, HostTensor, Weights};
use tnas_models::{DenoiserShape, MotionModel};
use tnas_network::{Device, Parameters};

use super::{Golden, Subject};
use crate::{
    model_folder::read_parameters,
    motion_weights::{here, read_published},
};

/// File stem of motion modules next to a whole model.
const ADAPTER: &str = "motion_adapter";

/// `UNetMotionModel`, `UNet3DConditionModel` and `UNetSpatioTemporalConditionModel`: an image model with what the genotype puts
/// into its slots. `sample`, `timestep` and what else the config asks for, to `out`.
pub struct Motion {
    config: MotionModel,
    /// The config with what its weights ask for.
    model: OnceCell<MotionModel>,
}

impl Motion {
    /// Reads a `config.json`; nothing where it is of another class.
    pub fn from_json(text: &str) -> anyhow::Result<Option<Self>> {
        if !MotionModel::reads(text) {
            return Ok(None);
        }
        Ok(Some(Self { config: MotionModel::from_json(text)?, model: OnceCell::new() }))
    }

    fn model(&self) -> &MotionModel {
        self.model.get().unwrap_or(&self.config)
    }

    /// Batch, frames, rows and columns of a case.
    fn clip(&self, case: &Golden) -> anyhow::Result<[usize; 4]> {
        let sample = case.shape("in.sample").context("there is no in.sample")?;
        let (batch, frames, height, width) = match (sample.as_slice(), self.config.frames_first()) {
            (&[batch, _, frames, height, width], false) => (batch, frames, height, width),
            (&[batch, frames, _, height, width], true) => (batch, frames, height, width),
            (_, first) => {
                let axes = if first { "[B, F, C, H, W]" } else { "[B, C, F, H, W]" };
                anyhow::bail!("in.sample has the shape {sample:?}, {axes} is expected");
            }
        };
        Ok([batch, frames, height, width])
    }

    /// Frames first, where the model was published so, as channels first.
    fn channels_first(&self, case: &Golden, values: Vec<f32>) -> anyhow::Result<Vec<f32>> {
        let [batch, frames, height, width] = self.clip(case)?;
        let plane = height * width;
        if !self.config.frames_first() || values.is_empty() || !values.len().is_multiple_of(batch * frames * plane)
        {
            return Ok(values);
        }
        let channels = values.len() / (batch * frames * plane);
        let mut turned = Vec::with_capacity(values.len());
        for clip in values.chunks(channels * frames * plane) {
            for channel in 0..channels {
                for frame in 0..frames {
                    turned.extend_from_slice(&clip[(frame * channels + channel) * plane..][..plane]);
                }
            }
        }
        Ok(turned)
    }
}

impl Subject for Motion {
    fn weights(&self, folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
        let mut published = read_published(folder, device)?;
        if folder.join(format!("{ADAPTER}.safetensors")).exists() {
            let adapter = read_parameters(folder, ADAPTER, device)?;
            for (name, parameter) in adapter.iter() {
                if published.get(name).is_some() && published.values(name)? != adapter.values(name)? {
                    anyhow::bail!("failed to use {}: {name} is another in {ADAPTER}.safetensors", folder.display());
                }
                published.insert(name, parameter.clone());
            }
        }
        let (weights, model) =
            here(published, self.config.clone()).with_context(|| format!("failed to use {}", folder.display()))?;
        let _ = self.model.set(model);
        Ok(weights)
    }

    fn graphs(&self, case: &Golden) -> anyhow::Result<Vec<Graph>> {
        let model = self.model();
        let mut backbone = model.backbone.clone();
        let [batch, frames, height, width] = self.clip(case)?;
        if let (Some(text_time), Some([_, ids])) =
            (&mut backbone.config.embedding.text_time, case.shape("in.added_cond_kwargs.time_ids").as_deref())
        {
            text_time.ids = *ids;
        }
        let tokens = match case.shape("in.encoder_hidden_states").as_deref() {
            Some([_, tokens, _]) => *tokens,
            _ => 1,
        };
        let shape = DenoiserShape { batch, frames, height, width, tokens };
        Ok(vec![backbone.denoiser(&model.genotype, shape)?])
    }

    fn input(&self, case: &Golden, name: &str, shape: &[usize], dtype: Dtype) -> anyhow::Result<HostTensor> {
        let rest = format!("in.{name}");
        match name {
            // A missing condition counts as zeros: its projection has no bias.
            "timestep_cond" if case.shape(&rest).is_none() => {
                Ok(HostTensor::f32(shape, vec![0.0; shape.iter().product()]))
            }
            "sample" => {
                let HostTensor { data, shape } = case.input(name, shape, dtype)?;
                let tnas_graph::HostData::F32(values) = data else { anyhow::bail!("{rest} holds whole numbers") };
                Ok(HostTensor::f32(&shape, self.channels_first(case, values)?))
            }
            "encoder_hidden_states" => {
                let [batch, frames, ..] = self.clip(case)?;
                let values = case.floats(&rest)?;
                let per_clip = shape.iter().product::<usize>() / batch.max(1);
                if frames > 1 && values.len() == batch * frames * per_clip {
                    return Ok(HostTensor::f32(shape, one_per_clip(&values, frames, per_clip)?));
                }
                case.input(name, shape, dtype)
            }
            _ => case.input(name, shape, dtype),
        }
    }

    fn golden(&self, case: &Golden, output: &str) -> anyhow::Result<Vec<f32>> {
        let values = case.floats(output)?;
        if output == "out" { self.channels_first(case, values) } else { Ok(values) }
    }

    fn recorded(&self, name: &str) -> String {
        self.model().names.published(name)
    }
}

/// Text given for every frame, each clip's once: a clip has one text here.
fn one_per_clip(values: &[f32], frames: usize, per_clip: usize) -> anyhow::Result<Vec<f32>> {
    let mut texts = Vec::new();
    for clip in values.chunks(frames * per_clip) {
        let (first, rest) = clip.split_at(per_clip);
        anyhow::ensure!(
            rest.chunks(per_clip).all(|other| other == first),
            "in.encoder_hidden_states differs between the frames of a clip; one text for all of them is expected"
        );
        texts.extend_from_slice(first);
    }
    Ok(texts)
}
