use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::SpaceError;

const KIND: &str = "UNet2DConditionModel config";

/// The honoured options of a diffusers `UNet2DConditionModel`. Options that are not here must have the value that
/// changes nothing, else the config is refused by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UNetConfig {
    /// Pixels or latents across; only a default for users.
    pub sample_size: Option<usize>,
    /// Channels of the sample.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Width per level.
    pub block_out_channels: Vec<usize>,
    /// Resnets per down block; up blocks have one more.
    pub layers_per_block: usize,
    /// Whether each down level has transformers.
    pub down_attention: Vec<bool>,
    /// Whether each up level has transformers, lowest resolution first.
    pub up_attention: Vec<bool>,
    /// Whether there is a middle block.
    pub mid_block: bool,
    /// Width of the text features.
    pub cross_attention_dim: usize,
    /// Heads of each down level's transformers.
    pub heads: Vec<usize>,
    /// Linear instead of 1×1 convolutions around a transformer.
    pub use_linear_projection: bool,
    /// Groups of group norms.
    pub norm_num_groups: usize,
    /// Added to their variance.
    pub norm_eps: f32,
    /// Cosines first in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Shift of its frequencies.
    pub freq_shift: f32,
}

impl UNetConfig {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, SpaceError> {
        let map: Map<String, Value> = serde_json::from_str(text).map_err(|error| config(error.to_string()))?;
        let reader = Reader(&map);
        reader.refuse_the_rest()?;
        let block_out_channels: Vec<usize> = reader.list("block_out_channels", &[320, 640, 1280, 1280])?;
        let levels = block_out_channels.len();
        if levels == 0 || block_out_channels.contains(&0) {
            return Err(config(format!("block_out_channels = {block_out_channels:?}")));
        }
        let down = reader.words("down_block_types", "CrossAttnDownBlock2D", "DownBlock2D", levels)?;
        let up = reader.words("up_block_types", "CrossAttnUpBlock2D", "UpBlock2D", levels)?;
        let this = Self {
            sample_size: reader.get("sample_size")?,
            in_channels: reader.get("in_channels")?.unwrap_or(4),
            out_channels: reader.get("out_channels")?.unwrap_or(4),
            layers_per_block: reader.get("layers_per_block")?.unwrap_or(2),
            down_attention: down,
            up_attention: up,
            mid_block: reader.mid_block()?,
            cross_attention_dim: reader.get("cross_attention_dim")?.unwrap_or(1280),
            heads: reader.heads(levels)?,
            use_linear_projection: reader.get("use_linear_projection")?.unwrap_or(false),
            norm_num_groups: reader.get("norm_num_groups")?.unwrap_or(32),
            norm_eps: reader.get("norm_eps")?.unwrap_or(1e-5),
            flip_sin_to_cos: reader.get("flip_sin_to_cos")?.unwrap_or(true),
            freq_shift: reader.get("freq_shift")?.unwrap_or(0.0),
            block_out_channels,
        };
        this.check()?;
        Ok(this)
    }

    /// The config as diffusers would write it.
    pub fn to_json(&self) -> String {
        let kind = |attention: &[bool], with: &str, without: &str| -> Vec<String> {
            attention.iter().map(|&a| if a { with.into() } else { without.into() }).collect()
        };
        let value = serde_json::json!({
            "_class_name": "UNet2DConditionModel",
            "sample_size": self.sample_size,
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": self.block_out_channels,
            "layers_per_block": self.layers_per_block,
            "down_block_types": kind(&self.down_attention, "CrossAttnDownBlock2D", "DownBlock2D"),
            "mid_block_type": if self.mid_block { Value::from("UNetMidBlock2DCrossAttn") } else { Value::Null },
            "up_block_types": kind(&self.up_attention, "CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": self.cross_attention_dim,
            "attention_head_dim": self.heads,
            "use_linear_projection": self.use_linear_projection,
            "norm_num_groups": self.norm_num_groups,
            "norm_eps": self.norm_eps,
            "flip_sin_to_cos": self.flip_sin_to_cos,
            "freq_shift": self.freq_shift,
        });
        format!("{value:#}\n")
    }

    /// Number of resolutions.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    fn check(&self) -> Result<(), SpaceError> {
        if self.layers_per_block == 0 || self.in_channels == 0 || self.out_channels == 0 {
            return Err(config("layers_per_block, in_channels and out_channels must not be 0".into()));
        }
        for (&channels, &heads) in self.block_out_channels.iter().zip(&self.heads) {
            if self.norm_num_groups == 0 || channels % self.norm_num_groups != 0 {
                let groups = self.norm_num_groups;
                return Err(config(format!("norm_num_groups = {groups} does not divide {channels} channels")));
            }
            if heads == 0 || channels % heads != 0 {
                return Err(config(format!("{heads} attention heads do not divide {channels} channels")));
            }
        }
        Ok(())
    }
}

/// Options read above.
const HONOURED: &[&str] = &[
    "sample_size",
    "in_channels",
    "out_channels",
    "block_out_channels",
    "layers_per_block",
    "down_block_types",
    "mid_block_type",
    "up_block_types",
    "cross_attention_dim",
    "attention_head_dim",
    "num_attention_heads",
    "use_linear_projection",
    "norm_num_groups",
    "norm_eps",
    "flip_sin_to_cos",
    "freq_shift",
];

