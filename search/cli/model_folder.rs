//! A trained model as a pipeline folder in diffusers layout.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use tnas_clips::Tokenizer;
use tnas_network::{Device, Parameters};
use tnas_space::{Backbone, Genotype, TextEncoder, TextEncoderConfig, UNetConfig};
use tnas_weights::WeightFiles;

/// File stem of a UNet's weights.
pub const UNET_STEM: &str = "diffusion_pytorch_model";

/// The image half of a pipeline.
pub struct Pipeline {
    /// UNet's geometry.
    pub backbone: Backbone,
    /// Text encoder's geometry.
    pub encoder: TextEncoder,
    /// Words.
    pub tokenizer: Tokenizer,
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

impl Pipeline {
    /// Reads configs and tokenizer.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let (backbone, text) = read_configs(folder)?;
        let tokenizer = Tokenizer::load(folder.join("tokenizer"))?;
        anyhow::ensure!(
            tokenizer.vocabulary_size() <= text.vocab_size,
            "failed to use {}: its tokenizer has {} words, its text encoder {}",
            folder.display(),
            tokenizer.vocabulary_size(),
            text.vocab_size
        );
        Ok(Self { backbone, encoder: TextEncoder::new(text), tokenizer })
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
        });
        json("genotype.json", format!("{genotype_json:#}\n"))?;
        save_parameters(&folder.join(format!("unet/{UNET_STEM}.safetensors")), unet)?;
        save_parameters(&folder.join("text_encoder/model.safetensors"), text)
    }
}

/// UNet weights of a pipeline folder.
pub fn read_unet(folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
    read_parameters(&folder.join("unet"), UNET_STEM, device)
}

/// Text encoder weights of a pipeline folder.
pub fn read_text(folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
    read_parameters(&folder.join("text_encoder"), "model", device)
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
