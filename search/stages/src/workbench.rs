//! Data, device and models that stages open.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::Context;
use tnas_clips::{CaptionTokenizer, Clip, ClipSet, Memory};
use tnas_models::{Backbone, DenoiserShape, TextEncoder};
use tnas_network::{Device, Parameters, open_device, side_by_side};
use tnas_space::SearchSpace;
use tnas_study::SettingsSource;
use tnas_training::{CaptionTokens, LatentSource, Loading, TextFeatures, frames_first};

use crate::{
    dataset::{self, Dataset},
    progress::Bar,
    run::Run,
    settings::Study,
};
use tnas_pipeline::{
    codec::{Codec, LatentStatistics},
    genotype_file,
    latents::{ClipLatents, denormalise, is_latent, latent_file, normalise, write_latent},
    model_folder::{self, Pipeline},
    text_cache,
};

/// What the stages have in common: settings, device and places; clips where they are asked for.
pub struct Workbench {
    /// The question.
    pub study: Study,
    /// Where each of its settings was written, for errors about them.
    pub source: SettingsSource,
    /// The run directory.
    pub run: Run,
    /// Where tensors live.
    pub device: Device,
    /// Opened by the first stage that asks for them.
    clips: OnceLock<Clips>,
    /// Folder of latents and text features.
    pub cache: PathBuf,
    memory: Memory,
    /// Kind of the device: others make other bits.
    device_kind: String,
    /// Pixels to latents, where the study names one.
    pub codec: Option<Codec>,
}

/// The study's clips.
pub struct Clips {
    /// Real clips to learn from.
    pub train: ClipSet,
    /// Real clips to validate on.
    pub validation: ClipSet,
    /// Hash of the clips as they are read, and of the autoencoder: what every stage that sees them depends on.
    pub key: String,
    /// Every distinct caption and the empty one, sorted: that one is first ([`tnas_training::EMPTY_CAPTION`]).
    pub captions: Vec<String>,
}

/// Clips as the denoiser sees them, with the normalisation that made them.
pub struct Latents {
    /// To learn from.
    pub train: ClipLatents,
    /// To validate on.
    pub validation: ClipLatents,
    /// Per channel mean and deviation that were taken out; empty where none were.
    pub statistics: Vec<(f32, f32)>,
}

/// The image model with frozen text features.
pub struct ImageModel {
    /// Configs and tokenizer.
    pub pipeline: Pipeline,
    /// UNet weights.
    pub unet: Parameters,
    /// Text encoder weights.
    pub text: Parameters,
    /// Features of every caption.
    pub features: TextFeatures,
}

impl Workbench {
    /// Opens device and autoencoder; `runs` is the folder of all runs.
    pub fn open(study: Study, source: SettingsSource, run: Run, device: &str, runs: &Path) -> anyhow::Result<Self> {
        let device_kind = if device.starts_with("cuda:") { "cuda" } else { device }.replace(':', "-");
        let device = open_device(device)?;
        let cache = study.loading.cache.clone().unwrap_or_else(|| runs.join("cache"));
        let memory = Memory::new(study.loading.memory_mib << 20);
        let codec = study.autoencoder.as_ref().map(|settings| Codec::read(&settings.path, &device)).transpose()?;
        if let Some(codec) = &codec {
            codec.check_size("data.size", study.data.size)?;
        }
        Ok(Self { study, source, run, device, clips: OnceLock::new(), cache, memory, device_kind, codec })
    }

    /// The study's clips, found and checked when they are first asked for.
    pub fn clips(&self) -> anyhow::Result<&Clips> {
        if let Some(clips) = self.clips.get() {
            return Ok(clips);
        }
        let (study, cache) = (&self.study, &self.cache);
        let Dataset { train, validation, broken } = Dataset::open(&study.data, study.seed, &self.memory, cache)?;
        self.run.write_record(&broken)?;
        let captions: BTreeSet<&str> = train.captions().chain(validation.captions()).chain([""]).collect();
        let captions = captions.into_iter().map(str::to_owned).collect();
        // What a setting of the data changes is in the contents; where they lie changes nothing.
        let contents = (train.content_hash()?, validation.content_hash()?);
        let key = self.run.key(&(contents, self.codec.as_ref().map(|codec| &codec.key)))?;
        Ok(self.clips.get_or_init(|| Clips { train, validation, key, captions }))
    }

