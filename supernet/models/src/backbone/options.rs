//! Options of diffusers' configs: which are read, which have one value that changes nothing, and messages that name them.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::config::Activation;
use crate::ModelError;

/// What is known of one class of configs.
pub(crate) struct Known {
    /// Name of the class.
    pub class: &'static str,
    /// Options that are read.
    pub honoured: &'static [&'static str],
    /// Options that change nothing at inference in f32.
    pub neutral: &'static [&'static str],
    /// Options that must have the value that changes nothing, as JSON.
    pub fixed: &'static [(&'static str, &'static str)],
}

/// The two classes of image UNets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `UNet2DConditionModel`.
    Condition,
    /// `UNet2DModel`.
    Plain,
}

impl Class {
    /// The options of a config, none of them unknown.
    pub fn options(self, map: Map<String, Value>) -> Result<Options, ModelError> {
        Options::new(map, if self == Self::Plain { &PLAIN } else { &CONDITION })
    }
}

static CONDITION: Known = Known {
    class: "UNet2DConditionModel config",
    honoured: &[
        "in_channels",
        "out_channels",
        "center_input_sample",
        "flip_sin_to_cos",
        "freq_shift",
        "down_block_types",
        "mid_block_type",
        "up_block_types",
        "only_cross_attention",
        "block_out_channels",
        "layers_per_block",
        "downsample_padding",
        "mid_block_scale_factor",
        "act_fn",
        "norm_num_groups",
        "norm_eps",
        "cross_attention_dim",
        "transformer_layers_per_block",
        "reverse_transformer_layers_per_block",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "attention_head_dim",
        "num_attention_heads",
        "use_linear_projection",
        "class_embed_type",
        "addition_embed_type",
        "addition_time_embed_dim",
        "num_class_embeds",
        "resnet_time_scale_shift",
        "resnet_skip_time_act",
        "resnet_out_scale_factor",
        "time_embedding_type",
        "time_embedding_dim",
        "time_embedding_act_fn",
        "timestep_post_act",
        "time_cond_proj_dim",
        "conv_in_kernel",
        "conv_out_kernel",
        "projection_class_embeddings_input_dim",
        "class_embeddings_concat",
        "mid_block_only_cross_attention",
        "cross_attention_norm",
    ],
    neutral: &["sample_size", "dropout", "upcast_attention", "addition_embed_type_num_heads"],
    fixed: &[("dual_cross_attention", "false"), ("attention_type", "\"default\"")],
};

static PLAIN: Known = Known {
    class: "UNet2DModel config",
    honoured: &[
        "in_channels",
        "out_channels",
        "center_input_sample",
        "time_embedding_type",
        "time_embedding_dim",
        "freq_shift",
        "flip_sin_to_cos",
        "down_block_types",
        "mid_block_type",
        "up_block_types",
        "block_out_channels",
        "layers_per_block",
        "mid_block_scale_factor",
        "downsample_padding",
        "downsample_type",
        "upsample_type",
        "act_fn",
        "attention_head_dim",
        "norm_num_groups",
        "attn_norm_num_groups",
        "norm_eps",
        "resnet_time_scale_shift",
        "add_attention",
        "class_embed_type",
        "num_class_embeds",
    ],
    neutral: &["sample_size", "dropout", "num_train_timesteps"],
    fixed: &[],
};

/// More layers or blocks in one place than any network has: a config that asks for them is damaged.
pub(crate) const MOST_LAYERS: usize = 1024;

/// No width, length or count of a network comes near it; a larger number would ask for more memory than there is.
const MAX_NUMBER: f64 = (1u32 << 20) as f64;

/// Options of one config.
pub(crate) struct Options {
    map: Map<String, Value>,
    class: &'static str,
}

impl Options {
    /// Refuses by name what is neither read nor without effect.
    pub fn new(map: Map<String, Value>, known: &'static Known) -> Result<Self, ModelError> {
        let this = Self { map, class: known.class };
        for (option, value) in &this.map {
            let read = |list: &[&str]| list.contains(&option.as_str());
            if read(known.honoured) && largest(value) > MAX_NUMBER {
                return Err(this.wrong(format!("{option} = {value} is larger than {MAX_NUMBER}")));
            }
            if option.starts_with('_') || read(known.honoured) || read(known.neutral) {
                continue;
            }
            let fixed = known.fixed.iter().find(|(name, _)| name == option).map(|&(_, value)| value);
            let neutral = fixed.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
            if *value != neutral && !value.is_null() {
                return Err(this.unsupported(option, &value.to_string(), fixed.unwrap_or("null")));
            }
        }
        for (option, known) in [("downsample_type", ["conv", "resnet"]), ("upsample_type", ["conv", "resnet"])] {
            let kind: Option<String> = this.get(option)?;
            if let Some(kind) = kind.filter(|kind| !known.contains(&kind.as_str())) {
                return Err(this.unsupported(option, &kind, &known.join(", ")));
            }
        }
        Ok(this)
    }

    /// An option, unless it is missing or null.
    pub fn value(&self, option: &str) -> Option<&Value> {
        self.map.get(option).filter(|value| !value.is_null())
    }

