use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;
use tnas_clips::{
    CaptionPolicy, CaptionTokenizer, Clip, FolderSettings, ShapeClips, ShapeSettings, Split, VideoFolder,
};
use tnas_network::{Device, Parameters, open_device, side_by_side};
use tnas_space::{Backbone, DenoiserShape, SearchSpace, TextEncoder};
use tnas_training::{CaptionTokens, LatentSet, TextFeatures, frames_first, frames_inner, text_features};
use tnas_weights::{SafeTensors, write_safetensors};

use crate::{
    codec::{Codec, LatentStatistics},
    model_folder::{self, Pipeline},
    progress::Bar,
    run::Run,
    settings::{DataKind, DataSettings, Study},
};

/// What the stages share: data, device and places.
pub struct Workbench {
    /// The question.
    pub study: Study,
    /// The run directory.
    pub run: Run,
    /// Where tensors live.
    pub device: Device,
    /// Real clips to learn from.
    pub train: Vec<Clip>,
    /// Real clips to validate on.
    pub validation: Vec<Clip>,
    /// Every distinct caption and the empty one, sorted: that one is first ([`tnas_training::EMPTY_CAPTION`]).
    pub captions: Vec<String>,
    /// Pixels to latents, where the study names one.
    pub codec: Option<Codec>,
}

/// Clips as the denoiser sees them, with the normalisation that made them.
pub struct Latents {
    /// To learn from.
    pub train: LatentSet,
    /// To validate on.
    pub validation: LatentSet,
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
    /// Loads the data.
    pub fn open(study: Study, run: Run, device: &str) -> anyhow::Result<Self> {
        let device = open_device(device)?;
        let (train, validation) = load_clips(&study.data, study.seed)?;
        let empty = String::new();
        let captions: BTreeSet<&String> =
            train.iter().chain(&validation).map(|clip| &clip.caption).chain([&empty]).collect();
        let captions = captions.into_iter().cloned().collect();
        let codec = study.autoencoder.as_ref().map(|settings| Codec::read(&settings.path, &device)).transpose()?;
        if let Some(codec) = &codec {
            codec.check_size(study.data.size)?;
        }
        Ok(Self { study, run, device, train, validation, captions, codec })
    }

    /// Index of a clip's caption.
    pub fn caption_index(&self, caption: &str) -> usize {
        self.captions.binary_search_by(|known| known.as_str().cmp(caption)).unwrap_or(0)
    }

    /// Encoded clips, cached in the run directory; normalised per channel where the backbone is trained on them or was.
    pub fn latents(&self) -> anyhow::Result<Latents> {
        let Some(codec) = &self.codec else {
            let set = |clips: &[Clip]| self.pixel_set(clips);
            return Ok(Latents {
                train: set(&self.train),
                validation: set(&self.validation),
                statistics: Vec::new(),
            });
        };
        let mut train = self.encoded(codec, "train", &self.train)?;
        let mut validation = self.encoded(codec, "validation", &self.validation)?;
        let statistics = if self.study.backbone.train {
            channel_statistics(&train)
        } else {
            LatentStatistics::read(&self.run.backbone())?.mean_and_deviation
        };
        anyhow::ensure!(
            statistics.is_empty() || statistics.len() == train.shape[0],
            "failed to use the backbone: its latents have {} channels, the autoencoder's {}",
            statistics.len(),
            train.shape[0]
        );
        for set in [&mut train, &mut validation] {
            normalise(set, &statistics);
        }
        Ok(Latents { train, validation, statistics })
    }

