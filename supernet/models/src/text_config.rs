use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    ModelError,
    backbone::options::{Known, Options, wrong},
};

static KNOWN: Known = Known {
    class: "CLIPTextModel config",
    honoured: &[
        "architectures",
        "model_type",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "projection_dim",
        "num_hidden_layers",
        "num_attention_heads",
        "max_position_embeddings",
        "hidden_act",
        "layer_norm_eps",
        "eos_token_id",
    ],
    // Training, the tokenizer's side, and what every config of transformers carries for other tasks.
    neutral: &[
        "attention_dropout",
        "dropout",
        "initializer_range",
        "initializer_factor",
        "pad_token_id",
        "bos_token_id",
        "sep_token_id",
        "decoder_start_token_id",
        "transformers_version",
        "dtype",
        "torch_dtype",
        "return_dict",
        "use_return_dict",
        "output_hidden_states",
        "output_attentions",
        "output_scores",
        "return_dict_in_generate",
        "use_cache",
        "chunk_size_feed_forward",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "finetuning_task",
        "task_specific_params",
        "tokenizer_class",
        "prefix",
        "tie_word_embeddings",
        "torchscript",
        "use_bfloat16",
        "tf_legacy_loss",
        "max_length",
        "min_length",
        "do_sample",
        "early_stopping",
        "num_beams",
        "num_beam_groups",
        "diversity_penalty",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
        "repetition_penalty",
        "length_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "num_return_sequences",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "remove_invalid_values",
        "exponential_decay_length_penalty",
        "suppress_tokens",
        "begin_suppress_tokens",
    ],
    fixed: &[
        ("is_decoder", "false"),
        ("is_encoder_decoder", "false"),
        ("add_cross_attention", "false"),
        ("cross_attention_hidden_size", "null"),
        ("tie_encoder_decoder", "false"),
        ("pruned_heads", "{}"),
        // Stable Diffusion would mask the padding.
        ("use_attention_mask", "false"),
    ],
};

/// The `eos_token_id` of configs from before transformers 4.31, whatever their tokenizer: the largest id pools.
const LEGACY_END: i64 = 2;

/// The end of text of OpenAI's vocabulary.
const CLIP_END: i64 = 49_407;

/// Most layers: a hostile config must not ask for networks of no end.
const MOST_LAYERS: usize = 1000;

/// The geometry of a transformers `CLIPTextModel` or `CLIPTextModelWithProjection`. Every option is honoured or refused by
/// name.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEncoderConfig {
    /// Tokens known.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Width of the projected pooled vector.
    pub projection_dim: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Longest caption in tokens.
    pub max_position_embeddings: usize,
    /// Activation of the feed-forward.
    pub activation: TextActivation,
    /// Added to variances.
    pub layer_norm_eps: f32,
    /// Which token pools.
    pub end_of_text: EndOfText,
    /// Whether the pooled vector is projected, where `architectures` says.
    pub projects: Option<bool>,
    options: Map<String, Value>,
}

/// An activation function of a text encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextActivation {
    /// x·sigmoid(1.702 x), OpenAI's.
    QuickGelu,
    /// Exact GELU, OpenCLIP's.
    Gelu,
    /// max(x, 0).
    Relu,
    /// x·sigmoid(x).
    Silu,
}

/// How the end of a text is found among its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfText {
    /// The first of the largest id.
    Largest,
    /// The first of this id.
    First(i64),
}

