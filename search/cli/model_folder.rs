//! A trained model as a pipeline folder in diffusers layout.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use tnas_clips::CaptionTokenizer;
use tnas_network::{Device, Parameters};
use tnas_space::{Backbone, Genotype, TextEncoder, TextEncoderConfig, TextLayer, UNetConfig};
use tnas_weights::WeightFiles;

/// File stem of the weights of diffusers' models.
pub const DIFFUSERS_STEM: &str = "diffusion_pytorch_model";

/// File stem of the weights of transformers' models.
const TRANSFORMERS_STEM: &str = "model";

/// What genotype.json calls the layer of the text encoder that the UNet reads.
const TEXT_LAYER: &str = "text_layer";

/// The image half of a pipeline.
pub struct Pipeline {
    /// UNet's geometry.
    pub backbone: Backbone,
    /// Text encoder's geometry.
    pub encoder: TextEncoder,
    /// Captions to ids.
    pub tokenizer: CaptionTokenizer,
}

/// Reads `unet/config.json` and `text_encoder/config.json`.
pub fn read_configs(folder: &Path) -> anyhow::Result<(Backbone, TextEncoderConfig)> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    };
    let unet = UNetConfig::from_json(&read("unet/config.json")?)
        .with_context(|| format!("failed to use {}", folder.join("unet/config.json").display()))?;
    let text = TextEncoderConfig::from_json(&read("text_encoder/config.json")?)
        .with_context(|| format!("failed to use {}", folder.join("text_encoder/config.json").display()))?;
    Ok((Backbone::new(unet), text))
}

/// Which layer of its text encoder a pipeline's UNet reads: what its genotype.json says, else what its kind does.
fn text_layer(folder: &Path) -> anyhow::Result<TextLayer> {
    let read = |name: &str| -> anyhow::Result<Option<Value>> {
        let path = folder.join(name);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_str(&text).map(Some).with_context(|| format!("failed to read {}", path.display()))
    };
    if let Some(layer) = read("genotype.json")?.as_ref().and_then(|genotype| genotype.get(TEXT_LAYER)) {
        return TextLayer::deserialize(layer).with_context(|| {
            format!("failed to use {}: {TEXT_LAYER} = {layer}", folder.join("genotype.json").display())
        });
    }
    let kind = read("model_index.json")?.and_then(|index| Some(index["_class_name"].as_str()?.to_owned()));
    let large = kind.is_some_and(|kind| kind.starts_with("StableDiffusionXL"));
    Ok(if large { TextLayer::Penultimate } else { TextLayer::Last })
}

impl Pipeline {
    /// Reads configs and tokenizer.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let (backbone, text) = read_configs(folder)?;
        let tokenizer = CaptionTokenizer::load(folder.join("tokenizer"))
            .with_context(|| format!("failed to use {}", folder.display()))?;
        anyhow::ensure!(
            tokenizer.vocabulary_size() <= text.vocab_size,
            "failed to use {}: its tokenizer has {} ids, its text encoder {}",
            folder.display(),
            tokenizer.vocabulary_size(),
            text.vocab_size
        );
        let encoder = TextEncoder::new(text).with_layer(text_layer(folder)?);
        Ok(Self { backbone, encoder, tokenizer })
    }

    /// Writes configs, tokenizer, scheduler and weights. UNet weights are the denoiser's, text weights the encoder's.
    pub fn write(
        &self,
        folder: &Path,
        unet: &Parameters,
        text: &Parameters,
        genotype: &Genotype,
        shift: f32,
    ) -> anyhow::Result<()> {
        let json = |path: &str, text: String| -> anyhow::Result<()> {
            tnas_weights::write_atomic(folder.join(path), text.as_bytes())
                .with_context(|| format!("failed to write {}", folder.join(path).display()))
        };
        json("unet/config.json", self.backbone.config.to_json())?;
        json("text_encoder/config.json", self.encoder.config.to_json())?;
        fs::create_dir_all(folder.join("tokenizer"))?;
        self.tokenizer.save(folder.join("tokenizer"))?;
        let scheduler = serde_json::json!({
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            "shift": shift,
        });
        json("scheduler/scheduler_config.json", format!("{scheduler:#}\n"))?;
        let genotype_json = serde_json::json!({
            "format_version": 1,
            "arch_id": genotype.arch_id().to_string(),
            "genotype": genotype.to_string(),
            TEXT_LAYER: self.encoder.layer,
        });
        json("genotype.json", format!("{genotype_json:#}\n"))?;
        save_parameters(&folder.join(format!("unet/{DIFFUSERS_STEM}.safetensors")), unet)?;
        save_parameters(&folder.join("text_encoder/model.safetensors"), text)
    }
}

/// UNet weights of a pipeline folder.
pub fn read_unet(folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
    read_parameters(&folder.join("unet"), DIFFUSERS_STEM, device)
}

/// Text encoder weights of a pipeline folder.
pub fn read_text(folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
    read_text_folder(&folder.join("text_encoder"), device)
}

/// Weights of a text encoder's own folder, under the names that its graphs read.
pub fn read_text_folder(folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
    let files = WeightFiles::open(folder, stem(folder))?;
    Parameters::load_as(&files, device, TextEncoder::weight_name)
        .with_context(|| format!("failed to use {}", folder.display()))
}

/// Stem of a folder's weights: that of diffusers where a file has it, else that of transformers.
pub fn stem(folder: &Path) -> &'static str {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names = names.filter_map(|name| name.into_string().ok());
    let own = |name: String| {
        let rest = name.strip_prefix(DIFFUSERS_STEM);
        rest.is_some_and(|rest| rest.starts_with('.') && rest.contains(".safetensors"))
    };
    if names.any(own) { DIFFUSERS_STEM } else { TRANSFORMERS_STEM }
}

/// All weights of a folder.
pub fn read_parameters(folder: &Path, stem: &str, device: &Device) -> anyhow::Result<Parameters> {
    Ok(Parameters::load(&WeightFiles::open(folder, stem)?, device)?)
}

/// Weights as one file.
pub fn save_parameters(path: &Path, parameters: &Parameters) -> anyhow::Result<()> {
    parameters.save(path, &BTreeMap::from([("format".to_string(), "pt".to_string())]))?;
    Ok(())
}
