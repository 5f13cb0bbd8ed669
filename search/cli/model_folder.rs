//! A trained model as a pipeline folder in diffusers layout.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use tnas_clips::Tokenizer;
use tnas_graph::Weights;
use tnas_network::{Device, Parameters};
use tnas_schedulers::{Class, Parameterisation, SchedulerConfig};
use tnas_space::{Backbone, Genotype, TextEncoder, TextEncoderConfig, UNetConfig};
use tnas_weights::{HostTensor, WeightFiles, write_safetensors};

/// File stem of a UNet's weights.
pub const UNET_STEM: &str = "diffusion_pytorch_model";

/// What the sampler of a pipeline is.
pub const SCHEDULER: &str = "scheduler/scheduler_config.json";

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
    Ok((parameterised(Backbone::new(unet), folder)?, text))
}

/// A backbone with what its folder's scheduler says of it; a flow where there is none.
pub fn parameterised(backbone: Backbone, folder: &Path) -> anyhow::Result<Backbone> {
    let path = folder.join(SCHEDULER);
    if !path.exists() {
        return Ok(backbone);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let config = SchedulerConfig::from_json(&text).and_then(Parameterisation::new);
    Ok(backbone.parameterised(config.with_context(|| format!("failed to use {}", path.display()))?))
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

    /// The scheduler by which others sample this model: a flow's with the shift, else the backbone's own.
    fn scheduler(&self, shift: Option<f32>) -> anyhow::Result<SchedulerConfig> {
        let own = self.backbone.parameterisation.config();
        Ok(match shift {
            Some(shift) if own.class() == Class::FlowMatchEuler => own.with("shift", shift)?,
            _ => own.clone(),
        })
    }

    /// Writes configs, tokenizer, scheduler and weights. UNet weights are the denoiser's, text weights the encoder's.
    pub fn write(
        &self,
        folder: &Path,
        unet: &Parameters,
        text: &Parameters,
        genotype: &Genotype,
        shift: Option<f32>,
    ) -> anyhow::Result<()> {
        let json = |path: &str, text: String| -> anyhow::Result<()> {
            tnas_weights::write_atomic(folder.join(path), text.as_bytes())
                .with_context(|| format!("failed to write {}", folder.join(path).display()))
        };
        json("unet/config.json", self.backbone.config.to_json())?;
        json("text_encoder/config.json", self.encoder.config.to_json())?;
        fs::create_dir_all(folder.join("tokenizer"))?;
        self.tokenizer.save(folder.join("tokenizer"))?;
        json(SCHEDULER, self.scheduler(shift)?.to_json())?;
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
    let files = WeightFiles::open(folder, stem)?;
    let mut parameters = Parameters::new(device);
    let names: Vec<String> = files.names().map(str::to_owned).collect();
    for name in names {
        let shape = files.info(&name)?.shape.clone();
        let values = files.f32(&name)?.into_owned();
        parameters.insert_host(name, &shape, values);
    }
    Ok(parameters)
}

/// Weights as one file.
pub fn save_parameters(path: &Path, parameters: &Parameters) -> anyhow::Result<()> {
    let values: BTreeMap<&str, _> =
        parameters.names().map(|name| Ok((name, parameters.values(name)?))).collect::<anyhow::Result<_>>()?;
    let tensor = |(name, parameter): (&str, &tnas_network::Parameter)| {
        (name.to_string(), HostTensor::f32(&parameter.shape, &values[name]))
    };
    let tensors = parameters.iter().map(tensor).collect();
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    write_safetensors(path, &tensors, &metadata)?;
    Ok(())
}