/// Options with the one value that this reader supports, as JSON.
const FIXED: &[(&str, &str)] = &[
    ("act_fn", "\"silu\""),
    ("center_input_sample", "false"),
    ("downsample_padding", "1"),
    ("dropout", "0.0"),
    ("mid_block_scale_factor", "1"),
    ("transformer_layers_per_block", "1"),
    ("dual_cross_attention", "false"),
    ("resnet_time_scale_shift", "\"default\""),
    ("resnet_skip_time_act", "false"),
    ("resnet_out_scale_factor", "1.0"),
    ("time_embedding_type", "\"positional\""),
    ("conv_in_kernel", "3"),
    ("conv_out_kernel", "3"),
    ("attention_type", "\"default\""),
    ("class_embeddings_concat", "false"),
    ("only_cross_attention", "false"),
    ("upcast_attention", "false"),
    ("mid_block_only_cross_attention", "null"),
    ("cross_attention_norm", "null"),
    ("addition_embed_type_num_heads", "64"),
    ("num_class_embeds", "null"),
    ("time_embedding_act_fn", "null"),
];

struct Reader<'a>(&'a Map<String, Value>);

impl Reader<'_> {
    fn get<T: serde::de::DeserializeOwned>(&self, option: &str) -> Result<Option<T>, SpaceError> {
        match self.0.get(option) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let read = serde_json::from_value(value.clone());
                read.map(Some).map_err(|error| config(format!("{option} = {value}: {error}")))
            }
        }
    }

    fn list(&self, option: &str, default: &[usize]) -> Result<Vec<usize>, SpaceError> {
        Ok(self.get(option)?.unwrap_or_else(|| default.to_vec()))
    }

    /// A list of block types as "has attention".
    fn words(&self, option: &str, with: &str, without: &str, levels: usize) -> Result<Vec<bool>, SpaceError> {
        let words: Vec<String> = match self.get(option)? {
            Some(words) => words,
            None => return Err(config(format!("{option} is missing"))),
        };
        if words.len() != levels {
            return Err(config(format!("{option} has {} entries, block_out_channels {levels}", words.len())));
        }
        let read = |word: &String| match word.as_str() {
            word if word == with => Ok(true),
            word if word == without => Ok(false),
            _ => Err(unsupported(option, word.clone(), format!("; supported are {with}, {without}"))),
        };
        words.iter().map(read).collect()
    }

    fn mid_block(&self) -> Result<bool, SpaceError> {
        match self.0.get("mid_block_type") {
            Some(Value::Null) => Ok(false),
            None => Ok(true),
            Some(Value::String(word)) if word == "UNetMidBlock2DCrossAttn" => Ok(true),
            Some(value) => Err(unsupported("mid_block_type", value.to_string(), "".into())),
        }
    }

    /// diffusers reads `attention_head_dim` as the number of heads where `num_attention_heads` is absent.
    fn heads(&self, levels: usize) -> Result<Vec<usize>, SpaceError> {
        let option = if matches!(self.0.get("num_attention_heads"), None | Some(Value::Null)) {
            "attention_head_dim"
        } else {
            "num_attention_heads"
        };
        let heads = match self.0.get(option) {
            Some(Value::Array(_)) => self.list(option, &[])?,
            _ => vec![self.get(option)?.unwrap_or(8); levels],
        };
        if heads.len() == levels {
            Ok(heads)
        } else {
            Err(config(format!("{option} = {heads:?} for {levels} levels")))
        }
    }

    fn refuse_the_rest(&self) -> Result<(), SpaceError> {
        for (option, value) in self.0 {
            if option.starts_with('_') || HONOURED.contains(&option.as_str()) {
                continue;
            }
            let fixed = FIXED.iter().find(|(name, _)| name == option).map_or("null", |&(_, value)| value);
            let neutral: Value = serde_json::from_str(fixed).unwrap_or(Value::Null);
            let same_number = matches!((value.as_f64(), neutral.as_f64()), (Some(a), Some(b)) if a == b);
            if !same_number && *value != neutral && !value.is_null() && *value != Value::Bool(false) {
                let hint = if fixed == "null" { "".into() } else { format!("; supported is {fixed}") };
                return Err(unsupported(option, value.to_string(), hint));
            }
        }
        Ok(())
    }
}

fn config(message: String) -> SpaceError {
    SpaceError::Config { config: KIND, message }
}

fn unsupported(option: &str, value: String, hint: String) -> SpaceError {
    SpaceError::Unsupported { config: KIND, option: option.into(), value, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const TINY: &str = r#"{"_class_name": "UNet2DConditionModel", "in_channels": 3, "out_channels": 3,
        "block_out_channels": [32, 64], "layers_per_block": 1, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 16, "attention_head_dim": 4,
        "norm_num_groups": 8}"#;

    #[test]
    fn json_round_trips() {
        let config = UNetConfig::from_json(TINY).unwrap();
        assert_eq!(config.heads, [4, 4]);
        assert_eq!(UNetConfig::from_json(&config.to_json()).unwrap(), config);
    }

    #[test]
    fn an_unsupported_option_is_named() {
        for (option, value) in [
            ("resnet_time_scale_shift", "\"scale_shift\""),
            ("class_embed_type", "\"timestep\""),
            ("center_input_sample", "true"),
            ("some_new_option", "7"),
            ("mid_block_type", "\"UNetMidBlock2D\""),
        ] {
            let text = TINY.replacen('{', &format!("{{\"{option}\": {value},"), 1);
            let message = UNetConfig::from_json(&text).unwrap_err().to_string();
            assert!(message.contains(option) && message.contains(value.trim_matches('"')), "{message}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for (from, to) in [("\"norm_num_groups\": 8", "\"norm_num_groups\": 5"), ("[32, 64]", "[32, 64, 64]")] {
            assert!(UNetConfig::from_json(&TINY.replace(from, to)).is_err(), "{to}");
        }
    }
}
