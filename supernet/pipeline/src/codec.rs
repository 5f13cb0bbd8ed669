//! An autoencoder with its weights, and how a denoiser's latents are normalised.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tnas_clips::Clip;
use tnas_graph::{Graph, HostTensor};
use tnas_models::Autoencoder;
use tnas_network::{Device, Parameters, Value, execute};
use tnas_training::frames_first;
use tnas_weights::WeightFiles;

use crate::{
    class_name::ClassName,
    model_folder::{save_parameters, stem},
};

/// Folder of an autoencoder in a pipeline.
const VAE: &str = "vae";

/// Pixels to latents and back.
pub struct Codec {
    /// Geometry.
    pub autoencoder: Autoencoder,
    /// Weights.
    pub parameters: Parameters,
    /// Hash of its files and of what was read in them: another autoencoder makes other latents.
    pub key: String,
}

impl Codec {
    /// Reads an autoencoder of diffusers (its folder, the folder of a pipeline with a `vae/`, or its weights next to their
    /// config.json), or the safetensors of a TAESD sequence.
    pub fn read(path: &Path, device: &Device) -> anyhow::Result<Self> {
        Self::open(path, device).with_context(|| format!("failed to use the autoencoder {}", path.display()))
    }

    fn open(path: &Path, device: &Device) -> anyhow::Result<Self> {
        let (folder, files) = place(path)?;
        let parameters = Parameters::load(&files, device)?;
        let autoencoder = match config(&folder, path.is_dir())? {
            Some(autoencoder) => autoencoder,
            None => {
                let diffusers = parameters.names().any(|name| {
                    ["encoder.layers.", "encoder.down_blocks."].iter().any(|front| name.starts_with(front))
                });
                anyhow::ensure!(!diffusers, "its config.json is missing in {}", folder.display());
                let shape = |(name, tensor): (&str, &tnas_network::Parameter)| (name.into(), tensor.shape.clone());
                Autoencoder::from_shapes(parameters.iter().map(shape).collect())?
            }
        };
        let layout = autoencoder.layout();
        anyhow::ensure!(
            layout.image == [3, 3] && layout.down == layout.up,
            "it takes images of {} channels and gives {}, {} and {} times the size of a latent; a study needs 3 and 3, of \
             one size",
            layout.image[0],
            layout.image[1],
            layout.down,
            layout.up
        );
        let graph = autoencoder.round_trip(1, layout.down, layout.down)?;
        parameters.refuse_extra(&[&graph])?;
        parameters.extract(&graph)?;
        let files = tnas_study::hash_path(if path.is_dir() { &folder } else { path })?;
        let key = tnas_study::hash_bytes(format!("{files} {autoencoder:?}").as_bytes());
        Ok(Self { autoencoder, parameters, key })
    }

    /// An error, with the setting's name, where frames of this size have no whole latents.
    pub fn check_size(&self, name: &str, size: usize) -> anyhow::Result<()> {
        let down = self.autoencoder.layout().down;
        anyhow::ensure!(
            size.is_multiple_of(down),
            "failed to use {name} = {size}: the autoencoder halves images down to 1/{down}, so that a multiple of {down} is \
             needed"
        );
        Ok(())
    }

    /// Writes it into a pipeline's folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let folder = folder.join(VAE);
        save_parameters(&folder.join("diffusion_pytorch_model.safetensors"), &self.parameters)?;
        if let Some(config) = self.autoencoder.to_json() {
            tnas_weights::write_atomic(folder.join("config.json"), config.as_bytes())?;
        }
        Ok(())
    }

    /// `[C, F, h, w]` of a clip.
    pub fn encode(&self, clip: &Clip) -> anyhow::Result<Vec<f32>> {
        let graph = self.autoencoder.encoder(clip.frames, clip.height, clip.width)?;
        let latent = self.run(&graph, &[clip.frames, 3, clip.height, clip.width], clip.pixels.clone())?;
        let layout = self.autoencoder.layout();
        let area = latent.len() / (clip.frames * layout.channels);
        // [F, C, h, w] to [C, F, h, w]
        Ok(frames_first(&latent, clip.frames, layout.channels, area))
    }

    /// Pixels `[F, 3, H, W]` of `[F, C, h, w]`.
    pub fn decode(&self, latent: &[f32], frames: usize, height: usize, width: usize) -> anyhow::Result<Vec<f32>> {
        let graph = self.autoencoder.decoder(frames, height, width)?;
        let shape = [frames, self.autoencoder.layout().channels, height, width];
        self.run(&graph, &shape, latent.to_vec())
    }

    fn run(&self, graph: &Graph, shape: &[usize], data: Vec<f32>) -> anyhow::Result<Vec<f32>> {
        let device = self.parameters.device();
        let input = Value::from_host(&HostTensor::f32(shape, data), device);
        Ok(execute(graph, &self.parameters, vec![input], device)?.remove(0).to_vec())
    }
}

/// The folder that may hold the config, and the weights.
fn place(path: &Path) -> anyhow::Result<(PathBuf, WeightFiles)> {
    if !path.is_dir() {
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        return Ok((folder, WeightFiles::open_file(path)?));
    }
    let inner = path.join(VAE);
    let folder = if inner.is_dir() { inner } else { path.to_path_buf() };
    let files = WeightFiles::open(&folder, stem(&folder))?;
    Ok((folder, files))
}

/// The config of an autoencoder's folder. A single file may be next to the config of something else.
fn config(folder: &Path, sure: bool) -> anyhow::Result<Option<Autoencoder>> {
    let path = folder.join("config.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    if !sure && !ClassName::of(&text).class().is_some_and(|class| class.starts_with("Autoencoder")) {
        return Ok(None);
    }
    let read = Autoencoder::from_json(&text);
    read.map(Some).with_context(|| format!("failed to use {}", path.display()))
}

/// What was taken out of latents so that each channel has mean 0 and deviation 1. Nothing for a denoiser that was trained
/// elsewhere: it has the normalisation of its autoencoder's config.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentStatistics {
    format_version: u32,
    /// Per channel.
    pub mean_and_deviation: Vec<(f32, f32)>,
}

impl LatentStatistics {
    const FILE: &str = "vae/latent_statistics.json";

    /// These means and deviations.
    pub fn new(mean_and_deviation: Vec<(f32, f32)>) -> Self {
        Self { format_version: 1, mean_and_deviation }
    }

    /// Those of a pipeline's folder; none where it has none.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(Self::FILE);
        if !path.exists() {
            return Ok(Self::new(Vec::new()));
        }
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let this: Self =
            serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
        let fine = |&(mean, deviation): &(f32, f32)| mean.is_finite() && deviation.is_normal() && deviation > 0.0;
        anyhow::ensure!(
            this.format_version == 1 && this.mean_and_deviation.iter().all(fine),
            "failed to use {}: format version 1 with finite means and deviations above 0 is expected",
            path.display()
        );
        Ok(this)
    }

    /// Writes them into a pipeline's folder, unless there are none.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        if self.mean_and_deviation.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(self)?;
        let path = folder.join(Self::FILE);
        tnas_weights::write_atomic(&path, text.as_bytes())
            .with_context(|| format!("failed to write {}", path.display()))
    }
}
