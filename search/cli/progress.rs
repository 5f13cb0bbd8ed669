use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tnas_study::MetricsLog;
use tnas_training::{LoadTimes, Observer};

use crate::run::Run;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// First Ctrl-C: stop at the next checkpoint. Second: stop at once with 130.
pub fn watch_interrupts() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        if SIGNALS.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(130);
        }
    })?;
    Ok(())
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// One progress bar per stage, on stderr and on a terminal only; a line per tenth elsewhere.
pub struct Bar {
    bar: ProgressBar,
    stage: String,
    total: u64,
    terminal: bool,
    said: u64,
}

impl Bar {
    /// A bar for a stage of `total` units.
    pub fn new(stage: &str, total: u64) -> Self {
        let terminal = console_is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = "{prefix:>16} {wide_bar:.cyan/blue} {pos}/{len} {eta_precise} {msg}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(stage.to_string());
        Self { bar, stage: stage.into(), total, terminal, said: 0 }
    }

    /// Moves to a position, with the figure that matters.
    pub fn set(&mut self, position: u64, message: String) {
        self.bar.set_position(position);
        let tenth = (position * 10).checked_div(self.total).unwrap_or(10);
        if !self.terminal && tenth > self.said {
            self.said = tenth;
            eprintln!("{:>16} {position}/{} {message}", self.stage, self.total);
        }
        self.bar.set_message(message);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.abandon();
    }
}

fn console_is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}

/// Shows a training loop's figures and records them.
pub struct Watch {
    bar: Option<Bar>,
    metrics: MetricsLog,
    /// What differs from run to run has a log of its own.
    times: MetricsLog,
    loading: LoadTimes,
    smooth: f64,
    figure: &'static str,
}

impl Watch {
    /// Shows this figure on the bar, and records all in the run's logs.
    pub fn open(run: &Run, figure: &'static str) -> anyhow::Result<Self> {
        let (metrics, times) = (run.metrics()?, run.times()?);
        Ok(Self { bar: None, metrics, times, loading: LoadTimes::default(), smooth: f64::NAN, figure })
    }

    /// Says what loading cost since the process began the loop, and gives it as a stage's figure.
    pub fn loading(&self) -> Value {
        if let (Some(bar), LoadTimes { batches: 1.., .. }) = (&self.bar, self.loading) {
            let (share, seconds) = (100.0 * self.loading.waited_share(), self.loading.elapsed.as_secs_f64());
            eprintln!("{:>16} waited for clips {share:.1} % of {seconds:.1} s", bar.stage);
        }
        json!({
            "batches": self.loading.batches,
            "seconds": self.loading.elapsed.as_secs_f64(),
            "waited_seconds": self.loading.waited.as_secs_f64(),
            "waited_share": self.loading.waited_share(),
        })
    }
}

impl Observer for Watch {
    fn step(&mut self, stage: &str, step: u64, steps: u64, figures: &[(&'static str, f64)]) {
        let bar = self.bar.get_or_insert_with(|| Bar::new(stage, steps));
        if let Some(&(_, value)) = figures.iter().find(|(name, _)| *name == self.figure) {
            self.smooth = if self.smooth.is_nan() { value } else { 0.95 * self.smooth + 0.05 * value };
        }
        bar.set(step, format!("{} {:.4}", self.figure, self.smooth));
        // A full disk is not worth losing a run over; the next checkpoint will say so.
        let _ = self.metrics.append(stage, step, figures.iter().copied());
    }

    fn before_checkpoint(&mut self) {
        let _ = self.metrics.sync();
    }

    fn resumed(&mut self, stage: &str, step: u64) {
        let _ = self.metrics.truncate_after(stage, step);
        let _ = self.times.truncate_after(stage, step);
    }

    fn rolled_back(&mut self, stage: &str, step: u64, rate: f64) {
        eprintln!(
            "{stage:>16} step {step}: bad steps in a row; back to the last good weights, learning rate at {rate} of its settings"
        );
    }

    fn loaded(&mut self, stage: &str, step: u64, times: LoadTimes) {
        self.loading = times;
        let (seconds, waited) = (times.elapsed.as_secs_f64(), times.waited.as_secs_f64());
        let values = [("seconds", seconds), ("waited_seconds", waited), ("waited_share", times.waited_share())];
        let _ = self.times.append(stage, step, values);
    }

    fn interrupted(&self) -> bool {
        interrupted()
    }
}
