//! A trained model as a pipeline folder in diffusers layout.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use tnas_clips::Tokenizer;
use tnas_graph::{Graph, WeightError, Weights};
use tnas_network::{Device, Parameters, ParametersError};
use tnas_space::{Backbone, Genotype, TextEncoder, TextEncoderConfig, UNetConfig};
use tnas_weights::{HostTensor, WeightFiles, write_safetensors};

/// File stem of a UNet's weights.
pub const UNET_STEM: &str = "diffusion_pytorch_model";

/// What stands in the slots of a folder's UNet.
const GENOTYPE: &str = "genotype.json";

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
        write_genotype(folder, genotype)?;
        save_parameters(&folder.join(format!("unet/{UNET_STEM}.safetensors")), unet)?;
        save_parameters(&folder.join("text_encoder/model.safetensors"), text)
    }
}

/// Writes `genotype.json`.
pub fn write_genotype(folder: &Path, genotype: &Genotype) -> anyhow::Result<()> {
    let json = serde_json::json!({
        "format_version": 1,
        "arch_id": genotype.arch_id().to_string(),
        "genotype": genotype.to_string(),
    });
    let path = folder.join(GENOTYPE);
    tnas_weights::write_atomic(&path, format!("{json:#}\n").as_bytes())
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Reads `genotype.json`; a folder without one is an image model.
pub fn read_genotype(folder: &Path) -> anyhow::Result<Genotype> {
    let path = folder.join(GENOTYPE);
    if !path.exists() {
        return Ok(Genotype::none());
    }
    let read = || -> anyhow::Result<Genotype> {
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        Ok(json["genotype"].as_str().context("it has no genotype")?.parse()?)
    };
    read().with_context(|| format!("failed to use {}", path.display()))
}

/// An error where graphs need weights that are missing or misshapen, or where a weight is read by none of them. `recorded`
/// tells what a weight is called where it comes from.
pub fn check_weights(
    weights: &Parameters,
    graphs: &[&Graph],
    recorded: impl Fn(&str) -> String,
) -> anyhow::Result<()> {
    let mut result = weights.refuse_extra(graphs);
    for graph in graphs {
        result = result.and_then(|()| Ok(weights.extract(graph).map(|_| ())?));
    }
    Ok(result.map_err(|error| match error {
        ParametersError::Weight(WeightError::Missing(name)) => WeightError::Missing(recorded(&name)).into(),
        ParametersError::Weight(WeightError::Shape { name, expected, found }) => {
            WeightError::Shape { name: recorded(&name), expected, found }.into()
        }
        ParametersError::Extra { count, first } => ParametersError::Extra { count, first: recorded(&first) },
        other => other,
    })?)
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