    /// Clips that nothing is trained on, `count` where they are without end.
    pub fn held_out(&self, count: usize) -> anyhow::Result<Vec<ClipSet>> {
        dataset::held_out(
            &self.study.data,
            self.study.seed,
            &self.clips()?.validation,
            count,
            &self.memory,
            &self.cache,
        )
    }

    /// Indices of captions among those of the study, whose text features are known; an error names one that is not there.
    pub fn caption_indices<'a>(&self, captions: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Vec<usize>> {
        caption_indices(&self.clips()?.captions, captions)
    }

    /// Encoded clips, kept in the cache; normalised per channel where the backbone is trained on them or was.
    pub fn latents(&self) -> anyhow::Result<Latents> {
        let Some(codec) = &self.codec else {
            let set = |clips: &ClipSet| {
                let captions = self.caption_indices(clips.captions())?;
                let loading = Loading::from(&self.study.loading);
                anyhow::Ok(ClipLatents::of_pixels(clips.clone(), captions, loading))
            };
            let (train, validation) = (set(&self.clips()?.train)?, set(&self.clips()?.validation)?);
            return Ok(Latents { train, validation, statistics: Vec::new() });
        };
        let train = self.encoded(codec, "train", &self.clips()?.train)?;
        let validation = self.encoded(codec, "validation", &self.clips()?.validation)?;
        let statistics = if self.study.backbone.train {
            train.channel_statistics()?
        } else {
            LatentStatistics::read(&self.run.backbone())?.mean_and_deviation
        };
        anyhow::ensure!(
            statistics.is_empty() || statistics.len() == train.shape()[0],
            "failed to use the backbone: its latents have {} channels, the autoencoder's {}",
            statistics.len(),
            train.shape()[0]
        );
        let (train, validation) = (train.normalised(&statistics), validation.normalised(&statistics));
        Ok(Latents { train, validation, statistics })
    }

    /// Shape of one clip for the denoiser: channels, frames, rows, columns.
    pub fn clip_shape(&self) -> [usize; 4] {
        self.shape_of(self.study.data.frames, self.study.data.size)
    }

    /// The same for another number of frames, and of rows and columns of pixels.
    pub fn shape_of(&self, frames: usize, size: usize) -> [usize; 4] {
        match &self.codec {
            None => [3, frames, size, size],
            Some(codec) => {
                let layout = codec.autoencoder.layout();
                [layout.channels, frames, size / layout.down, size / layout.down]
            }
        }
    }

    /// Shape of a denoiser call on whole clips.
    pub fn denoiser_shape(&self, batch: usize, tokens: usize) -> DenoiserShape {
        let [_, frames, height, width] = self.clip_shape();
        DenoiserShape { batch, frames, height, width, tokens }
    }

    /// Turns a clip of pixels into what the denoiser sees; `shape` is that of a clip there, of any number of frames.
    pub fn latent_of(&self, clip: &Clip, shape: [usize; 4], statistics: &[(f32, f32)]) -> anyhow::Result<Vec<f32>> {
        let [channels, _, height, width] = shape;
        let Some(codec) = &self.codec else {
            return Ok(frames_first(&clip.pixels, clip.frames, channels, height * width));
        };
        let mut latent = codec.encode(clip)?;
        normalise(&mut latent, [channels, clip.frames, height, width], statistics);
        Ok(latent)
    }

    /// Turns a denoised clip of `shape` into pixels.
    pub fn to_clip(
        &self,
        data: &[f32],
        shape: [usize; 4],
        statistics: &[(f32, f32)],
        like: Option<&Clip>,
    ) -> anyhow::Result<Clip> {
        let [channels, frames, height, width] = shape;
        let (pixels, up) = match &self.codec {
            None => (frames_first(data, channels, frames, height * width), 1),
            Some(codec) => {
                let mut latent = data.to_vec();
                denormalise(&mut latent, shape, statistics);
                let latent = frames_first(&latent, channels, frames, height * width);
                (codec.decode(&latent, frames, height, width)?, codec.autoencoder.layout().up)
            }
        };
        let pixels = pixels.into_iter().map(|x| x.clamp(-1.0, 1.0)).collect();
        let mut clip = Clip::new(frames, up * height, up * width, pixels)?;
        if let Some(like) = like {
            clip.caption = like.caption.clone();
            clip.labels = like.labels.clone();
        }
        Ok(clip)
    }

    /// Some of the real clips as the evaluator meets them: through the autoencoder where there is one, for sampled clips
    /// come through it too and its traces are no fault of theirs. `latents` are those of the clips.
    pub fn seen_by_evaluator(
        &self,
        latents: &ClipLatents,
        statistics: &[(f32, f32)],
        clips: &ClipSet,
        indices: impl IntoIterator<Item = usize>,
    ) -> anyhow::Result<Vec<Clip>> {
        if self.codec.is_none() {
            return Ok(clips.clips(indices)?);
        }
        self.each("decode clips", indices.into_iter().collect(), |index| {
            let mut clip = self.to_clip(&latents.clip(index)?, latents.shape(), statistics, None)?;
            (clip.caption, clip.labels) = clips.describe(index)?;
            Ok(clip)
        })
    }

    /// Real clips through the autoencoder, where there is one: for clips whose latents are not kept.
    pub fn through_codec(&self, clips: &[Clip]) -> anyhow::Result<Vec<Clip>> {
        let Some(codec) = &self.codec else { return Ok(clips.to_vec()) };
        let [channels, _, height, width] = self.clip_shape();
        self.each("decode clips", clips.iter().collect(), |clip| {
            let latent = frames_first(&codec.encode(clip)?, channels, clip.frames, height * width);
            let pixels = codec.decode(&latent, clip.frames, height, width)?;
            Ok(Clip { pixels: pixels.into_iter().map(|x| x.clamp(-1.0, 1.0)).collect(), ..clip.clone() })
        })
    }

    /// Does independent things side by side behind a progress bar.
    fn each<J: Send, R: Send>(
        &self,
        name: &str,
        jobs: Vec<J>,
        work: impl Fn(J) -> anyhow::Result<R> + Sync,
    ) -> anyhow::Result<Vec<R>> {
        let bar = Mutex::new((0, Bar::new(name, jobs.len() as u64)));
        side_by_side(&self.device, jobs, |job| {
            let result = work(job)?;
            let (done, bar) = &mut *bar.lock().unwrap_or_else(PoisonError::into_inner);
            *done += 1;
            bar.set(*done, String::new());
            Ok(result)
        })
    }

    /// An error where a model was trained on other noise than this study's; `again` trains it anew.
    pub fn check_noise(&self, folder: &Path, again: &str) -> anyhow::Result<()> {
        let (own, asked) = (genotype_file::shared_noise(folder)?, self.study.noise.shared);
        anyhow::ensure!(
            (own - asked).abs() < 1e-6,
            "failed to use {}: it was trained on noise of which frames share {own}, and noise.shared = {asked}; set noise.shared \
             = {own}, or train anew: {again}",
            folder.display()
        );
        Ok(())
    }

    /// The run's image model, with the noise that this study's clips have.
    pub fn image_model(&self) -> anyhow::Result<ImageModel> {
        let folder = self.run.backbone();
        let mut pipeline = Pipeline::read(&folder)?;
        if pipeline.backbone.parameterisation.shared_noise() > 0.0 {
            self.check_noise(&folder, "`tnas run` with a backbone that was not")?;
        }
        let process = (*pipeline.backbone.parameterisation).clone().sharing_noise(self.study.noise.shared);
        pipeline.backbone = pipeline.backbone.parameterised(process);
        let unet = model_folder::read_unet(&folder, &self.device)?;
        let text = model_folder::read_text(&folder, &self.device)?;
        self.check_inputs(&pipeline)?;
        let tokens = self.caption_tokens(&pipeline.tokenizer, &pipeline.encoder)?;
        let weights = tnas_study::hash_path(folder.join("text_encoder"))?;
        let key = (weights, pipeline.encoder.layer, &self.device_kind);
        let features = text_cache::features(&self.cache, &key, &pipeline.encoder, &text, &tokens)?;
        Ok(ImageModel { pipeline, unet, text, features })
    }

    /// Every caption as ids; words that the tokenizer does not know are an error.
    pub fn caption_tokens(
        &self,
        tokenizer: &CaptionTokenizer,
        encoder: &TextEncoder,
    ) -> anyhow::Result<CaptionTokens> {
        self.tokens_of(tokenizer, encoder, &self.clips()?.captions)
    }

    /// The same for other captions.
    pub fn tokens_of(
        &self,
        tokenizer: &CaptionTokenizer,
        encoder: &TextEncoder,
        captions: &[String],
    ) -> anyhow::Result<CaptionTokens> {
        for caption in captions {
            let unknown = tokenizer.unknown_words(caption);
            anyhow::ensure!(
                unknown.is_empty(),
                "failed to read caption {caption:?}: the backbone's tokenizer does not know {}; train a backbone on these \
                 captions with --set backbone.train=true",
                unknown.join(", ")
            );
        }
        let length = tokenizer.max_length().min(encoder.config.max_position_embeddings);
        Ok(CaptionTokens::new(tokenizer, encoder, captions, length)?)
    }

    /// The study's search space over a backbone.
    pub fn space(&self, backbone: &Backbone) -> anyhow::Result<SearchSpace> {
        tnas_pipeline::space_file::read_space(&self.study.space, backbone)
    }

    /// An error where a study cannot feed the backbone.
    pub fn check_inputs(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let [channels, ..] = self.clip_shape();
        let config = &pipeline.backbone.config;
        let width = pipeline.encoder.config.hidden_size;
        anyhow::ensure!(
            config.context.is_some(),
            "failed to use the backbone: it takes no text, and a study's clips are asked for by captions; use a \
             UNet2DConditionModel"
        );
        let extra = config.extra_inputs();
        anyhow::ensure!(
            extra.is_empty(),
            "failed to use the backbone: it asks for {}, which a study does not have: it has captions alone",
            extra.join(", ")
        );
        anyhow::ensure!(
            config.text_width() == width,
            "failed to use the backbone: its UNet reads text features of {} channels, its text encoder makes {width}",
            config.text_width()
        );
        anyhow::ensure!(
            config.in_channels == channels && config.out_channels == channels,
            "failed to use the backbone: it takes {} channels and makes {}, the data has {channels}{}",
            config.in_channels,
            config.out_channels,
            if self.codec.is_some() { " (latents)" } else { " (pixels: no autoencoder is set)" }
        );
        Ok(())
    }

    /// The clips' latents: those that the cache lacks are encoded now, each written as soon as it is there.
    fn encoded(&self, codec: &Codec, split: &str, clips: &ClipSet) -> anyhow::Result<ClipLatents> {
        let shape = self.clip_shape();
        let file = |index| Ok(latent_file(&self.cache, &codec.key, &self.device_kind, &clips.key(index)?));
        let files: Vec<PathBuf> = (0..clips.len()).map(file).collect::<anyhow::Result<_>>()?;
        let missing: Vec<usize> = (0..files.len()).filter(|&index| !is_latent(&files[index], shape)).collect();
        if !missing.is_empty() {
            self.each(&format!("encode {split}"), missing, |index| {
                write_latent(&files[index], shape, &codec.encode(&clips.make(index)?)?)
            })?;
        }
        let (captions, loading) = (self.caption_indices(clips.captions())?, Loading::from(&self.study.loading));
        Ok(ClipLatents::of_files(files, shape, captions, &self.memory, loading))
    }
}

/// Index of each caption among sorted known ones; one that is not there is an error, never the empty caption.
pub(crate) fn caption_indices<'a>(
    known: &[String],
    captions: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<Vec<usize>> {
    let index = |caption: &str| {
        let found = known.binary_search_by(|known| known.as_str().cmp(caption)).ok();
        found.with_context(|| {
            let near = tnas_study::nearest(caption, known.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!(", did you mean {near:?}?"));
            format!(
                "failed to find the text features of caption {caption:?}: it is none of the {} captions that were encoded{near}",
                known.len()
            )
        })
    };
    captions.into_iter().map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_caption_is_an_error_and_not_the_empty_one() {
        let known = ["", "a red square moves left", "a red square moves right"].map(str::to_owned);
        assert_eq!(caption_indices(&known, ["a red square moves right", ""]).expect("known"), [2, 0]);
        let error = caption_indices(&known, ["", "a red square moves rihgt"]).expect_err("unknown").to_string();
        assert!(error.contains("\"a red square moves rihgt\""), "{error}");
        assert!(error.contains("did you mean \"a red square moves right\"?"), "{error}");
        assert!(caption_indices(&[], [""]).is_err());
    }
}
