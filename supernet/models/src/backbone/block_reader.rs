//! Options of a config, one for all levels or a list of one each, made into blocks.

use serde_json::Value;

use super::{
    config::{Attention, Block, Context, TextNorm},
    options::{Class, MOST_LAYERS, Options},
};
use crate::ModelError;

/// Options that are one for all levels or a list of one each, and the blocks made of them.
pub(super) struct BlockReader<'a> {
    options: &'a Options,
    class: Class,
    channels: &'a [usize],
    layers: Vec<usize>,
    /// What diffusers calls `attention_head_dim`: heads for transformers, channels of a head otherwise.
    heads: Vec<Option<usize>>,
    transformer_heads: Vec<usize>,
    norm_eps: f32,
    /// Whether the embedding scales and shifts in resnets.
    pub scale_shift: bool,
}

impl<'a> BlockReader<'a> {
    pub fn new(options: &'a Options, class: Class, channels: &'a [usize]) -> Result<Self, ModelError> {
        let levels = channels.len();
        let given: Option<Vec<usize>> = options.per_level("attention_head_dim", levels)?;
        let heads = match &given {
            Some(heads) => heads.iter().copied().map(Some).collect(),
            // A plain UNet without the option has heads of 8 channels, with null one head.
            None if class == Class::Plain && options.is_null("attention_head_dim") => vec![None; levels],
            None => vec![Some(8); levels],
        };
        let own = options.per_level("num_attention_heads", levels)?;
        let transformer_heads = own.or(given).unwrap_or_else(|| vec![8; levels]);
        let shift: Option<String> = options.get("resnet_time_scale_shift")?;
        let scale_shift = match shift.as_deref() {
            None | Some("default") => false,
            Some("scale_shift") => true,
            Some(other) => {
                return Err(options.unsupported("resnet_time_scale_shift", other, "default, scale_shift"));
            }
        };
        let layers = options.per_level("layers_per_block", levels)?.unwrap_or_else(|| vec![2; levels]);
        if let Some(layers) = layers.iter().find(|&&layers| layers > MOST_LAYERS) {
            return Err(options.wrong(format!("layers_per_block = {layers}; at most {MOST_LAYERS} are read")));
        }
        let norm_eps = options.get("norm_eps")?.unwrap_or(1e-5);
        Ok(Self { options, class, channels, layers, heads, transformer_heads, norm_eps, scale_shift })
    }

    pub fn down(&self) -> Result<Vec<Block>, ModelError> {
        let kinds = self.kinds("down_block_types", "Down")?;
        (0..kinds.len()).map(|level| self.block("down_block_types", &kinds[level], "Down", level, level)).collect()
    }

    pub fn up(&self) -> Result<Vec<Block>, ModelError> {
        let kinds = self.kinds("up_block_types", "Up")?;
        let last = kinds.len() - 1;
        let block = |index: usize| self.block("up_block_types", &kinds[index], "Up", last - index, index);
        (0..=last).map(block).collect()
    }

    fn kinds(&self, option: &str, side: &str) -> Result<Vec<String>, ModelError> {
        let levels = self.channels.len();
        let default = || -> Option<Vec<String>> {
            let (plain, with) = match self.class {
                Class::Condition => (format!("{side}Block2D"), format!("CrossAttn{side}Block2D")),
                Class::Plain => (format!("{side}Block2D"), format!("Attn{side}Block2D")),
            };
            let bare_first = (self.class == Class::Plain) == (side == "Down");
            let bare = if bare_first { 0 } else { 3 };
            Some((0..4).map(|level| if level == bare { plain.clone() } else { with.clone() }).collect())
        };
        let kinds: Vec<String> = self.options.get(option)?.or_else(default).unwrap_or_default();
        if kinds.len() != levels {
            let message = format!("{option} has {} entries, block_out_channels {levels}", kinds.len());
            return Err(self.options.wrong(message));
        }
        Ok(kinds)
    }

