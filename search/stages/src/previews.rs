//! Clips sampled while a network trains, as contact sheets.

use tnas_clips::{Clip, SheetSettings, contact_sheet};
use tnas_network::Parameters;
use tnas_schedulers::Sampler;
use tnas_space::Genotype;
use tnas_training::{DistillSettings, GenerateSettings, VideoModel, generate};

use crate::workbench::{ImageModel, Latents, Workbench};

/// What is sampled of a network under training, and how.
pub struct Previews<'a> {
    bench: &'a Workbench,
    model: &'a ImageModel,
    statistics: &'a [(f32, f32)],
    genotype: Genotype,
    how: GenerateSettings,
}

impl<'a> Previews<'a> {
    /// Of a network that takes many steps.
    pub fn new(bench: &'a Workbench, model: &'a ImageModel, latents: &'a Latents, genotype: &Genotype) -> Self {
        let samples = &bench.study.samples;
        let how = GenerateSettings {
            steps: bench.study.watch.steps,
            sampler: Sampler::Euler,
            shift: samples.shift,
            guidance: samples.guidance,
            seed: bench.study.seed,
            batch: samples.batch,
            ..GenerateSettings::default()
        };
        Self { bench, model, statistics: &latents.statistics, genotype: genotype.clone(), how }
    }

    /// Of a student, which takes its own few.
    pub fn of_student(mut self, settings: &DistillSettings) -> Self {
        let (steps, sampler, shift) = (settings.student_steps, Sampler::Renoise, settings.shift);
        self.how = GenerateSettings { steps, sampler, shift, guidance: 1.0, ..self.how };
        self
    }

    /// Whether a preview is due after `step` of `steps`: they are evenly spread, the last at the end.
    pub fn due(&self, step: u64, steps: u64) -> bool {
        let previews = self.bench.study.watch.previews.min(steps);
        (1..=previews).any(|preview| (preview * steps).div_ceil(previews) == step)
    }

    /// A sheet of clips, and its height and width.
    pub fn sheet(&self, weights: &Parameters) -> anyhow::Result<(Vec<u8>, [u32; 2])> {
        let bench = self.bench;
        let count = bench.study.watch.clips.min(bench.clips()?.validation.len());
        let like = bench.clips()?.validation.clips(0..count)?;
        let captions = bench.caption_indices(like.iter().map(|clip| clip.caption.as_str()))?;
        let (backbone, text, shape) = (&self.model.pipeline.backbone, &self.model.features, bench.clip_shape());
        let model = VideoModel { backbone, genotype: &self.genotype, parameters: weights, text };
        let data = generate(&model, &captions, shape, &self.how, |_| {})?;
        let clips: Vec<Clip> = data
            .iter()
            .zip(&like)
            .map(|(data, like)| bench.to_clip(data, shape, self.statistics, Some(like)))
            .collect::<anyhow::Result<_>>()?;
        let settings = SheetSettings { upscale: bench.study.samples.upscale.min(3), ..SheetSettings::default() };
        let sheet = contact_sheet(&clips.iter().collect::<Vec<_>>(), &settings)?;
        let size = png_size(&sheet);
        Ok((sheet, size))
    }
}

/// Height and width of a PNG: bytes 16 to 24 are its width and height.
fn png_size(png: &[u8]) -> [u32; 2] {
    let read =
        |at: usize| png.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    [read(20), read(16)]
}