impl TextEncoderConfig {
    /// Reads a `config.json`.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let map = serde_json::from_str(text).map_err(|error| wrong(KNOWN.class, error.to_string()))?;
        let options = Options::new(map, &KNOWN)?;
        let kind: Option<String> = options.get("model_type")?;
        if let Some(kind) = kind.filter(|kind| kind != "clip_text_model") {
            return Err(options.unsupported("model_type", &kind, "clip_text_model"));
        }
        let number = |option: &str, default: usize| match options.number(option, default)? {
            0 => Err(options.wrong(format!("{option} must not be 0"))),
            number => Ok(number),
        };
        let vocab_size = number("vocab_size", 49_408)?;
        let config = Self {
            vocab_size,
            hidden_size: number("hidden_size", 512)?,
            intermediate_size: number("intermediate_size", 2048)?,
            projection_dim: number("projection_dim", 512)?,
            num_hidden_layers: number("num_hidden_layers", 12)?,
            num_attention_heads: number("num_attention_heads", 8)?,
            max_position_embeddings: number("max_position_embeddings", 77)?,
            activation: activation(&options)?,
            layer_norm_eps: options.get("layer_norm_eps")?.unwrap_or(1e-5),
            end_of_text: end_of_text(&options, vocab_size)?,
            projects: projects(&options)?,
            options: options.into_map(),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ModelError> {
        let Self { hidden_size, num_attention_heads: heads, num_hidden_layers: layers, .. } = self;
        if !hidden_size.is_multiple_of(*heads) {
            let message = format!("num_attention_heads = {heads} does not divide hidden_size = {hidden_size}");
            return Err(wrong(KNOWN.class, message));
        }
        if *layers > MOST_LAYERS {
            let message = format!("num_hidden_layers = {layers}; {MOST_LAYERS} are the most");
            return Err(wrong(KNOWN.class, message));
        }
        Ok(())
    }

    /// The same geometry for another tokenizer: its number of ids, the length of its captions and its end of text.
    pub fn for_vocabulary(mut self, ids: usize, length: usize, end: i64) -> Self {
        self.vocab_size = ids;
        self.max_position_embeddings = self.max_position_embeddings.max(length);
        self.end_of_text = if end == LEGACY_END { EndOfText::Largest } else { EndOfText::First(end) };
        for (option, value) in [
            ("vocab_size", Value::from(ids)),
            ("max_position_embeddings", Value::from(self.max_position_embeddings)),
            ("eos_token_id", Value::from(end)),
            ("model_type", Value::from("clip_text_model")),
            ("architectures", Value::from(vec!["CLIPTextModel"])),
        ] {
            self.options.insert(option.into(), value);
        }
        self
    }

    /// The config as it was read.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", Value::Object(self.options.clone()))
    }
}

impl Serialize for TextEncoderConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.options.serialize(serializer)
    }
}

fn activation(options: &Options) -> Result<TextActivation, ModelError> {
    let name: Option<String> = options.get("hidden_act")?;
    match name.as_deref() {
        None | Some("quick_gelu") => Ok(TextActivation::QuickGelu),
        Some("gelu") => Ok(TextActivation::Gelu),
        Some("relu") => Ok(TextActivation::Relu),
        Some("silu" | "swish") => Ok(TextActivation::Silu),
        Some(other) => Err(options.unsupported("hidden_act", other, "quick_gelu, gelu, relu, silu, swish")),
    }
}

/// Where a config names none, transformers takes that of OpenAI's vocabulary; one too small for it has its last id.
fn end_of_text(options: &Options, vocab_size: usize) -> Result<EndOfText, ModelError> {
    Ok(match options.get("eos_token_id")? {
        Some(LEGACY_END) => EndOfText::Largest,
        Some(id) => EndOfText::First(id),
        None if vocab_size as i64 > CLIP_END => EndOfText::First(CLIP_END),
        None => EndOfText::Largest,
    })
}

fn projects(options: &Options) -> Result<Option<bool>, ModelError> {
    let classes: Vec<String> = options.get("architectures")?.unwrap_or_default();
    let projects = |class: &String| match class.as_str() {
        "CLIPTextModel" => Ok(false),
        "CLIPTextModelWithProjection" => Ok(true),
        other => {
            let known = "CLIPTextModel, CLIPTextModelWithProjection";
            Err(options.unsupported("architectures", other, known))
        }
    };
    let each: Vec<bool> = classes.iter().map(projects).collect::<Result<_, _>>()?;
    Ok(each.first().copied())
}
