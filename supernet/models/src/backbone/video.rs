//! Configs of diffusers' video UNets, read as those of the image models inside them.

use serde_json::{Map, Value, json};

use super::{
    config::{Activation, Attention, Block, TextTime, UNetConfig},
    image,
    options::{self, Class, Known, Options},
};
use crate::ModelError;

/// A class of video UNets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VideoClass {
    /// `UNetMotionModel`: an image UNet with AnimateDiff's motion modules.
    Motion,
    /// `UNet3DConditionModel`: ModelScope's, an image UNet with temporal convolutions and attentions.
    ModelScope,
    /// `UNetSpatioTemporalConditionModel`: Stable Video Diffusion's.
    SpatioTemporal,
}

static MOTION: Known = Known {
    class: "UNetMotionModel config",
    honoured: &[
        "in_channels",
        "out_channels",
        "down_block_types",
        "up_block_types",
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
        "temporal_transformer_layers_per_block",
        "reverse_temporal_transformer_layers_per_block",
        "transformer_layers_per_mid_block",
        "temporal_transformer_layers_per_mid_block",
        "use_linear_projection",
        "num_attention_heads",
        "motion_max_seq_length",
        "motion_num_attention_heads",
        "use_motion_mid_block",
        "mid_block_layers",
        "addition_embed_type",
        "addition_time_embed_dim",
        "projection_class_embeddings_input_dim",
        "time_cond_proj_dim",
    ],
    // diffusers takes the last two and does nothing with them.
    neutral: &["sample_size", "encoder_hid_dim", "reverse_motion_num_attention_heads"],
    fixed: &[],
};

static MODELSCOPE: Known = Known {
    class: "UNet3DConditionModel config",
    honoured: &[
        "in_channels",
        "out_channels",
        "down_block_types",
        "up_block_types",
        "block_out_channels",
        "layers_per_block",
        "downsample_padding",
        "mid_block_scale_factor",
        "act_fn",
        "norm_num_groups",
        "norm_eps",
        "cross_attention_dim",
        "attention_head_dim",
        "time_cond_proj_dim",
    ],
    neutral: &["sample_size"],
    fixed: &[],
};

static SPATIO_TEMPORAL: Known = Known {
    class: "UNetSpatioTemporalConditionModel config",
    honoured: &[
        "in_channels",
        "out_channels",
        "down_block_types",
        "up_block_types",
        "block_out_channels",
        "addition_time_embed_dim",
        "projection_class_embeddings_input_dim",
        "layers_per_block",
        "cross_attention_dim",
        "transformer_layers_per_block",
        "num_attention_heads",
    ],
    // The number of frames is what a pipeline makes; the network takes any.
    neutral: &["sample_size", "num_frames"],
    fixed: &[],
};

