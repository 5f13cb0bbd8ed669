use tnas_network::Parameters;

use crate::LoadTimes;

/// Receives what a training loop reports, and may stop it.
pub trait Observer {
    /// After each step: `step` of `steps` done, with named figures. The same for a resumed run.
    fn step(&mut self, stage: &str, step: u64, steps: u64, figures: &[(&'static str, f64)]);

    /// A loop begins or resumes after this step: figures of later steps are reported again.
    fn resumed(&mut self, stage: &str, step: u64) {
        let _ = (stage, step);
    }

    /// The state went back to the last snapshot; the learning rate is now `rate` times that of the settings.
    fn rolled_back(&mut self, stage: &str, step: u64, rate: f64) {
        let _ = (stage, step, rate);
    }

    /// A checkpoint is about to be written: figures up to here must be on the disk before it.
    fn before_checkpoint(&mut self) {}

    /// Time spent waiting for batches so far; differs between runs.
    fn loaded(&mut self, stage: &str, step: u64, times: LoadTimes) {
        let _ = (stage, step, times);
    }

    /// Whether a preview is due after `step` of `steps`.
    fn preview_due(&self, step: u64, steps: u64) -> bool {
        let _ = (step, steps);
        false
    }

    /// The averaged weights after a step, to sample from; training does not depend on it.
    fn preview(&mut self, stage: &str, step: u64, weights: &Parameters) {
        let _ = (stage, step, weights);
    }

    /// Whether the user asked to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}
}
