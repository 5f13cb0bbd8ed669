use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_graph::{Dtype, Graph, GraphBuilder, Init, Op, ValueId, Weight};

use crate::{EndOfText, ModelError, TextActivation, TextEncoderConfig};

/// A CLIP text encoder (Radford et al. 2021): captions to features and a pooled vector.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEncoder {
    /// Its config.
    pub config: TextEncoderConfig,
    /// What a UNet reads of it.
    pub layer: TextLayer,
    /// It ends in a projection of the pooled vector (`CLIPTextModelWithProjection`).
    pub projects: bool,
}

/// Which features of a text a UNet reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TextLayer {
    /// The last layer's, normed (Stable Diffusion 1 and 2).
    #[default]
    Last,
    /// The last but one, as it is (SDXL).
    Penultimate,
    /// The last but one through the final norm (`clip_skip = 1` of Stable Diffusion 1).
    PenultimateNormed,
}

impl TextLayer {
    /// Name in settings and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Penultimate => "penultimate",
            Self::PenultimateNormed => "penultimate-normed",
        }
    }
}

/// The values of a graph under construction.
struct Features {
    /// The embedding, then what each layer makes.
    hidden: Vec<ValueId>,
    /// The last of them, normed.
    last: ValueId,
    /// That at the end of text.
    pooled: ValueId,
}

impl TextEncoder {
    /// A text encoder of this config, of whose last layer a UNet reads.
    pub fn new(config: TextEncoderConfig) -> Self {
        let projects = config.projects.unwrap_or(false);
        Self { config, layer: TextLayer::Last, projects }
    }

    /// The same with another layer for the UNet.
    pub fn with_layer(self, layer: TextLayer) -> Self {
        Self { layer, ..self }
    }

    /// The same for weights of these names: where the config does not say which class it is of, they do.
    pub fn for_weights<'a>(self, mut stored: impl Iterator<Item = &'a str>) -> Self {
        let projects = self.config.projects.unwrap_or_else(|| stored.any(|name| name == PROJECTION_WEIGHT));
        Self { projects, ..self }
    }

    /// The name under which the graphs read a stored tensor, and none for what is no weight. transformers 5 leaves the
    /// class's own front part out; earlier ones stored the positions' numbers.
    pub fn weight_name(stored: &str) -> Option<String> {
        if stored.ends_with("embeddings.position_ids") {
            return None;
        }
        let bare = ["embeddings.", "encoder.", "final_layer_norm."].iter().any(|front| stored.starts_with(front));
        Some(if bare { format!("text_model.{stored}") } else { stored.into() })
    }

    /// Where a caption's text ends: the position that pools.
    pub fn end_of_text(&self, ids: &[i64]) -> usize {
        let end = match self.config.end_of_text {
            EndOfText::Largest => {
                let largest = ids.iter().max();
                ids.iter().position(|id| Some(id) == largest)
            }
            EndOfText::First(end) => ids.iter().position(|&id| id == end),
        };
        end.unwrap_or(0)
    }

    /// `input_ids` `[B, L]` and `pooling` `[B, L]` (1 at the end of text, else 0) to what a UNet reads `[B, L, X]` and
    /// `pooled` `[B, X]`.
    pub fn graph(&self, batch: usize, tokens: usize) -> Result<Graph, ModelError> {
        let mut g = GraphBuilder::new();
        let Features { hidden, last, pooled } = self.features(&mut g, batch, tokens);
        let before_last = hidden[hidden.len() - 2];
        let (name, read) = match self.layer {
            TextLayer::Last => ("last_hidden_state", last),
            TextLayer::Penultimate => ("penultimate_hidden_state", before_last),
            TextLayer::PenultimateNormed => {
                let normed = g.layer_norm(FINAL_NORM, before_last, self.config.layer_norm_eps);
                ("penultimate_hidden_state", normed)
            }
        };
        Ok(g.finish(&[(name, read), ("pooled", pooled)])?)
    }

    /// The same inputs to all outputs of transformers' model: `last_hidden_state`, `pooler_output`,
    /// `hidden_states.N` from the embedding on, and `text_embeds` where there is a projection.
    pub fn whole_graph(&self, batch: usize, tokens: usize) -> Result<Graph, ModelError> {
        let mut g = GraphBuilder::new();
        let Features { hidden, last, pooled } = self.features(&mut g, batch, tokens);
        let names: Vec<String> = (0..hidden.len()).map(|index| format!("hidden_states.{index}")).collect();
        let mut outputs = vec![("last_hidden_state", last), ("pooler_output", pooled)];
        outputs.extend(names.iter().map(String::as_str).zip(hidden));
        if self.projects {
            let projected = g.linear("text_projection", pooled, self.config.projection_dim, false, Init::FanIn);
            outputs.push(("text_embeds", projected));
        }
        Ok(g.finish(&outputs)?)
    }

    fn features(&self, g: &mut GraphBuilder, batch: usize, tokens: usize) -> Features {
        let c = &self.config;
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
        let mut hidden = vec![g.add("text_model.embeddings.sum", x, position)];
        for layer in 0..c.num_hidden_layers {
            let x = self.layer(g, &format!("text_model.encoder.layers.{layer}"), hidden[layer]);
            hidden.push(x);
        }
        let last = g.layer_norm(FINAL_NORM, hidden[c.num_hidden_layers], c.layer_norm_eps);
        let row = g.reshape("pooling.row", pooling, &[batch, 1, tokens]);
        let pooled = g.node("pooled", Op::MatMul, &[row, last]);
        let pooled = g.reshape("pooled.squeeze", pooled, &[batch, c.hidden_size]);
        Features { hidden, last, pooled }
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
        let act = match c.activation {
            TextActivation::QuickGelu => Op::QuickGelu,
            TextActivation::Gelu => Op::Gelu,
            TextActivation::Relu => Op::Relu,
            TextActivation::Silu => Op::Silu,
        };
        let h = g.node(&format!("{path}.mlp.act"), act, &[h]);
        let h = g.linear(&format!("{path}.mlp.fc2"), h, width, true, Init::FanIn);
        g.add(&format!("{path}.add2"), x, h)
    }
}

const FINAL_NORM: &str = "text_model.final_layer_norm";
const PROJECTION_WEIGHT: &str = "text_projection.weight";