impl VideoClass {
    /// The class of this name.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        match name {
            "UNetMotionModel" => Ok(Self::Motion),
            "UNet3DConditionModel" => Ok(Self::ModelScope),
            "UNetSpatioTemporalConditionModel" => Ok(Self::SpatioTemporal),
            _ => {
                let known = "UNet2DConditionModel, UNet2DModel, UNetMotionModel, UNet3DConditionModel and \
                             UNetSpatioTemporalConditionModel";
                Err(options::wrong("UNet config", format!("_class_name = {name:?}; known are {known}")))
            }
        }
    }

    /// The options of a config, none of them unknown.
    pub fn options(self, map: Map<String, Value>) -> Result<Options, ModelError> {
        Options::new(map, self.known())
    }

    /// The image model of a config.
    pub fn read(self, map: Map<String, Value>) -> Result<UNetConfig, ModelError> {
        let given = self.options(map)?;
        let mut image = given.map().clone();
        image.retain(|option, value| !value.is_null() && option != "encoder_hid_dim");
        for option in ["down_block_types", "up_block_types"] {
            if let Some(kinds) = given.get::<Vec<String>>(option)? {
                let kinds = kinds.iter().map(|kind| self.image_kind(&given, option, kind));
                image.insert(option.into(), json!(kinds.collect::<Result<Vec<String>, _>>()?));
            }
        }
        if given.is_null("norm_num_groups") {
            return Err(given.unsupported("norm_num_groups", "null", "a number"));
        }
        let mut config = match self {
            Self::Motion => motion(&given, image)?,
            Self::ModelScope => model_scope(&given, image)?,
            Self::SpatioTemporal => spatio_temporal(&given, image)?,
        };
        // Whatever act_fn says.
        config.out_activation = Activation::Silu;
        config.options = given.into_map();
        Ok(config)
    }

    fn known(self) -> &'static Known {
        match self {
            Self::Motion => &MOTION,
            Self::ModelScope => &MODELSCOPE,
            Self::SpatioTemporal => &SPATIO_TEMPORAL,
        }
    }

    /// `CrossAttnDownBlockMotion` as `CrossAttnDownBlock2D`.
    fn image_kind(self, options: &Options, option: &str, kind: &str) -> Result<String, ModelError> {
        let ending = match self {
            Self::Motion => "Motion",
            Self::ModelScope => "3D",
            Self::SpatioTemporal => "SpatioTemporal",
        };
        let side = if option == "down_block_types" { "Down" } else { "Up" };
        let known = ["", "CrossAttn"].map(|front| format!("{front}{side}Block"));
        match kind.strip_suffix(ending) {
            Some(front) if known.iter().any(|known| known == front) => Ok(format!("{front}2D")),
            _ => {
                let known = known.map(|front| front + ending).join(", ");
                Err(options.unsupported(option, kind, &known))
            }
        }
    }
}

fn condition(given: &Options, options: Map<String, Value>) -> Result<UNetConfig, ModelError> {
    image::read(given.with_map(options), Class::Condition)
}

fn motion(given: &Options, image: Map<String, Value>) -> Result<UNetConfig, ModelError> {
    let mut config = condition(given, image)?;
    let layers = given.number("mid_block_layers", 1)?;
    let own = match (given.value("transformer_layers_per_mid_block"), given.value("transformer_layers_per_block")) {
        (Some(own), _) => own.clone(),
        (None, Some(Value::Array(levels))) => {
            levels.last().filter(|last| last.is_u64()).cloned().unwrap_or(json!(1))
        }
        (None, one) => one.cloned().unwrap_or(json!(1)),
    };
    let blocks = given.each_of("transformer_layers_per_mid_block", &own, layers)?;
    if let Some(mid) = &mut config.mid {
        mid.layers = layers + 1;
        match &mut mid.attention {
            _ if layers == 0 => mid.attention = Attention::None,
            Attention::Transformer { blocks: own, .. } => *own = blocks,
            _ => {}
        }
    }
    Ok(config)
}

fn model_scope(given: &Options, mut image: Map<String, Value>) -> Result<UNetConfig, ModelError> {
    // One number of channels for every head; diffusers' first transformer takes no list either.
    let depth = head_channels(given)?;
    image.remove("attention_head_dim");
    image.insert("num_attention_heads".into(), json!(1));
    image.insert("use_linear_projection".into(), json!(true));
    image.entry("cross_attention_dim").or_insert(json!(1024));
    let mut config = condition(given, image)?;
    for block in all_blocks(&mut config) {
        if let Attention::Transformer { heads, depth: own, .. } = &mut block.attention {
            (*heads, *own) = (block.channels / depth.max(1), depth);
        }
    }
    Ok(config)
}

/// Channels of every head of a `UNet3DConditionModel`.
pub(crate) fn head_channels(given: &Options) -> Result<usize, ModelError> {
    match given.value("attention_head_dim") {
        Some(Value::Array(list)) => {
            Err(given.unsupported("attention_head_dim", &json!(list).to_string(), "one number"))
        }
        _ => given.number("attention_head_dim", 64),
    }
}