    /// Whether an option is there and null.
    pub fn is_null(&self, option: &str) -> bool {
        self.map.get(option).is_some_and(Value::is_null)
    }

    /// An option as a type.
    pub fn get<T: DeserializeOwned>(&self, option: &str) -> Result<Option<T>, ModelError> {
        self.value(option).map(|value| self.parse(option, value)).transpose()
    }

    /// A value as a type.
    pub fn parse<T: DeserializeOwned>(&self, option: &str, value: &Value) -> Result<T, ModelError> {
        serde_json::from_value(value.clone()).map_err(|error| self.wrong(format!("{option} = {value}: {error}")))
    }

    pub(crate) fn number(&self, option: &str, default: usize) -> Result<usize, ModelError> {
        Ok(self.get(option)?.unwrap_or(default))
    }

    pub(crate) fn activation(&self, option: &str) -> Result<Option<Activation>, ModelError> {
        let name: Option<String> = self.get(option)?;
        match name.as_deref() {
            None => Ok(None),
            Some("silu" | "swish") => Ok(Some(Activation::Silu)),
            Some("gelu") => Ok(Some(Activation::Gelu)),
            Some("relu") => Ok(Some(Activation::Relu)),
            Some(other) => Err(self.unsupported(option, other, "silu, swish, gelu, relu")),
        }
    }

    /// Blocks of each transformer of a level: one number for all, one per level, or lists per level. `front` stands before
    /// the option's name.
    pub(crate) fn transformer_blocks(
        &self,
        front: &str,
        side: &str,
        [level, levels]: [usize; 2],
        layers: usize,
    ) -> Result<Vec<usize>, ModelError> {
        let reverse = format!("reverse_{front}transformer_layers_per_block");
        let (option, index) = match (side, self.value(&reverse)) {
            ("Up", Some(_)) => (reverse, levels - 1 - level),
            _ => (format!("{front}transformer_layers_per_block"), level),
        };
        let fail = || {
            let value = self.value(&option).map(ToString::to_string).unwrap_or_default();
            self.wrong(format!("{option} = {value} for {levels} levels"))
        };
        let number =
            |value: &Value| value.as_u64().map(|number| number as usize).filter(|n| (1..=MOST_LAYERS).contains(n));
        match self.value(&option) {
            None => Ok(vec![1; layers]),
            Some(Value::Array(list)) if list.len() == levels => match &list[index] {
                Value::Array(each) if each.len() >= layers => {
                    each[..layers].iter().map(number).collect::<Option<_>>().ok_or_else(fail)
                }
                one => number(one).map(|blocks| vec![blocks; layers]).ok_or_else(fail),
            },
            Some(one) => number(one).map(|blocks| vec![blocks; layers]).ok_or_else(fail),
        }
    }

    /// One count for each of some layers, or a list of one each.
    pub(crate) fn each_of(&self, option: &str, value: &Value, layers: usize) -> Result<Vec<usize>, ModelError> {
        let fail = || self.wrong(format!("{option} = {value} for {layers} layers, of at most {MOST_LAYERS}"));
        if layers > MOST_LAYERS {
            return Err(fail());
        }
        let list = match value {
            Value::Array(_) => self.parse::<Vec<usize>>(option, value)?,
            one => vec![self.parse(option, one)?; layers],
        };
        let sound = |count: &usize| (1..=MOST_LAYERS).contains(count);
        if list.len() == layers && list.iter().all(sound) { Ok(list) } else { Err(fail()) }
    }

    /// One value for every level, or a list of one each.
    pub(crate) fn per_level<T: DeserializeOwned + Clone>(
        &self,
        option: &str,
        levels: usize,
    ) -> Result<Option<Vec<T>>, ModelError> {
        match self.value(option) {
            None => Ok(None),
            Some(value @ Value::Array(_)) => {
                let list: Vec<T> = self.parse(option, value)?;
                if list.len() != levels {
                    return Err(self.wrong(format!("{option} = {value} for {levels} levels")));
                }
                Ok(Some(list))
            }
            Some(value) => Ok(Some(vec![self.parse(option, value)?; levels])),
        }
    }

    /// An error of this config.
    pub fn wrong(&self, message: String) -> ModelError {
        wrong(self.class, message)
    }

    /// An error for a value that is not supported.
    pub fn unsupported(&self, option: &str, value: &str, supported: &str) -> ModelError {
        let (value, hint) = (value.to_string(), format!("; supported: {supported}"));
        ModelError::Unsupported { config: self.class, option: option.into(), value, hint }
    }

    /// The options as they were read.
    pub fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    /// Other options whose errors name this class.
    pub fn with_map(&self, map: Map<String, Value>) -> Self {
        Self { map, class: self.class }
    }

    /// The options as they were read, without the reader.
    pub fn into_map(self) -> Map<String, Value> {
        self.map
    }
}

/// The largest number of a value.
fn largest(value: &Value) -> f64 {
    match value {
        Value::Number(number) => number.as_f64().unwrap_or(f64::INFINITY).abs(),
        Value::Array(list) => list.iter().map(largest).fold(0.0, f64::max),
        _ => 0.0,
    }
}

/// An error of a config.
pub(crate) fn wrong(config: &'static str, message: String) -> ModelError {
    ModelError::Config { config, message }
}
