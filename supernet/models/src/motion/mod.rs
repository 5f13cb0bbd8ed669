//! Published motion models as points of the search space: an image model, a genotype, and the names of the weights.

mod adapter;
mod modules;
mod names;

use serde_json::{Map, Value};

pub use adapter::MotionAdapter;
pub use names::NameMap;

use crate::{
    Backbone, ModelError, UNetConfig,
    backbone::{Options, VideoClass, head_channels, wrong},
};
use modules::{HEADS, Modules};
use tnas_space::{Choice, Genotype, Slot};

/// A video UNet of diffusers, as what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct MotionModel {
    /// Its image model; of Stable Video Diffusion, whose temporal halves lie inside the blocks, the whole.
    pub backbone: Backbone,
    /// What is put into the slots.
    pub genotype: Genotype,
    /// Names of the weights.
    pub names: NameMap,
}

impl MotionModel {
    /// Reads the `config.json` of a `UNetMotionModel`, `UNet3DConditionModel` or `UNetSpatioTemporalConditionModel`.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let backbone = Backbone::new(UNetConfig::from_json(text)?);
        let map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| wrong("UNet config", error.to_string()))?;
        let class = VideoClass::named(map.get("_class_name").and_then(Value::as_str).unwrap_or_default())?;
        let options = class.options(map)?;
        let (genotype, rules) = match class {
            VideoClass::Motion => (motion_modules(&options, &backbone)?, names::ANIMATEDIFF),
            VideoClass::ModelScope => (model_scope(&options, &backbone)?, names::MODELSCOPE),
            VideoClass::SpatioTemporal => (Genotype::none(), names::SVD),
        };
        let names = NameMap::new(rules, &backbone);
        Ok(Self { backbone, genotype, names })
    }

    /// Whether a `config.json` is of a class that is read here.
    pub fn reads(text: &str) -> bool {
        let config: Option<Map<String, Value>> = serde_json::from_str(text).ok();
        let name = config.as_ref().and_then(|map| map.get("_class_name")).and_then(Value::as_str);
        name.is_some_and(|name| VideoClass::named(name).is_ok())
    }

    /// Whether clips are frames first, `[B, F, C, H, W]`, where it was published: as in Stable Video Diffusion.
    pub fn frames_first(&self) -> bool {
        self.backbone.config.spatio_temporal
    }

    /// The same with the places of frames taken from the checkpoint at a slot.
    pub fn with_table(mut self, slot: &Slot) -> Result<Self, ModelError> {
        let choice: Choice = self.genotype.choice(slot).to_string().replace("pos=sin", "pos=table").parse()?;
        let others = self.genotype.insertions().map(|(slot, choice)| (slot.clone(), choice.clone()));
        self.genotype = Genotype::new(others.chain([(slot.clone(), choice)]).collect::<Vec<_>>());
        Ok(self)
    }
}

/// Whether a table of places `[1, L, C]` is the sinusoids that motion modules make themselves.
pub fn is_sinusoidal(shape: &[usize], values: &[f32]) -> bool {
    // Rounding of angles in 32 bits.
    const TOLERANCE: f32 = 1e-5;
    let &[1, length, channels] = shape else { return false };
    let own = tnas_space::sinusoidal(length, channels);
    own.len() == values.len() && own.iter().zip(values).all(|(a, b)| (a - b).abs() <= TOLERANCE)
}

/// The motion modules of a `UNetMotionModel`: one ends each layer, and stands between the middle block's layers.
fn motion_modules(options: &Options, backbone: &Backbone) -> Result<Genotype, ModelError> {
    let levels = backbone.config.levels();
    let heads: Vec<usize> = options.per_level(HEADS, levels)?.unwrap_or_else(|| vec![8; levels]);
    let length = options.number("motion_max_seq_length", 32)?;
    let mut modules = Modules::new(options, length);
    for (side, blocks) in [("Down", &backbone.config.down), ("Up", &backbone.config.up)] {
        for (index, block) in blocks.iter().enumerate() {
            let level = if side == "Down" { index } else { levels - 1 - index };
            let blocks = options.transformer_blocks("temporal_", side, [level, levels], block.layers)?;
            let last = if block.attention.is_some() { "a" } else { "r" };
            for (layer, &blocks) in blocks.iter().enumerate() {
                let slot = format!("{}.{index}.{layer}.{last}", side.to_lowercase());
                modules.add(slot, block.channels, heads[level], blocks)?;
            }
        }
    }
    if let Some(mid) = &backbone.config.mid
        && options.get("use_motion_mid_block")?.unwrap_or(true)
    {
        let between = mid.layers - 1;
        let one = Value::from(1);
        let given = options.value("temporal_transformer_layers_per_mid_block").unwrap_or(&one);
        let blocks = options.each_of("temporal_transformer_layers_per_mid_block", given, between)?;
        let heads = heads[levels - 1];
        for (layer, &blocks) in blocks.iter().enumerate() {
            modules.add(format!("mid.{layer}.a"), mid.channels, heads, blocks)?;
        }
    }
    Ok(modules.genotype())
}

/// The temporal blocks of a `UNet3DConditionModel`.
fn model_scope(options: &Options, backbone: &Backbone) -> Result<Genotype, ModelError> {
    let depth = head_channels(options)?;
    let conv: Choice = "modelscope(block=conv)".parse()?;
    let attention: Choice = format!("modelscope(block=attn,depth={depth})").parse()?;
    let first: Choice = format!("modelscope(block=attn,heads=8,depth={depth})").parse()?;
    let pairs = backbone.slots().into_iter().map(|info| {
        let choice = match info.slot.as_str().rsplit_once('.') {
            None => &first,
            Some((_, "a")) => &attention,
            Some(_) => &conv,
        };
        (info.slot, choice.clone())
    });
    Ok(Genotype::new(pairs))
}
