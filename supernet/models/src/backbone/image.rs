//! Options of an image UNet's config, made into its geometry.

use super::{
    block_reader::BlockReader,
    config::{Activation, ClassEmbedding, Embedding, TextTime, UNetConfig},
    options::{Class, Options},
};
use crate::ModelError;

/// How many numbers SDXL gives with its text: two sizes and a place.
const TIME_IDS: usize = 6;

/// The geometry that the options of an image UNet describe.
pub(super) fn read(options: Options, class: Class) -> Result<UNetConfig, ModelError> {
    let condition = class == Class::Condition;
    let default: &[usize] = if condition { &[320, 640, 1280, 1280] } else { &[224, 448, 672, 896] };
    let block_out_channels: Vec<usize> = options.get("block_out_channels")?.unwrap_or_else(|| default.to_vec());
    if block_out_channels.is_empty() || block_out_channels.contains(&0) {
        return Err(options.wrong(format!("block_out_channels = {block_out_channels:?}")));
    }
    let channels = if condition { 4 } else { 3 };
    let activation = options.activation("act_fn")?.unwrap_or(Activation::Silu);
    let blocks = BlockReader::new(&options, class, &block_out_channels)?;
    Ok(UNetConfig {
        in_channels: options.number("in_channels", channels)?,
        out_channels: options.number("out_channels", channels)?,
        center_input: options.get("center_input_sample")?.unwrap_or(false),
        conv_in_kernel: options.number("conv_in_kernel", 3)?,
        conv_out_kernel: options.number("conv_out_kernel", 3)?,
        down: blocks.down()?,
        mid: blocks.mid()?,
        up: blocks.up()?,
        downsample_padding: options.number("downsample_padding", 1)?,
        embedding: embedding(&options, class, block_out_channels[0], activation)?,
        context: blocks.context()?,
        linear_projection: options.get("use_linear_projection")?.unwrap_or(false),
        norm_num_groups: options.number("norm_num_groups", 32)?,
        norm_eps: options.get("norm_eps")?.unwrap_or(1e-5),
        activation,
        out_activation: if condition { activation } else { Activation::Silu },
        scale_shift: blocks.scale_shift,
        spatio_temporal: false,
        block_out_channels,
        options: options.into_map(),
    })
}

/// What is embedded besides the time, and how.
fn embedding(
    options: &Options,
    class: Class,
    first: usize,
    activation: Activation,
) -> Result<Embedding, ModelError> {
    let kind: Option<String> = options.get("time_embedding_type")?;
    if let Some(kind) = kind.filter(|kind| kind != "positional") {
        return Err(options.unsupported("time_embedding_type", &kind, "positional"));
    }
    let condition = class == Class::Condition;
    let width: Option<usize> = options.get("projection_class_embeddings_input_dim")?;
    let class_embedding = class_embedding(options, class, width)?;
    let text_time = text_time(options, width)?;
    Ok(Embedding {
        channels: options.get("time_embedding_dim")?.unwrap_or(4 * first),
        flip_sin_to_cos: options.get("flip_sin_to_cos")?.unwrap_or(true),
        freq_shift: options.get("freq_shift")?.unwrap_or(0.0),
        // The plain UNet's is fixed.
        activation: if condition { activation } else { Activation::Silu },
        post_activation: options.activation("timestep_post_act")?,
        sum_activation: options.activation("time_embedding_act_fn")?,
        condition: options.get("time_cond_proj_dim")?,
        class: class_embedding,
        concat_class: options.get("class_embeddings_concat")?.unwrap_or(false),
        text_time,
    })
}

/// What a class adds; `width` is `projection_class_embeddings_input_dim`.
fn class_embedding(
    options: &Options,
    class: Class,
    width: Option<usize>,
) -> Result<Option<ClassEmbedding>, ModelError> {
    let kind: Option<String> = options.get("class_embed_type")?;
    let table: Option<usize> = options.get("num_class_embeds")?;
    let condition = class == Class::Condition;
    let projected = |kind: &str| width.ok_or_else(|| without_width(options, &format!("class_embed_type = {kind}")));
    Ok(match (kind.as_deref(), table) {
        (None, table) => table.map(ClassEmbedding::Table),
        (Some("timestep"), _) => Some(ClassEmbedding::Time),
        (Some("identity"), _) => Some(ClassEmbedding::Identity),
        (Some(kind @ "projection"), _) if condition => Some(ClassEmbedding::Projection(projected(kind)?)),
        (Some(kind @ "simple_projection"), _) if condition => Some(ClassEmbedding::Linear(projected(kind)?)),
        (Some(other), _) => {
            let known = if condition {
                "timestep, identity, projection, simple_projection, null"
            } else {
                "timestep, identity, null"
            };
            return Err(options.unsupported("class_embed_type", other, known));
        }
    })
}

/// What SDXL's pooled text and sizes add; `width` is `projection_class_embeddings_input_dim`.
fn text_time(options: &Options, width: Option<usize>) -> Result<Option<TextTime>, ModelError> {
    let added: Option<String> = options.get("addition_embed_type")?;
    match added.as_deref() {
        None => return Ok(None),
        Some("text_time") => {}
        Some(other) => return Err(options.unsupported("addition_embed_type", other, "text_time, null")),
    }
    let channels = width.ok_or_else(|| without_width(options, "addition_embed_type = text_time"))?;
    let time_channels: Option<usize> = options.get("addition_time_embed_dim")?;
    let time_channels = time_channels
        .ok_or_else(|| options.wrong("addition_embed_type = text_time needs addition_time_embed_dim".into()))?;
    if channels <= TIME_IDS * time_channels {
        let message = format!(
            "projection_class_embeddings_input_dim = {channels} leaves no room for text beside {TIME_IDS} numbers of \
             {time_channels} channels"
        );
        return Err(options.wrong(message));
    }
    Ok(Some(TextTime { time_channels, channels, ids: TIME_IDS }))
}

fn without_width(options: &Options, what: &str) -> ModelError {
    options.wrong(format!("{what} needs projection_class_embeddings_input_dim"))
}
