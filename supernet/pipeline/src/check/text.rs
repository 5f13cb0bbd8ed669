use std::{cell::RefCell, path::Path};

use anyhow::Context;
use tnas_graph::{Dtype, Graph, HostData, HostTensor};
use tnas_models::{TextEncoder, TextEncoderConfig};
use tnas_network::{Device, Parameters};

use super::{Golden, Subject};
use crate::model_folder::read_text_folder;

/// `CLIPTextModel` and `CLIPTextModelWithProjection`: `input_ids` to `out.last_hidden_state` (or `out`),
/// `out.pooler_output`, `out.text_embeds`, `out.hidden_states.<i>` from the embedding on, and `out.hidden_m<i>`, which is
/// transformers' `hidden_states[-i]`.
pub struct Text {
    encoder: RefCell<TextEncoder>,
}

impl Text {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> anyhow::Result<Self> {
        Ok(Self { encoder: RefCell::new(TextEncoder::new(TextEncoderConfig::from_json(text)?)) })
    }

    fn ids(&self, case: &Golden, shape: &[usize]) -> anyhow::Result<Vec<i64>> {
        let HostData::I64(ids) = case.input("input_ids", shape, Dtype::I64)?.data else {
            anyhow::bail!("in.input_ids are no whole numbers");
        };
        let known = self.encoder.borrow().config.vocab_size;
        let outside = ids.iter().find(|&&id| usize::try_from(id).map_or(true, |id| id >= known));
        anyhow::ensure!(outside.is_none(), "in.input_ids holds {outside:?}; vocab_size is {known}");
        Ok(ids)
    }
}

impl Subject for Text {
    fn weights(&self, folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
        let weights = read_text_folder(folder, device)?;
        let encoder = self.encoder.borrow().clone().for_weights(weights.names());
        self.encoder.replace(encoder);
        Ok(weights)
    }

    fn graphs(&self, case: &Golden) -> anyhow::Result<Vec<Graph>> {
        let encoder = self.encoder.borrow();
        let shape = case.shape("in.input_ids").context("there is no in.input_ids")?;
        let &[batch, tokens] = shape.as_slice() else {
            anyhow::bail!("in.input_ids has the shape {shape:?}, [B, L] is expected");
        };
        for (name, neutral) in
            [("attention_mask", vec![1.0; tokens]), ("position_ids", (0..tokens).map(|i| i as f32).collect())]
        {
            if case.shape(&format!("in.{name}")).is_some() {
                let given = case.floats(&format!("in.{name}"))?;
                let same = given.chunks(tokens).all(|row| row == neutral);
                anyhow::ensure!(same, "in.{name} is supported only where it changes nothing");
            }
        }
        let mut graph = encoder.whole_graph(batch, tokens)?;
        let states = encoder.config.num_hidden_layers + 1;
        case.select(&mut graph, |name| match name {
            "" => Some("last_hidden_state".into()),
            name => match name.strip_prefix("hidden_m") {
                Some(back) => Some(format!("hidden_states.{}", states.checked_sub(back.parse().ok()?)?)),
                None => Some(name.into()),
            },
        })?;
        Ok(vec![graph])
    }

    fn input(&self, case: &Golden, name: &str, shape: &[usize], _: Dtype) -> anyhow::Result<HostTensor> {
        let ids = self.ids(case, shape)?;
        if name == "input_ids" {
            return Ok(HostTensor::i64(shape, ids));
        }
        let tokens = shape.last().copied().unwrap_or(1);
        let mut pooling = vec![0.0; ids.len()];
        for (row, ids) in ids.chunks(tokens).enumerate() {
            pooling[row * tokens + self.encoder.borrow().end_of_text(ids)] = 1.0;
        }
        Ok(HostTensor::f32(shape, pooling))
    }
}