fn spatio_temporal(given: &Options, mut image: Map<String, Value>) -> Result<UNetConfig, ModelError> {
    for (option, default) in [
        ("in_channels", json!(8)),
        ("num_attention_heads", json!([5, 10, 20, 20])),
        ("cross_attention_dim", json!(1024)),
        ("use_linear_projection", json!(true)),
    ] {
        image.entry(option).or_insert(default);
    }
    let mut config = condition(given, image)?;
    let time_channels = given.number("addition_time_embed_dim", 256)?;
    let channels = given.number("projection_class_embeddings_input_dim", 768)?;
    if time_channels < 2 || channels == 0 || channels % time_channels != 0 {
        let message = format!(
            "projection_class_embeddings_input_dim = {channels} is no multiple of addition_time_embed_dim = {time_channels}, \
             a number from 2 on"
        );
        return Err(given.wrong(message));
    }
    config.embedding.text_time = Some(TextTime { time_channels, channels, ids: channels / time_channels });
    config.spatio_temporal = true;
    // diffusers has 1e-6 in blocks with attention and in all up blocks, 1e-5 otherwise.
    for block in config.down.iter_mut().filter(|block| block.attention.is_some()).chain(&mut config.up) {
        block.norm_eps = 1e-6;
    }
    for block in all_blocks(&mut config) {
        if let Attention::Transformer { heads, depth, .. } = block.attention
            && heads * depth != block.channels
        {
            return Err(given.wrong(format!("num_attention_heads does not divide {} channels", block.channels)));
        }
    }
    Ok(config)
}

fn all_blocks(config: &mut UNetConfig) -> impl Iterator<Item = &mut Block> {
    config.down.iter_mut().chain(&mut config.mid).chain(&mut config.up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Map<String, Value> {
        let side = match name {
            "UNetMotionModel" => "Motion",
            "UNet3DConditionModel" => "3D",
            _ => "SpatioTemporal",
        };
        let config = json!({"_class_name": name, "block_out_channels": [32, 64], "cross_attention_dim": 16,
            "down_block_types": [format!("CrossAttnDownBlock{side}"), format!("DownBlock{side}")],
            "up_block_types": [format!("UpBlock{side}"), format!("CrossAttnUpBlock{side}")]});
        config.as_object().cloned().unwrap()
    }

    fn with(name: &str, option: &str, value: Value) -> Result<UNetConfig, ModelError> {
        let mut map = class(name);
        if name.starts_with("UNetSpatio") {
            map.insert("num_attention_heads".into(), json!([2, 4]));
        }
        if name.starts_with("UNet3D") {
            map.insert("attention_head_dim".into(), json!(8));
        }
        map.insert(option.into(), value);
        UNetConfig::from_json(&Value::Object(map).to_string())
    }

    #[test]
    fn an_unsupported_option_is_named() {
        for (name, option, value) in [
            ("UNetMotionModel", "encoder_hid_dim_type", json!("ip_image_proj")),
            ("UNetMotionModel", "addition_embed_type", json!("text")),
            ("UNetMotionModel", "conv_in_kernel", json!(5)),
            ("UNetMotionModel", "norm_num_groups", json!(null)),
            ("UNetMotionModel", "transformer_layers_per_mid_block", json!([1, 2])),
            ("UNetMotionModel", "down_block_types", json!(["CrossAttnDownBlock3D", "DownBlockMotion"])),
            ("UNet3DConditionModel", "attention_head_dim", json!([4, 8])),
            ("UNet3DConditionModel", "num_attention_heads", json!(4)),
            ("UNet3DConditionModel", "norm_num_groups", json!(null)),
            ("UNet3DConditionModel", "up_block_types", json!(["UpBlock3D", "AttnUpBlock3D"])),
            ("UNetSpatioTemporalConditionModel", "norm_num_groups", json!(16)),
            ("UNetSpatioTemporalConditionModel", "num_attention_heads", json!([3, 4])),
            ("UNetSpatioTemporalConditionModel", "addition_time_embed_dim", json!(7)),
        ] {
            let message = with(name, option, value).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(option), "{name}: {option}: {message}");
        }
    }

    #[test]
    fn json_round_trips() {
        for name in ["UNetMotionModel", "UNet3DConditionModel", "UNetSpatioTemporalConditionModel"] {
            let config = with(name, "layers_per_block", json!(1)).unwrap();
            assert_eq!(UNetConfig::from_json(&config.to_json()).unwrap(), config, "{name}");
            assert_eq!(config.spatio_temporal, name.starts_with("UNetSpatio"));
        }
    }
}