    /// A down or up block. `place` is its index in lists that diffusers does not turn round for up blocks.
    fn block(&self, option: &str, kind: &str, side: &str, level: usize, place: usize) -> Result<Block, ModelError> {
        let kind = kind.strip_prefix("UNetRes").unwrap_or(kind);
        let Some(name) = kind.strip_suffix("Block2D") else { return Err(self.unknown(option, kind, side)) };
        let channels = self.channels[level];
        let layers = self.layers[level] + usize::from(side == "Up");
        let condition = self.class == Class::Condition;
        let resampler = if side == "Down" { "downsample_type" } else { "upsample_type" };
        let mut block = Block {
            channels,
            layers,
            attention: Attention::None,
            resnet_resampler: false,
            skip_time_activation: false,
            out_scale: 1.0,
            norm_eps: self.norm_eps,
        };
        let resnets_alone = format!("Resnet{side}sample");
        match name.strip_suffix(side) {
            Some("") => {}
            Some("Attn") => {
                block.attention = self.pixels(channels, place, 1.0, Some(self.groups()?));
                block.resnet_resampler = self.options.get::<String>(resampler)?.as_deref() == Some("resnet");
            }
            Some("CrossAttn") if condition => {
                block.attention = self.transformer(side, level, layers, self.only_cross(level)?)?;
            }
            Some("SimpleCrossAttn") if condition => {
                let only_cross = self.only_cross(level)?;
                self.with_resnets(&mut block)?;
                block.attention = self.added_keys(channels, place, only_cross)?;
            }
            None if name == resnets_alone => self.with_resnets(&mut block)?,
            _ => return Err(self.unknown(option, kind, side)),
        }
        Ok(block)
    }

    fn with_resnets(&self, block: &mut Block) -> Result<(), ModelError> {
        block.resnet_resampler = true;
        block.skip_time_activation = self.options.get("resnet_skip_time_act")?.unwrap_or(false);
        block.out_scale = self.options.get("resnet_out_scale_factor")?.unwrap_or(1.0);
        Ok(())
    }

    pub fn mid(&self) -> Result<Option<Block>, ModelError> {
        let default = if self.class == Class::Condition { "UNetMidBlock2DCrossAttn" } else { "UNetMidBlock2D" };
        if self.options.is_null("mid_block_type") {
            return Ok(None);
        }
        let kind = self.options.get("mid_block_type")?.unwrap_or_else(|| default.to_string());
        let level = self.channels.len() - 1;
        let channels = self.channels[level];
        let out_scale: f32 = self.options.get("mid_block_scale_factor")?.unwrap_or(1.0);
        let mut block = Block {
            channels,
            layers: 2,
            attention: Attention::None,
            resnet_resampler: false,
            skip_time_activation: false,
            out_scale,
            norm_eps: self.norm_eps,
        };
        match (kind.as_str(), self.class) {
            ("UNetMidBlock2DCrossAttn", Class::Condition) => {
                block.attention = self.transformer("Down", level, 1, false)?;
            }
            ("UNetMidBlock2DSimpleCrossAttn", Class::Condition) => {
                block.skip_time_activation = self.options.get("resnet_skip_time_act")?.unwrap_or(false);
                let own: Option<bool> = self.options.get("mid_block_only_cross_attention")?;
                let only_cross = match (own, self.options.value("only_cross_attention")) {
                    (Some(only), _) => only,
                    (None, Some(Value::Bool(only))) => *only,
                    _ => false,
                };
                block.attention = self.added_keys(channels, level, only_cross)?;
            }
            ("UNetMidBlock2D", Class::Condition) => block.layers = 1,
            // diffusers' plain UNet makes this one whatever the name.
            (_, Class::Plain) => {
                if self.options.get("add_attention")?.unwrap_or(true) {
                    let groups = match self.options.get("attn_norm_num_groups")? {
                        None if self.scale_shift => None,
                        None => Some(self.groups()?),
                        groups => groups,
                    };
                    block.attention = self.pixels(channels, level, out_scale, groups);
                }
            }
            _ => {
                let known = "UNetMidBlock2DCrossAttn, UNetMidBlock2DSimpleCrossAttn, UNetMidBlock2D, null";
                return Err(self.options.unsupported("mid_block_type", &kind, known));
            }
        }
        Ok(Some(block))
    }

