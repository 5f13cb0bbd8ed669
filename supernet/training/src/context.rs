use tnas_models::Backbone;

use crate::{HeldOut, LatentSource, LoopSettings, Observer, TextFeatures, TrainError};

/// What every trainer of a denoiser needs besides its networks and its settings. `Text` is what the denoiser is conditioned on:
/// fixed features of captions, or the text encoder that is trained with it ([`crate::TrainedText`]).
pub struct TrainingContext<'a, Text = TextFeatures> {
    /// The denoiser: its graphs, and the diffusion process that it was made for.
    pub backbone: &'a Backbone,
    /// Captions.
    pub text: &'a Text,
    /// Clips to train on.
    pub data: &'a dyn LatentSource,
    /// Clips whose loss decides on early stopping and, for the supernet, on distillation.
    pub held_out: Option<&'a HeldOut>,
    /// Seed of every random stream.
    pub seed: u64,
    /// Length, checkpoints and name of the loop.
    pub run: &'a LoopSettings,
    /// Receives figures and previews, and may stop the loop.
    pub observer: &'a mut dyn Observer,
}

impl TrainingContext<'_> {
    /// An error where clips have captions without features, or there are no clips.
    pub fn check(&self) -> Result<(), TrainError> {
        self.data.check(self.text.context.len())
    }
}
