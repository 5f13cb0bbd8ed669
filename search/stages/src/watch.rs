//! Training loops on a progress bar, in the run's logs and in TensorBoard.

use std::time::Instant;

use tnas_network::Parameters;
use tnas_record::LoadingTimes;
use tnas_study::{EventLog, MetricsLog};
use tnas_training::{LoadTimes, Observer};

use crate::{
    failure::chain,
    previews::Previews,
    progress::{Bar, interrupted},
    recorded,
    run::Run,
};

/// Shows a training loop's figures and records them: on a bar, in the run's logs, and as TensorBoard's events.
pub struct Watch<'a> {
    run: &'a Run,
    bar: Option<Bar>,
    metrics: MetricsLog,
    /// What differs from run to run has a log of its own.
    times: MetricsLog,
    events: Option<EventLog>,
    loading: LoadTimes,
    smooth: f64,
    figure: &'static str,
    /// Clips a step.
    batch: usize,
    /// When the process began the loop, and at which step.
    begun: Option<(Instant, u64)>,
    previews: Option<Previews<'a>>,
}

impl<'a> Watch<'a> {
    /// Shows this figure on the bar, and records all in the run's logs.
    pub fn open(run: &'a Run, figure: &'static str, batch: usize) -> anyhow::Result<Self> {
        let (metrics, times) = (run.metrics()?, run.times()?);
        Ok(Self {
            run,
            bar: None,
            metrics,
            times,
            events: None,
            loading: LoadTimes::default(),
            smooth: f64::NAN,
            figure,
            batch,
            begun: None,
            previews: None,
        })
    }

    /// Samples clips of the network while it trains.
    pub fn previewing(self, previews: Previews<'a>) -> Self {
        Self { previews: Some(previews), ..self }
    }

    /// Times of loading since the process began the loop, which are printed too.
    pub fn loading(&self) -> LoadingTimes {
        if let (Some(bar), LoadTimes { batches: 1.., .. }) = (&self.bar, self.loading) {
            let (percent, seconds) = (100.0 * self.loading.waited_fraction(), self.loading.elapsed.as_secs_f64());
            eprintln!("{:>16} waited for clips {percent:.1} % of {seconds:.1} s", bar.stage);
        }
        recorded::loading(self.loading)
    }

    /// Clips a second since the process began the loop.
    fn clips_per_second(&self, step: u64) -> f64 {
        let Some((begun, first)) = self.begun else { return 0.0 };
        (step.saturating_sub(first) * self.batch as u64) as f64 / begun.elapsed().as_secs_f64().max(1e-9)
    }

    fn draw_sheet(&mut self, stage: &str, step: u64, weights: &Parameters) -> anyhow::Result<()> {
        let Some(previews) = &self.previews else { return Ok(()) };
        let (sheet, size) = previews.sheet(weights)?;
        self.run.write(&format!("{}/{step:06}.png", sheets(stage)), &sheet)?;
        if let Some(events) = &mut self.events {
            events.image(step, "samples", size, &sheet)?;
        }
        Ok(())
    }

    /// Sheets beyond a step will be drawn again.
    fn forget_sheets(&self, stage: &str, step: u64) {
        let Ok(files) = std::fs::read_dir(self.run.path(&sheets(stage))) else { return };
        for path in files.flatten().map(|file| file.path()) {
            let of = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
            if of.is_some_and(|of| of > step) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Folder of a stage's sheets.
fn sheets(stage: &str) -> String {
    format!("samples/during/{stage}")
}

/// What the figure of a bar's gradient is called.
const GRADIENT_NORM: &str = "gradient_norm";

impl Observer for Watch<'_> {
    fn step(&mut self, stage: &str, step: u64, steps: u64, figures: &[(&'static str, f64)]) {
        let find = |wanted: &str| figures.iter().find(|(name, _)| *name == wanted).map(|&(_, value)| value);
        if let Some(value) = find(self.figure) {
            self.smooth = if self.smooth.is_nan() { value } else { 0.95 * self.smooth + 0.05 * value };
        }
        let gradient = find(GRADIENT_NORM).map_or(String::new(), |norm| format!(" |g| {norm:.3}"));
        let message =
            format!("{} {:.4}{gradient} {:.1} clips/s", self.figure, self.smooth, self.clips_per_second(step));
        self.bar.get_or_insert_with(|| Bar::new(stage, steps)).set(step, message);
        // A full disk is not worth losing a run over; the next checkpoint will say so.
        let _ = self.metrics.append(stage, step, figures.iter().copied());
        if let Some(events) = &mut self.events {
            let _ = events.scalars(step, figures.iter().copied());
        }
    }

    fn before_checkpoint(&mut self) {
        let _ = self.metrics.sync();
    }

    fn resumed(&mut self, stage: &str, step: u64) {
        let _ = self.metrics.truncate_after(stage, step);
        let _ = self.times.truncate_after(stage, step);
        self.events = EventLog::open(self.run.path(&format!("tensorboard/{stage}")), step).ok();
        self.forget_sheets(stage, step);
        self.begun = Some((Instant::now(), step));
    }

    fn rolled_back(&mut self, stage: &str, step: u64, rate: f64) {
        eprintln!(
            "{stage:>16} step {step}: bad steps in a row; back to the last good weights, learning rate at {rate} of its settings"
        );
    }

    fn loaded(&mut self, stage: &str, step: u64, times: LoadTimes) {
        self.loading = times;
        let (seconds, waited) = (times.elapsed.as_secs_f64(), times.waited.as_secs_f64());
        let values =
            [("seconds", seconds), ("waited_seconds", waited), ("waited_fraction", times.waited_fraction())];
        let _ = self.times.append(stage, step, values);
    }

    fn preview_due(&self, step: u64, steps: u64) -> bool {
        self.previews.as_ref().is_some_and(|previews| previews.due(step, steps))
    }

    fn preview(&mut self, stage: &str, step: u64, weights: &Parameters) {
        if let Err(error) = self.draw_sheet(stage, step, weights) {
            eprintln!("{stage:>16} step {step}: no samples drawn: {}", chain(&error));
        }
    }

    fn interrupted(&self) -> bool {
        interrupted()
    }
}
