//! A trained model as a pipeline folder in diffusers layout.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use tnas_clips::CaptionTokenizer;
use tnas_graph::{Graph, WeightError};
use tnas_models::{Backbone, TextEncoder, TextEncoderConfig, TextLayer, UNetConfig};
use tnas_network::{Device, Parameters, ParametersError};
use tnas_schedulers::{Class, Parameterisation, SchedulerConfig};
use tnas_space::Genotype;
use tnas_weights::WeightFiles;

/// File stem of the weights of diffusers' models.
pub const DIFFUSERS_STEM: &str = "diffusion_pytorch_model";

/// File stem of the weights of transformers' models.
const TRANSFORMERS_STEM: &str = "model";

/// What stands in the slots of a folder's UNet.
const GENOTYPE: &str = "genotype.json";

/// What it calls the layer of the text encoder that the UNet reads.
const TEXT_LAYER: &str = "text_layer";

/// What it calls that its UNet was trained to go on from a given first frame.
const FIRST_FRAME: &str = "first_frame";

/// What it calls the fraction of the noise's variance that the frames of its clips have in common.
const SHARED_NOISE: &str = "shared_noise";

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

/// A backbone with what its folder's scheduler says of it, a flow where there is none, and with the noise that it was trained on.
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

/// Fraction of the noise's variance that frames of a clip have in common, as a folder's genotype.json says; 0 where it does not.
pub fn shared_noise(folder: &Path) -> anyhow::Result<f64> {
    let Some(share) = read_json(&folder.join(GENOTYPE))?.and_then(|json| json.get(SHARED_NOISE).cloned()) else {
        return Ok(0.0);
    };
    let number = share.as_f64().filter(|share| (0.0..=1.0).contains(share));
    number.with_context(|| {
        format!("failed to use {}: {SHARED_NOISE} = {share} must be of 0 to 1", folder.join(GENOTYPE).display())
    })
}

/// A file's JSON; none where there is no file.
fn read_json(path: &Path) -> anyhow::Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("failed to read {}", path.display()))
}

/// Which layer of its text encoder a pipeline's UNet reads: what its genotype.json says, else what its kind does.
pub fn text_layer(folder: &Path) -> anyhow::Result<TextLayer> {
    if let Some(layer) = read_json(&folder.join(GENOTYPE))?.as_ref().and_then(|genotype| genotype.get(TEXT_LAYER)) {
        return TextLayer::deserialize(layer)
            .with_context(|| format!("failed to use {}: {TEXT_LAYER} = {layer}", folder.join(GENOTYPE).display()));
    }
    let kind = read_json(&folder.join("model_index.json"))?
        .and_then(|index| Some(index["_class_name"].as_str()?.to_owned()));
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
        let noise = self.backbone.parameterisation.shared_noise();
        write_genotype(folder, genotype, self.encoder.layer, trained.first_frame, noise)?;
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

/// Writes `genotype.json`.
pub fn write_genotype(
    folder: &Path,
    genotype: &Genotype,
    layer: TextLayer,
    first_frame: bool,
    shared_noise: f64,
) -> anyhow::Result<()> {
    let mut json = serde_json::json!({
        "format_version": 1,
        "arch_id": genotype.arch_id().to_string(),
        "genotype": genotype.to_string(),
        TEXT_LAYER: layer,
    });
    if first_frame {
        json[FIRST_FRAME] = true.into();
    }
    if shared_noise > 0.0 {
        json[SHARED_NOISE] = shared_noise.into();
    }
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

/// Whether a folder's UNet goes on from a given first frame, as its genotype.json says.
pub fn goes_on_from_a_frame(folder: &Path) -> anyhow::Result<bool> {
    let path = folder.join(GENOTYPE);
    let text = fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let json: Value = serde_json::from_slice(&text).with_context(|| format!("failed to use {}", path.display()))?;
    Ok(json[FIRST_FRAME] == true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_says_what_noise_its_model_knows() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(shared_noise(folder.path()).expect("nothing said"), 0.0);
        for share in [0.0, 0.8] {
            write_genotype(folder.path(), &Genotype::none(), TextLayer::Last, false, share).expect("written");
            assert_eq!(shared_noise(folder.path()).expect("a fraction"), share);
        }
        fs::write(folder.path().join(GENOTYPE), r#"{"genotype": "", "shared_noise": 1.5}"#).expect("written");
        let message = format!("{:#}", shared_noise(folder.path()).expect_err("above 1"));
        assert!(message.contains("shared_noise = 1.5") && message.contains(GENOTYPE), "{message}");
    }
}
