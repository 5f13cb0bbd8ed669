use tnas_clips::{CaptionTokenizer, Clip};
use tnas_models::TextEncoder;

use crate::{Loading, TrainError};

/// Index of the empty caption among the text features, for caption dropout and guidance: it sorts before all others.
pub const EMPTY_CAPTION: usize = 0;

/// Clips as the denoiser's samples: latents, or pixels where there is no autoencoder.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentSet {
    /// Channels, frames, rows, columns.
    pub shape: [usize; 4],
    /// Each `[C, F, H, W]`.
    pub clips: Vec<Vec<f32>>,
    /// Index of each clip's caption among the text features.
    pub captions: Vec<usize>,
}

/// Features of each distinct caption by the text encoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextFeatures {
    /// Tokens of a caption, padded.
    pub tokens: usize,
    /// Width of a token's feature.
    pub width: usize,
    /// Per caption `[L, X]`.
    pub context: Vec<Vec<f32>>,
    /// Per caption `[X]`.
    pub pooled: Vec<Vec<f32>>,
}

/// Captions as ids of one length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptionTokens {
    /// Tokens of a caption, padded.
    pub length: usize,
    /// Ids per caption.
    pub ids: Vec<Vec<i64>>,
    /// Index of each caption's end-of-text token, which gives the pooled feature.
    pub ends: Vec<usize>,
}

impl CaptionTokens {
    /// Tokenizes captions for a text encoder, padded to a length.
    pub fn new<S: AsRef<str>>(
        tokenizer: &CaptionTokenizer,
        encoder: &TextEncoder,
        captions: &[S],
        length: usize,
    ) -> Result<Self, TrainError> {
        let encode = |caption: &S| {
            let ids = tokenizer.encode(caption.as_ref(), length);
            ids.map_err(|error| TrainError::Data(error.to_string()))
        };
        let ids: Vec<Vec<i64>> = captions.iter().map(encode).collect::<Result<_, _>>()?;
        Ok(Self { length, ends: ids.iter().map(|ids| encoder.end_of_text(ids)).collect(), ids })
    }

    /// Weights of a caption's tokens in its pooled feature: 1 at the end of text, else 0.
    pub fn pooling(&self, caption: usize) -> impl Iterator<Item = f32> {
        let end = self.ends[caption];
        (0..self.length).map(move |token| if token == end { 1.0 } else { 0.0 })
    }
}

/// A source of clips as the denoiser's samples, in memory or read on demand.
pub trait LatentSource: Sync {
    /// Channels, frames, rows, columns.
    fn shape(&self) -> [usize; 4];

    /// Index of each clip's caption among the text features.
    fn captions(&self) -> &[usize];

    /// Appends a clip, `[C, F, H, W]`.
    fn read(&self, index: usize, into: &mut Vec<f32>) -> Result<(), TrainError>;

    /// How its batches are best prefetched.
    fn loading(&self) -> Loading {
        Loading::default()
    }
}

impl LatentSource for LatentSet {
    fn shape(&self) -> [usize; 4] {
        self.shape
    }

    fn captions(&self) -> &[usize] {
        &self.captions
    }

    fn read(&self, index: usize, into: &mut Vec<f32>) -> Result<(), TrainError> {
        let count = self.clips.len();
        let clip = self.clips.get(index).ok_or_else(|| TrainError::Data(format!("clip {index} of {count}")))?;
        into.extend_from_slice(clip);
        Ok(())
    }
}

impl dyn LatentSource + '_ {
    /// An error where there are no clips, or a clip's caption has no text features.
    pub fn check(&self, captions: usize) -> Result<(), TrainError> {
        if self.captions().is_empty() {
            return Err(TrainError::Data("there are none".into()));
        }
        match self.captions().iter().find(|&&caption| caption >= captions) {
            Some(caption) => Err(TrainError::Data(format!("caption {caption} of {captions}"))),
            None => Ok(()),
        }
    }

    /// The given clips, concatenated: `[B, C, F, H, W]`.
    pub fn gather(&self, indices: &[usize]) -> Result<Vec<f32>, TrainError> {
        let length: usize = self.shape().iter().product();
        let mut data = Vec::with_capacity(indices.len() * length);
        for (count, &index) in (1..).zip(indices) {
            self.read(index, &mut data)?;
            if data.len() != count * length {
                let found = data.len() - (count - 1) * length;
                let message = format!("clip {index} has {found} elements, {:?} expected", self.shape());
                return Err(TrainError::Data(message));
            }
        }
        Ok(data)
    }

    /// A single frame as a clip of one frame, `[C, 1, H, W]`.
    pub fn frame(&self, clip: usize, frame: usize) -> Result<Vec<f32>, TrainError> {
        let [channels, frames, height, width] = self.shape();
        let area = height * width;
        let data = self.gather(&[clip])?;
        let plane = |channel: usize| &data[(channel * frames + frame) * area..][..area];
        Ok((0..channels).flat_map(|channel| plane(channel).iter().copied()).collect())
    }
}

impl LatentSet {
    /// The same clips with frames in another order.
    pub fn with_frame_order(&self, order: &[usize]) -> Self {
        let [channels, frames, height, width] = self.shape;
        let area = height * width;
        let reorder = |clip: &Vec<f32>| -> Vec<f32> {
            let plane = |c: usize, f: usize| &clip[(c * frames + f) * area..][..area];
            (0..channels).flat_map(|c| order.iter().flat_map(move |&f| plane(c, f).iter().copied())).collect()
        };
        Self { shape: self.shape, clips: self.clips.iter().map(reorder).collect(), captions: self.captions.clone() }
    }
}

impl TextFeatures {
    /// Contexts of the given captions, concatenated, `[B, L, X]`.
    pub fn gather_context(&self, captions: &[usize]) -> Vec<f32> {
        captions.iter().flat_map(|&caption| self.context[caption].iter().copied()).collect()
    }

    /// Pooled vectors of the given captions, `[B, X]`.
    pub fn gather_pooled(&self, captions: &[usize]) -> Vec<f32> {
        captions.iter().flat_map(|&caption| self.pooled[caption].iter().copied()).collect()
    }
}

/// A clip's pixels `[F, 3, H, W]` as `[3, F, H, W]`.
pub fn frames_inner(clip: &Clip) -> Vec<f32> {
    swap_leading(&clip.pixels, clip.frames, 3, clip.height * clip.width)
}

/// `[C, F, H, W]` as `[F, C, H, W]`.
pub fn frames_first(data: &[f32], channels: usize, frames: usize, area: usize) -> Vec<f32> {
    swap_leading(data, channels, frames, area)
}

fn swap_leading(data: &[f32], a: usize, b: usize, area: usize) -> Vec<f32> {
    let plane = |i: usize, j: usize| &data[(i * b + j) * area..][..area];
    (0..b).flat_map(|j| (0..a).flat_map(move |i| plane(i, j).iter().copied())).collect()
}