    pub fn context(&self) -> Result<Option<Context>, ModelError> {
        if self.class == Class::Plain {
            return Ok(None);
        }
        let width = self.context_width()?;
        let given: Option<usize> = self.options.get("encoder_hid_dim")?;
        let kind: Option<String> = self.options.get("encoder_hid_dim_type")?;
        match (given, kind.as_deref()) {
            (None, None) => Ok(Some(Context { given: width, projected: None })),
            (Some(given), None | Some("text_proj")) => Ok(Some(Context { given, projected: Some(width) })),
            (None, Some(_)) => Err(self.options.wrong("encoder_hid_dim_type needs encoder_hid_dim".into())),
            (_, Some(other)) => Err(self.options.unsupported("encoder_hid_dim_type", other, "text_proj")),
        }
    }

    /// The one width of the text that all blocks with attention to it share, for it is one text.
    fn context_width(&self) -> Result<usize, ModelError> {
        let levels = self.channels.len();
        let Some(widths) = self.options.per_level::<usize>("cross_attention_dim", levels)? else { return Ok(1280) };
        let (down, up) = (self.kinds("down_block_types", "Down")?, self.kinds("up_block_types", "Up")?);
        let mid = self.mid()?.is_some_and(|block| block.attention.reads_text());
        let reads = |level: usize| {
            down[level].contains("CrossAttn")
                || up[levels - 1 - level].contains("CrossAttn")
                || (mid && level == levels - 1)
        };
        let read: Vec<usize> = (0..levels).filter(|&level| reads(level)).map(|level| widths[level]).collect();
        match read.as_slice() {
            [] => Ok(widths[0]),
            [first, rest @ ..] if rest.iter().all(|width| width == first) => Ok(*first),
            _ => {
                let value = format!("{widths:?}");
                Err(self.options.unsupported("cross_attention_dim", &value, "one width, for there is one text"))
            }
        }
    }

    fn groups(&self) -> Result<usize, ModelError> {
        self.options.number("norm_num_groups", 32)
    }

    fn pixels(&self, channels: usize, place: usize, out_scale: f32, groups: Option<usize>) -> Attention {
        let depth = self.heads[place].unwrap_or(channels);
        Attention::Pixels { heads: channels.checked_div(depth).unwrap_or(0), depth, groups, out_scale }
    }

    fn added_keys(&self, channels: usize, place: usize, only_cross: bool) -> Result<Attention, ModelError> {
        let depth = self.heads[place].unwrap_or(channels);
        let norm: Option<String> = self.options.get("cross_attention_norm")?;
        let norm = match norm.as_deref() {
            None => None,
            Some("layer_norm") => Some(TextNorm::Layer),
            Some("group_norm") => Some(TextNorm::Group),
            Some(other) => {
                return Err(self.options.unsupported("cross_attention_norm", other, "layer_norm, group_norm"));
            }
        };
        Ok(Attention::AddedKeys { heads: channels.checked_div(depth).unwrap_or(0), depth, only_cross, norm })
    }

    fn transformer(
        &self,
        side: &str,
        level: usize,
        layers: usize,
        only_cross: bool,
    ) -> Result<Attention, ModelError> {
        let heads = self.transformer_heads[level];
        let depth = self.channels[level].checked_div(heads).unwrap_or(0);
        let blocks = self.options.transformer_blocks("", side, [level, self.channels.len()], layers)?;
        Ok(Attention::Transformer { heads: if depth == 0 { 0 } else { heads }, depth, blocks, only_cross })
    }

    fn only_cross(&self, level: usize) -> Result<bool, ModelError> {
        let each = self.options.per_level("only_cross_attention", self.channels.len())?;
        Ok(each.is_some_and(|each: Vec<bool>| each[level]))
    }

    fn unknown(&self, option: &str, kind: &str, side: &str) -> ModelError {
        let known = match self.class {
            Class::Condition => format!(
                "{side}Block2D, Attn{side}Block2D, CrossAttn{side}Block2D, SimpleCrossAttn{side}Block2D, \
                 Resnet{side}sampleBlock2D"
            ),
            Class::Plain => format!("{side}Block2D, Attn{side}Block2D, Resnet{side}sampleBlock2D"),
        };
        self.options.unsupported(option, kind, &known)
    }
}
