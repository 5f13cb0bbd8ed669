//! A trained model as a pipeline folder in diffusers layout.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::Context;
use tnas_clips::CaptionTokenizer;
use tnas_graph::{Graph, WeightError};
use tnas_models::{Backbone, TextEncoder, TextEncoderConfig, TextLayer, UNetConfig};
use tnas_network::{Device, Parameters, ParametersError};
use tnas_record::ModelGenotype;
use tnas_schedulers::{Class, Parameterisation, SchedulerConfig};
use tnas_space::Genotype;
use tnas_weights::WeightFiles;

use crate::{
    class_name::ClassName,
    genotype_file::{model_genotype, recorded_text_layer, shared_noise, write_genotype},
};

/// File stem of the weights of diffusers' models.
pub const DIFFUSERS_STEM: &str = "diffusion_pytorch_model";

/// File stem of the weights of transformers' models.
const TRANSFORMERS_STEM: &str = "model";

/// What the sampler of a pipeline is.
pub const SCHEDULER: &str = "scheduler/scheduler_config.json";

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
    Ok((parameterised(Backbone::new(unet), folder)?, text))
}

/// A backbone with the noise process of its folder's scheduler, a flow where there is none, and with the noise that it was trained on.
pub fn parameterised(backbone: Backbone, folder: &Path) -> anyhow::Result<Backbone> {
    let path = folder.join(SCHEDULER);
    let parameterisation = if path.exists() {
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let config = SchedulerConfig::from_json(&text).and_then(Parameterisation::new);
        config.with_context(|| format!("failed to use {}", path.display()))?
    } else {
        Parameterisation::default()
    };
    Ok(backbone.parameterised(parameterisation.sharing_noise(shared_noise(folder)?)))
}

/// Which layer of its text encoder a pipeline's UNet reads: that of its genotype.json, else that of its kind.
pub fn text_layer(folder: &Path) -> anyhow::Result<TextLayer> {
    if let Some(layer) = recorded_text_layer(folder)? {
        return Ok(layer);
    }
    let path = folder.join("model_index.json");
    let index = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => ClassName::default(),
        read => {
            let text = read.with_context(|| format!("failed to read {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?
        }
    };
    let large = index.class().is_some_and(|kind| kind.starts_with("StableDiffusionXL"));
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
        trained: Trained,
    ) -> anyhow::Result<()> {
        let json = |path: &str, text: String| -> anyhow::Result<()> {
            tnas_weights::write_atomic(folder.join(path), text.as_bytes())
                .with_context(|| format!("failed to write {}", folder.join(path).display()))
        };
        json("unet/config.json", self.backbone.config.to_json())?;
        json("text_encoder/config.json", self.encoder.config.to_json())?;
        fs::create_dir_all(folder.join("tokenizer"))?;
        self.tokenizer.save(folder.join("tokenizer"))?;
        json(SCHEDULER, self.scheduler(trained.shift)?.to_json())?;
        let record = ModelGenotype {
            text_layer: Some(self.encoder.layer.name().into()),
            first_frame: trained.first_frame,
            shared_noise: self.backbone.parameterisation.shared_noise(),
            ..model_genotype(genotype)
        };
        write_genotype(folder, &record)?;
        save_parameters(&folder.join(format!("unet/{DIFFUSERS_STEM}.safetensors")), unet)?;
        save_parameters(&folder.join("text_encoder/model.safetensors"), text)
    }
}

/// How the UNet of a pipeline folder was trained.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trained {
    /// Shift of the times that it is sampled at; the backbone's own where not given.
    pub shift: Option<f32>,
    /// Whether it goes on from a given first frame.
    pub first_frame: bool,
}

/// An error where graphs need weights that are missing or misshapen, or where a weight is read by none of them. `recorded`
/// gives the name of a weight where it comes from.
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
