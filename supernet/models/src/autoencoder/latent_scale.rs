use tnas_graph::{GraphBuilder, ValueId};

use crate::{ModelError, backbone::options::Options};

/// From an autoencoder's latents z to what a denoiser sees: (z − shift)·gain, one pair for all channels or one each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LatentScale {
    shift: Vec<f32>,
    gain: Vec<f32>,
}

impl Default for LatentScale {
    fn default() -> Self {
        Self { shift: vec![0.0], gain: vec![1.0] }
    }
}

impl LatentScale {
    /// `scaling_factor` with `shift_factor` (Stable Diffusion 3) or with `latents_mean` and `latents_std` (SDXL).
    pub fn read(options: &Options, channels: usize, default: f32) -> Result<Self, ModelError> {
        let scaling: f32 = options.get("scaling_factor")?.unwrap_or(default);
        let shift: f32 = options.get("shift_factor")?.unwrap_or(0.0);
        if !scaling.is_normal() || !shift.is_finite() {
            return Err(options.wrong(format!("scaling_factor = {scaling}, shift_factor = {shift}")));
        }
        let means: Option<Vec<f32>> = options.get("latents_mean")?;
        let deviations: Option<Vec<f32>> = options.get("latents_std")?;
        let (means, deviations) = match (means, deviations) {
            (None, None) => return Ok(Self { shift: vec![shift], gain: vec![scaling] }),
            (Some(means), Some(deviations)) => (means, deviations),
            _ => return Err(options.wrong("latents_mean and latents_std need each other".into())),
        };
        if shift != 0.0 {
            return Err(options.wrong(format!("shift_factor = {shift} beside latents_mean: which one shifts?")));
        }
        let bad = |values: &[f32]| values.len() != channels || !values.iter().all(|x| x.is_finite());
        if bad(&means) || bad(&deviations) || deviations.iter().any(|&x| x <= 0.0) {
            let message = format!("latents_mean = {means:?}, latents_std = {deviations:?} for {channels} channels");
            return Err(options.wrong(message));
        }
        Ok(Self { shift: means, gain: deviations.iter().map(|deviation| scaling / deviation).collect() })
    }

    /// (z − shift)·gain.
    pub fn to_denoiser(&self, g: &mut GraphBuilder, z: ValueId) -> ValueId {
        let offset = self.shift.iter().zip(&self.gain).map(|(shift, gain)| -shift * gain).collect();
        self.channelwise(g, "latent.scale", z, &self.gain, offset)
    }

    /// x/gain + shift.
    pub fn to_decoder(&self, g: &mut GraphBuilder, x: ValueId) -> ValueId {
        let inverse: Vec<f32> = self.gain.iter().map(|gain| 1.0 / gain).collect();
        self.channelwise(g, "latent.unscale", x, &inverse, self.shift.clone())
    }

    fn channelwise(&self, g: &mut GraphBuilder, path: &str, x: ValueId, gain: &[f32], offset: Vec<f32>) -> ValueId {
        if let ([gain], [offset]) = (gain, &offset[..]) {
            return if (*gain, *offset) == (1.0, 0.0) { x } else { g.affine(path, x, *gain, *offset) };
        }
        let shape = [1, gain.len(), 1, 1];
        let gain = g.constant(&format!("{path}.gain"), &shape, gain.to_vec());
        let offset = g.constant(&format!("{path}.offset"), &shape, offset);
        let scaled = g.mul(&format!("{path}.scaled"), x, gain);
        g.add(path, scaled, offset)
    }
}