    /// Shape of one clip for the denoiser: channels, frames, rows, columns.
    pub fn clip_shape(&self) -> [usize; 4] {
        let (frames, size) = (self.study.data.frames, self.study.data.size);
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

    /// Turns a denoised clip into pixels.
    pub fn to_clip(&self, data: &[f32], statistics: &[(f32, f32)], like: Option<&Clip>) -> anyhow::Result<Clip> {
        let [channels, frames, height, width] = self.clip_shape();
        let size = self.study.data.size;
        let pixels = match &self.codec {
            None => frames_first(data, channels, frames, height * width),
            Some(codec) => {
                let mut latent =
                    LatentSet { shape: self.clip_shape(), clips: vec![data.to_vec()], captions: vec![0] };
                denormalise(&mut latent, statistics);
                codec.decode(
                    &frames_first(&latent.clips[0], channels, frames, height * width),
                    frames,
                    height,
                    width,
                )?
            }
        };
        let pixels = pixels.into_iter().map(|x| x.clamp(-1.0, 1.0)).collect();
        let mut clip = Clip::new(frames, size, size, pixels)?;
        if let Some(like) = like {
            clip.caption = like.caption.clone();
            clip.labels = like.labels.clone();
        }
        Ok(clip)
    }

    /// Real clips as the judge meets them: through the autoencoder where there is one, for sampled clips come through it
    /// too and its traces are no fault of theirs. `latents` are those of the clips.
    pub fn seen_by_judge(
        &self,
        latents: &LatentSet,
        statistics: &[(f32, f32)],
        clips: &[Clip],
    ) -> anyhow::Result<Vec<Clip>> {
        if self.codec.is_none() {
            return Ok(clips.to_vec());
        }
        let pairs = clips.iter().zip(&latents.clips).collect();
        self.each("decode clips", pairs, |(clip, latent)| self.to_clip(latent, statistics, Some(clip)))
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

    /// The run's image model.
    pub fn image_model(&self) -> anyhow::Result<ImageModel> {
        let folder = self.run.backbone();
        let pipeline = Pipeline::read(&folder)?;
        let unet = model_folder::read_unet(&folder, &self.device)?;
        let text = model_folder::read_text(&folder, &self.device)?;
        self.check_inputs(&pipeline)?;
        let tokens = self.caption_tokens(&pipeline.tokenizer, &pipeline.encoder)?;
        let features = text_features(&pipeline.encoder, &text, &tokens)?;
        Ok(ImageModel { pipeline, unet, text, features })
    }

    /// Every caption as ids; words that the tokenizer does not know are an error.
    pub fn caption_tokens(
        &self,
        tokenizer: &CaptionTokenizer,
        encoder: &TextEncoder,
    ) -> anyhow::Result<CaptionTokens> {
        self.tokens_of(tokenizer, encoder, &self.captions)
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
        crate::space::read_space(&self.study.space, backbone)
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

    fn pixel_set(&self, clips: &[Clip]) -> LatentSet {
        LatentSet {
            shape: self.clip_shape(),
            clips: clips.iter().map(frames_inner).collect(),
            captions: clips.iter().map(|clip| self.caption_index(&clip.caption)).collect(),
        }
    }

    fn encoded(&self, codec: &Codec, split: &str, clips: &[Clip]) -> anyhow::Result<LatentSet> {
        let path = self.run.latents(split);
        let shape = self.clip_shape();
        let length: usize = shape.iter().product();
        let captions = clips.iter().map(|clip| self.caption_index(&clip.caption)).collect();
        // Captions are no part of a latent.
        let data = DataSettings { caption: CaptionPolicy::default(), ..self.study.data.clone() };
        let key = self.run.key(&(&data, &self.study.autoencoder, clips.len()))?;
        if path.exists() {
            let file = SafeTensors::open(&path)?;
            if file.metadata().get("key") == Some(&key) {
                let values = file.f32("latents")?;
                let clips = values.chunks(length).map(<[f32]>::to_vec).collect();
                return Ok(LatentSet { shape, clips, captions });
            }
        }
        let encoded = self.each(&format!("encode {split}"), clips.iter().collect(), |clip| codec.encode(clip))?;
        let all = [encoded.len(), shape[0], shape[1], shape[2], shape[3]];
        let values = encoded.concat();
        let tensor = tnas_weights::HostTensor::f32(&all, &values);
        write_safetensors(
            &path,
            &BTreeMap::from([("latents".to_string(), tensor)]),
            &BTreeMap::from([("key".to_string(), key)]),
        )?;
        Ok(LatentSet { shape, clips: encoded, captions })
    }
}

fn load_clips(settings: &DataSettings, seed: u64) -> anyhow::Result<(Vec<Clip>, Vec<Clip>)> {
    match (settings.kind, &settings.path) {
        (DataKind::Videofolder, Some(path)) => Ok((
            folder(settings, path, "train", settings.train_clips)?,
            folder(settings, path, "val", settings.validation_clips)?,
        )),
        _ => Ok((
            shapes(settings, seed, Split::Train, settings.train_clips.unwrap_or(4000))?,
            shapes(settings, seed, Split::Validation, settings.validation_clips.unwrap_or(512))?,
        )),
    }
}

fn shapes(settings: &DataSettings, seed: u64, split: Split, count: usize) -> anyhow::Result<Vec<Clip>> {
    let mut shape_settings =
        ShapeSettings { frames: settings.frames, size: settings.size, seed, split, ..Default::default() };
    if let Some(motions) = &settings.motions {
        shape_settings.motions = motions.clone();
    }
    let clips = ShapeClips::new(shape_settings)?;
    Ok((0..count).into_par_iter().map(|index| clips.clip(index)).collect())
}

fn folder(settings: &DataSettings, path: &Path, split: &str, count: Option<usize>) -> anyhow::Result<Vec<Clip>> {
    let folder_settings = FolderSettings { caption: settings.caption.clone(), ..FolderSettings::default() };
    let folder = VideoFolder::open_with(path.join(split), folder_settings)?;
    if !folder.broken().is_empty() {
        eprintln!(
            "{}: {} broken files are left out, the first: {}: {}",
            path.join(split).display(),
            folder.broken().len(),
            folder.broken()[0].file_name,
            folder.broken()[0].reason
        );
    }
    let count = count.unwrap_or(folder.len()).min(folder.len());
    let order = folder.order(0);
    Ok(order[..count]
        .par_iter()
        .map(|&index| folder.clip(index, settings.frames, settings.size))
        .collect::<Result<_, _>>()?)
}

/// Mean and deviation of each channel over all clips.
fn channel_statistics(set: &LatentSet) -> Vec<(f32, f32)> {
    let [channels, frames, height, width] = set.shape;
    let plane = frames * height * width;
    let statistic = |channel: usize| {
        let values = set.clips.iter().flat_map(|clip| &clip[channel * plane..(channel + 1) * plane]);
        let (mut sum, mut squares) = (0.0f64, 0.0f64);
        for &x in values {
            sum += f64::from(x);
            squares += f64::from(x) * f64::from(x);
        }
        let count = (set.clips.len() * plane) as f64;
        let mean = sum / count;
        (mean as f32, (squares / count - mean * mean).max(1e-8).sqrt() as f32)
    };
    (0..channels).map(statistic).collect()
}

fn normalise(set: &mut LatentSet, statistics: &[(f32, f32)]) {
    each_channel(set, statistics, |x, mean, deviation| (x - mean) / deviation);
}

fn denormalise(set: &mut LatentSet, statistics: &[(f32, f32)]) {
    each_channel(set, statistics, |x, mean, deviation| x * deviation + mean);
}

fn each_channel(set: &mut LatentSet, statistics: &[(f32, f32)], change: impl Fn(f32, f32, f32) -> f32) {
    let plane: usize = set.shape[1..].iter().product();
    for clip in &mut set.clips {
        for (values, &(mean, deviation)) in clip.chunks_mut(plane).zip(statistics) {
            values.iter_mut().for_each(|x| *x = change(*x, mean, deviation));
        }
    }
}
