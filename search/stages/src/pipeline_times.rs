//! Times of the networks of the pipeline other than the denoiser.

use serde::Serialize;
use tnas_graph::Graph;
use tnas_latency::MeasurementKind;
use tnas_space::{Genome, Genotype};

use crate::{
    latency::Predictor, measuring::Subjects, pipeline_parts, profile::target_profile, workbench::Workbench,
};

/// What a whole clip takes on the target device besides the calls of its denoiser, and how many of those there are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PipelineTimes {
    /// Milliseconds of the text encoder, for one caption.
    pub text_encoder_ms: f64,
    /// Milliseconds of the autoencoder's decoder, for all frames of a clip; 0 for a study of pixels.
    pub decoder_ms: f64,
    /// Calls of the denoiser: the steps of the study's few-step student.
    pub steps: usize,
    /// Whether the profile has both measured. Else their times are counted: multiply-accumulates at the speed of the image model.
    pub measured: bool,
}

impl PipelineTimes {
    /// Those of a study whose objectives or limits ask for them.
    pub fn of(bench: &Workbench) -> anyhow::Result<Option<Self>> {
        if !pipeline_parts::are_asked_for(bench) {
            return Ok(None);
        }
        let subjects = Subjects::open(bench)?;
        let (profile, target) = (target_profile(bench)?, Predictor::read(bench)?);
        let speed = MacsSpeed::of_image_model(&subjects, &target)?;
        let mut times = Self {
            text_encoder_ms: 0.0,
            decoder_ms: 0.0,
            steps: bench.study.distill.student_steps,
            measured: true,
        };
        for part in pipeline_parts::parts(bench, &subjects)? {
            let measured = profile.part_ms(part.kind, &part.id);
            times.measured &= measured.is_some();
            let ms = part.calls as f64 * measured.unwrap_or_else(|| speed.ms_of(&part.graph));
            match part.kind {
                MeasurementKind::TextEncoder => times.text_encoder_ms = ms,
                MeasurementKind::Decoder => times.decoder_ms = ms,
                MeasurementKind::Whole | MeasurementKind::Block => {}
            }
        }
        Ok(Some(times))
    }

    /// Milliseconds of a whole clip: text encoder, the denoiser's steps, decoder.
    pub fn clip_ms(&self, denoiser_ms: f64) -> f64 {
        self.text_encoder_ms + self.steps as f64 * denoiser_ms + self.decoder_ms
    }
}

/// How fast the target device does counted work.
struct MacsSpeed {
    ms_per_mac: f64,
}

impl MacsSpeed {
    fn of_image_model(subjects: &Subjects, target: &Predictor) -> anyhow::Result<Self> {
        let graph = subjects.graph(&Genotype::none())?;
        let none: Genome = vec![0; subjects.space.slots().len()];
        let macs = tnas_graph::cost(&graph).macs as f64;
        Ok(Self { ms_per_mac: target.latency_ms(&none, &graph) / macs })
    }

    fn ms_of(&self, graph: &Graph) -> f64 {
        self.ms_per_mac * tnas_graph::cost(graph).macs as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_its_caption_its_steps_and_its_frames() {
        let times = PipelineTimes { text_encoder_ms: 3.0, decoder_ms: 10.0, steps: 4, measured: true };
        assert_eq!(times.clip_ms(20.0), 93.0);
    }
}
