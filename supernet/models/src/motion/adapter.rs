use serde_json::{Map, Value, json};

use super::{
    MotionModel, NameMap,
    modules::{HEADS, Modules},
    names,
};
use crate::{
    Backbone, Block, ModelError, UNetConfig,
    backbone::{Known, MOST_LAYERS, Options, wrong},
};
use tnas_space::Genotype;

/// AnimateDiff's motion modules without an image model: a `MotionAdapter` of diffusers.
#[derive(Clone, Debug, PartialEq)]
pub struct MotionAdapter {
    channels: Vec<usize>,
    layers: Vec<usize>,
    blocks: Vec<Value>,
    mid_blocks: Vec<usize>,
    heads: Vec<usize>,
    groups: usize,
    length: usize,
    mid: bool,
    /// Channels of the sample that the first convolution takes in place of the image model's, where it has more (PIA).
    pub conv_in_channels: Option<usize>,
}

static ADAPTER: Known = Known {
    class: "MotionAdapter config",
    honoured: &[
        "block_out_channels",
        "motion_layers_per_block",
        "motion_transformer_layers_per_block",
        "motion_mid_block_layers_per_block",
        "motion_transformer_layers_per_mid_block",
        "motion_num_attention_heads",
        "motion_norm_num_groups",
        "motion_max_seq_length",
        "use_motion_mid_block",
        "conv_in_channels",
    ],
    neutral: &[],
    fixed: &[],
};

impl MotionAdapter {
    /// Reads the `config.json` of a `MotionAdapter`.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| wrong(ADAPTER.class, error.to_string()))?;
        match map.get("_class_name").and_then(Value::as_str) {
            None | Some("MotionAdapter") => {}
            Some(other) => {
                return Err(wrong(ADAPTER.class, format!("_class_name = {other:?}; MotionAdapter is expected")));
            }
        }
        let options = Options::new(map, &ADAPTER)?;
        let channels: Vec<usize> = options.get("block_out_channels")?.unwrap_or_else(|| vec![320, 640, 1280, 1280]);
        let levels = channels.len();
        let list = |option: &str, default: usize| -> Result<Vec<usize>, ModelError> {
            Ok(options.per_level(option, levels)?.unwrap_or_else(|| vec![default; levels]))
        };
        let option = "motion_mid_block_layers_per_block";
        let between = options.number(option, 1)?;
        if between > MOST_LAYERS {
            return Err(options.wrong(format!("{option} = {between}; at most {MOST_LAYERS} are read")));
        }
        let one = json!(1);
        let option = "motion_transformer_layers_per_mid_block";
        let mid_blocks = options.each_of(option, options.value(option).unwrap_or(&one), between)?;
        Ok(Self {
            layers: list("motion_layers_per_block", 2)?,
            blocks: options
                .per_level("motion_transformer_layers_per_block", levels)?
                .unwrap_or_else(|| vec![one; levels]),
            mid_blocks,
            heads: list(HEADS, 8)?,
            groups: options.number("motion_norm_num_groups", 32)?,
            length: options.number("motion_max_seq_length", 32)?,
            mid: options.get("use_motion_mid_block")?.unwrap_or(true),
            conv_in_channels: options.get("conv_in_channels")?.filter(|&channels: &usize| channels > 0),
            channels,
        })
    }

    /// Puts the modules into an image model, or says what does not fit.
    pub fn over(&self, backbone: &Backbone) -> Result<MotionModel, ModelError> {
        let config = &backbone.config;
        let misfit = |what: &str, own: String, image: String| {
            wrong(ADAPTER.class, format!("{what} is {own}, the image model has {image}"))
        };
        if self.channels != config.block_out_channels {
            let (own, image) = (&self.channels, &config.block_out_channels);
            return Err(misfit("block_out_channels", format!("{own:?}"), format!("{image:?}")));
        }
        let layers: Vec<usize> = config.down.iter().map(|block| block.layers).collect();
        if self.layers != layers {
            return Err(misfit("motion_layers_per_block", format!("{:?}", self.layers), format!("{layers:?}")));
        }
        if self.groups != config.norm_num_groups {
            let (own, image) = (self.groups.to_string(), format!("norm_num_groups = {}", config.norm_num_groups));
            return Err(misfit("motion_norm_num_groups", own, image));
        }
        let between = config.mid.as_ref().filter(|mid| mid.attention.is_some()).map_or(0, |mid| mid.layers - 1);
        if self.mid && self.mid_blocks.len() != between {
            let image = format!("{between} attentions in its middle block");
            return Err(misfit("motion_mid_block_layers_per_block", self.mid_blocks.len().to_string(), image));
        }
        let genotype = self.genotype(config)?;
        let names = NameMap::new(names::ANIMATEDIFF, backbone);
        Ok(MotionModel { backbone: backbone.clone(), genotype, names })
    }

    fn genotype(&self, config: &UNetConfig) -> Result<Genotype, ModelError> {
        let options = Options::new(Map::new(), &ADAPTER)?;
        let mut modules = Modules::new(&options, self.length);
        let mut side =
            |name: &str, blocks: &[Block], level_of: &dyn Fn(usize) -> usize| -> Result<(), ModelError> {
                for (index, block) in blocks.iter().enumerate() {
                    let level = level_of(index);
                    let option_of_blocks = "motion_transformer_layers_per_block";
                    let count = options.each_of(option_of_blocks, &self.blocks[level], block.layers)?;
                    let last = if block.attention.is_some() { "a" } else { "r" };
                    for (layer, &count) in count.iter().enumerate() {
                        let slot = format!("{name}.{index}.{layer}.{last}");
                        modules.add(slot, block.channels, self.heads[level], count)?;
                    }
                }
                Ok(())
            };
        let last = config.levels() - 1;
        side("down", &config.down, &|index| index)?;
        side("up", &config.up, &|index| last - index)?;
        if let Some(mid) = config.mid.as_ref().filter(|_| self.mid) {
            for (layer, &count) in self.mid_blocks.iter().enumerate() {
                modules.add(format!("mid.{layer}.a"), mid.channels, self.heads[last], count)?;
            }
        }
        Ok(modules.genotype())
    }
}
