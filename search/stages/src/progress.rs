//! Progress bars and interruption.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The user asked to stop; what was done is kept.
#[derive(Debug)]
pub struct Interrupted {
    /// Stage that was running.
    pub stage: String,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to finish {}: interrupted; run the same command again to go on", self.stage)
    }
}

impl std::error::Error for Interrupted {}

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

/// One progress bar per stage, on stderr, where that is a terminal; otherwise a line per tenth.
pub struct Bar {
    bar: ProgressBar,
    /// Stage whose units it counts.
    pub stage: String,
    total: u64,
    terminal: bool,
    /// Tenths that were printed.
    printed: u64,
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
        Self { bar, stage: stage.into(), total, terminal, printed: 0 }
    }

    /// Moves to a position, with the figure that matters.
    pub fn set(&mut self, position: u64, message: String) {
        self.bar.set_position(position);
        let tenth = (position * 10).checked_div(self.total).unwrap_or(10);
        if !self.terminal && tenth > self.printed {
            self.printed = tenth;
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
