use serde::{Deserialize, Serialize};
use serde_json::Value;
use tnas_graph::{Dtype, Graph, GraphBuilder, Init, Op, ValueId, Weight};

use crate::SpaceError;

const KIND: &str = "CLIPTextModel config";

/// The honoured options of a transformers `CLIPTextModel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextEncoderConfig {
    /// Tokens known.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Longest caption in tokens.
    pub max_position_embeddings: usize,
    /// `quick_gelu` or `gelu`.
    pub hidden_act: String,
    /// Added to variances.
    pub layer_norm_eps: f32,
}

/// A CLIP text encoder (Radford et al. 2021): captions to features and a pooled vector.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEncoder {
    /// Its config.
    pub config: TextEncoderConfig,
}

impl TextEncoderConfig {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, SpaceError> {
        let fail = |message: String| SpaceError::Config { config: KIND, message };
        let config: Self = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
        if !["quick_gelu", "gelu"].contains(&config.hidden_act.as_str()) {
            return Err(SpaceError::Unsupported {
                config: KIND,
                option: "hidden_act".into(),
                value: config.hidden_act,
                hint: "; supported are quick_gelu, gelu".into(),
            });
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let heads = config.num_attention_heads;
            return Err(fail(format!("{heads} heads do not divide a width of {}", config.hidden_size)));
        }
        Ok(config)
    }

    /// The config as transformers would write it.
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or(Value::Null);
        value["architectures"] = Value::from(vec!["CLIPTextModel"]);
        value["model_type"] = Value::from("clip_text_model");
        format!("{value:#}\n")
    }
}

impl TextEncoder {
    /// A text encoder of this config.
    pub fn new(config: TextEncoderConfig) -> Self {
        Self { config }
    }

    /// `input_ids` `[B, L]` and `pooling` `[B, L]` (1 at the end-of-text token, else 0) to `last_hidden_state`
    /// `[B, L, X]` and `pooled` `[B, X]`.
    pub fn graph(&self, batch: usize, tokens: usize) -> Result<Graph, SpaceError> {
        let c = &self.config;
        let mut g = GraphBuilder::new();
        let ids = g.input("input_ids", &[batch, tokens], Dtype::I64);
        let pooling = g.input("pooling", &[batch, tokens], Dtype::F32);
        let table = |name: &str, rows: usize| {
            Weight::new(format!("text_model.embeddings.{name}.weight"), &[rows, c.hidden_size], Init::Normal(0.02))
        };
        let weight = table("token_embedding", c.vocab_size);
        let x = g.node("text_model.embeddings.token_embedding", Op::Embedding { weight }, &[ids]);
        let weight = table("position_embedding", c.max_position_embeddings);
        let position = g.node("text_model.embeddings.position_embedding", Op::Parameter { weight }, &[]);
        let position = g.slice("text_model.embeddings.positions", position, 0, 0, tokens);
        let position = g.reshape("text_model.embeddings.position_row", position, &[1, tokens, c.hidden_size]);
        let mut x = g.add("text_model.embeddings.sum", x, position);
        for layer in 0..c.num_hidden_layers {
            x = self.layer(&mut g, &format!("text_model.encoder.layers.{layer}"), x);
        }
        let x = g.layer_norm("text_model.final_layer_norm", x, c.layer_norm_eps);
        let row = g.reshape("pooling.row", pooling, &[batch, 1, tokens]);
        let pooled = g.node("pooled", Op::MatMul, &[row, x]);
        let pooled = g.reshape("pooled.squeeze", pooled, &[batch, c.hidden_size]);
        Ok(g.finish(&[("last_hidden_state", x), ("pooled", pooled)])?)
    }

    fn layer(&self, g: &mut GraphBuilder, path: &str, x: ValueId) -> ValueId {
        let c = &self.config;
        let &[batch, tokens, width] = g.shape(x) else { return x };
        let h = g.layer_norm(&format!("{path}.layer_norm1"), x, c.layer_norm_eps);
        let mut project = |name: &str| {
            let name = format!("{path}.self_attn.{name}");
            let y = g.linear(&name, h, width, true, Init::FanIn);
            let heads = c.num_attention_heads;
            let y = g.reshape(&format!("{name}.split"), y, &[batch, tokens, heads, width / heads]);
            g.transpose(&format!("{name}.heads"), y, &[0, 2, 1, 3])
        };
        let (q, k, v) = (project("q_proj"), project("k_proj"), project("v_proj"));
        let y = g.attention(&format!("{path}.self_attn"), q, k, v, true);
        let y = g.transpose(&format!("{path}.self_attn.join"), y, &[0, 2, 1, 3]);
        let y = g.reshape(&format!("{path}.self_attn.merge"), y, &[batch, tokens, width]);
        let y = g.linear(&format!("{path}.self_attn.out_proj"), y, width, true, Init::FanIn);
        let x = g.add(&format!("{path}.add1"), x, y);
        let h = g.layer_norm(&format!("{path}.layer_norm2"), x, c.layer_norm_eps);
        let h = g.linear(&format!("{path}.mlp.fc1"), h, c.intermediate_size, true, Init::FanIn);
        let act = if c.hidden_act == "gelu" { Op::Gelu } else { Op::QuickGelu };
        let h = g.node(&format!("{path}.mlp.act"), act, &[h]);
        let h = g.linear(&format!("{path}.mlp.fc2"), h, width, true, Init::FanIn);
        g.add(&format!("{path}.add2"), x, h)
    }
}
