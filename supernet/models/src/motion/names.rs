//! Names of weights in published checkpoints and here.

use std::collections::BTreeMap;

use crate::Backbone;

/// A part of published names and what stands in its place here. `{block}` is `down_blocks.1`, `mid_block` or `up_blocks.0`,
/// `{place}` the same block in the names of slots (`down.1`, `mid`, `up.0`), `{layer}` a number and `{last}` the last slot of
/// that layer: `a` where there is attention, else `r`.
pub(super) struct Rule {
    pub published: &'static str,
    pub here: &'static str,
}

/// `UNetMotionModel` and `MotionAdapter`: a motion module ends a layer.
pub(super) static ANIMATEDIFF: &[Rule] =
    &[Rule { published: "{block}.motion_modules.{layer}", here: "temporal.{place}.{layer}.{last}.animatediff.0" }];

/// `UNet3DConditionModel`: convolutions after resnets, attentions after attentions, and one behind the first convolution.
pub(super) static MODELSCOPE: &[Rule] = &[
    Rule { published: "transformer_in", here: "temporal.in.modelscope.0" },
    Rule { published: "{block}.temp_convs.{layer}", here: "temporal.{place}.{layer}.r.modelscope.0" },
    Rule { published: "{block}.temp_attentions.{layer}", here: "temporal.{place}.{layer}.a.modelscope.0" },
];

/// `UNetSpatioTemporalConditionModel`: the image half loses its own name, the other halves are temporal.
pub(super) static SVD: &[Rule] = &[
    Rule { published: "{block}.resnets.{layer}.spatial_res_block", here: "{block}.resnets.{layer}" },
    Rule {
        published: "{block}.resnets.{layer}.temporal_res_block",
        here: "temporal.{place}.{layer}.r.svd.0.temporal_res_block",
    },
    Rule { published: "{block}.resnets.{layer}.time_mixer", here: "temporal.{place}.{layer}.r.svd.0.time_mixer" },
    Rule {
        published: "{block}.attentions.{layer}.temporal_transformer_blocks",
        here: "temporal.{place}.{layer}.a.svd.0.temporal_transformer_blocks",
    },
    Rule {
        published: "{block}.attentions.{layer}.time_pos_embed",
        here: "temporal.{place}.{layer}.a.svd.0.time_pos_embed",
    },
    Rule {
        published: "{block}.attentions.{layer}.time_mixer",
        here: "temporal.{place}.{layer}.a.svd.0.time_mixer",
    },
];

/// Rules written out for one backbone. Names that no rule covers are the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameMap {
    here: BTreeMap<String, String>,
    published: BTreeMap<String, String>,
}

impl NameMap {
    pub(super) fn new(rules: &[Rule], backbone: &Backbone) -> Self {
        let mut here = BTreeMap::new();
        for layer in layers(backbone) {
            for rule in rules {
                let fill = |pattern: &str| {
                    let filled = pattern.replace("{block}", &layer.block).replace("{place}", &layer.place);
                    filled.replace("{layer}", &layer.index.to_string()).replace("{last}", layer.last)
                };
                here.insert(fill(rule.published), fill(rule.here));
            }
        }
        let published = here.iter().map(|(published, here)| (here.clone(), published.clone())).collect();
        Self { here, published }
    }

    /// The name here of a published weight or module.
    pub fn here(&self, published: &str) -> String {
        exchanged(&self.here, published).unwrap_or_else(|| published.into())
    }

    /// The published name of a weight or module here.
    pub fn published(&self, here: &str) -> String {
        exchanged(&self.published, here).unwrap_or_else(|| here.into())
    }

    /// Whether a published name belongs to what was put into the image model.
    pub fn is_temporal(&self, published: &str) -> bool {
        exchanged(&self.here, published).is_some_and(|here| here.starts_with("temporal."))
    }

    /// The shape here of a published weight: kernels over frames alone, `[O, I, k, 1, 1]`, have two axes here.
    pub fn shape_here(published: &[usize]) -> Vec<usize> {
        match published {
            &[o, i, k, 1, 1] => vec![o, i, k, 1],
            same => same.to_vec(),
        }
    }

    /// The published shape of a weight here.
    pub fn published_shape(name: &str, here: &[usize]) -> Vec<usize> {
        match here {
            &[o, i, k, 1] if name.starts_with("temporal.") => vec![o, i, k, 1, 1],
            same => same.to_vec(),
        }
    }
}

/// The name with its longest front part that the map knows exchanged.
fn exchanged(map: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let ends = name.char_indices().filter(|&(_, c)| c == '.').map(|(index, _)| index).chain([name.len()]);
    let mut fronts: Vec<usize> = ends.collect();
    fronts.reverse();
    fronts.into_iter().find_map(|end| Some(format!("{}{}", map.get(&name[..end])?, &name[end..])))
}

/// A layer of a backbone: where it stands in published names and in those of slots.
struct Layer {
    block: String,
    place: String,
    index: usize,
    last: &'static str,
}

fn layers(backbone: &Backbone) -> Vec<Layer> {
    let config = &backbone.config;
    let mut layers = Vec::new();
    let mut add = |block: String, place: String, count: usize, last: &'static str| {
        layers.extend((0..count).map(|index| Layer { block: block.clone(), place: place.clone(), index, last }));
    };
    let last = |block: &crate::Block| if block.attention.is_some() { "a" } else { "r" };
    for (level, block) in config.down.iter().enumerate() {
        add(format!("down_blocks.{level}"), format!("down.{level}"), block.layers, last(block));
    }
    if let Some(block) = &config.mid {
        add("mid_block".into(), "mid".into(), block.layers, last(block));
    }
    for (index, block) in config.up.iter().enumerate() {
        add(format!("up_blocks.{index}"), format!("up.{index}"), block.layers, last(block));
    }
    layers
}
