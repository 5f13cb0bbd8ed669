use std::path::{Path, PathBuf};

use tnas_network::Parameters;

use crate::{Checkpoint, LoadTimes, LoopRecord, StabilitySettings, TrainError, Turn};

/// Who watches a training loop, and may stop it.
pub trait Observer {
    /// After each step: `step` of `steps` done, with named figures. The same for a resumed run.
    fn step(&mut self, stage: &str, step: u64, steps: u64, figures: &[(&'static str, f64)]);

    /// A loop begins or goes on after this step: figures of later steps will come again.
    fn resumed(&mut self, stage: &str, step: u64) {
        let _ = (stage, step);
    }

    /// The state went back to the last snapshot; the learning rate is now `rate` of what the settings say.
    fn rolled_back(&mut self, stage: &str, step: u64, rate: f64) {
        let _ = (stage, step, rate);
    }

    /// A checkpoint is about to be written: figures up to here must be on the disk before it.
    fn before_checkpoint(&mut self) {}

    /// What loading the stage's data has cost so far: times, which are others in every run.
    fn loaded(&mut self, stage: &str, step: u64, times: LoadTimes) {
        let _ = (stage, step, times);
    }

    /// Whether a preview is due after `step` of `steps`.
    fn preview_due(&self, step: u64, steps: u64) -> bool {
        let _ = (step, steps);
        false
    }

    /// The weights as they would be shipped after a step: to sample from. Whatever is done with them changes nothing.
    fn preview(&mut self, stage: &str, step: u64, weights: &Parameters) {
        let _ = (stage, step, weights);
    }

    /// Whether the user asked to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}
}

/// How a loop runs.
#[derive(Clone, Debug)]
pub struct LoopSettings {
    /// Stage, for figures and messages.
    pub stage: String,
    /// Steps in all.
    pub steps: u64,
    /// Where the state is kept, if anywhere.
    pub checkpoint: Option<PathBuf>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

impl LoopSettings {
    /// A loop that is not kept on the disk.
    pub fn new(stage: impl Into<String>, steps: u64) -> Self {
        Self { stage: stage.into(), steps, checkpoint: None, checkpoint_every: 100 }
    }
}

/// What a step found.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// Figures by name.
    pub figures: Vec<(&'static str, f64)>,
    /// Whether it was used; a bad step changes nothing.
    pub good: bool,
    /// Loss on held-out clips, where it was due.
    pub held_out: Option<f64>,
}

impl StepOutcome {
    /// A step without a look at held-out clips.
    pub fn new(figures: Vec<(&'static str, f64)>, good: bool) -> Self {
        Self { figures, good, held_out: None }
    }
}

/// Runs `step` until all are done: resumes from the checkpoint where there is one, writes it every so often, at an
/// interruption, where a step's clips cannot be loaded, and at the end. Bad steps are treated as `stability` says. A step
/// loads its clips before it changes anything.
pub fn train_loop<S: Checkpoint + Clone>(
    settings: &LoopSettings,
    stability: &StabilitySettings,
    state: &mut S,
    observer: &mut dyn Observer,
    mut step: impl FnMut(&mut S, &mut Turn) -> Result<StepOutcome, TrainError>,
) -> Result<(), TrainError> {
    let LoopSettings { stage, steps, checkpoint, checkpoint_every } = settings;
    let mut snapshot = Snapshot::new(checkpoint.as_deref(), state);
    let mut record = LoopRecord::default();
    if let Some(path) = checkpoint
        && path.exists()
    {
        record = state.load(path)?;
        if record.bad == 0 && record.done.is_multiple_of(*checkpoint_every) {
            snapshot.take(state)?;
        } else {
            snapshot.find();
        }
    }
    // A process killed before its first checkpoint begins anew: its figures come again too.
    observer.resumed(stage, record.done);
    let save = |state: &S, record: &LoopRecord| checkpoint.as_ref().map_or(Ok(()), |path| state.save(path, record));
    while record.done < *steps && !record.stopped {
        let rate = stability.rate_factor.powi(record.roll_backs as i32);
        let mut turn = Turn { step: record.done, rate, settings: stability, record: &mut record };
        let StepOutcome { mut figures, good, held_out } = match step(state, &mut turn) {
            Err(error @ TrainError::Loading { .. }) => {
                observer.before_checkpoint();
                save(state, &record)?;
                return Err(error);
            }
            taken => taken?,
        };
        record.done += 1;
        record.bad = if good { 0 } else { record.bad + 1 };
        record.skipped += u64::from(!good);
        if let Some(loss) = held_out {
            figures.push(("held_out", loss));
            record.look(loss, stability);
        }
        observer.step(stage, record.done, *steps, &figures);
        if record.bad >= stability.bad_steps {
            if record.roll_backs >= stability.roll_backs {
                return Err(diverged(stage, &record, rate, &figures));
            }
            snapshot.restore(state)?;
            record = LoopRecord { bad: 0, roll_backs: record.roll_backs + 1, ..record };
            observer.rolled_back(stage, record.done, stability.rate_factor.powi(record.roll_backs as i32));
        }
        let finished = record.done == *steps || record.stopped;
        if record.bad == 0 && observer.preview_due(record.done, *steps) {
            observer.preview(stage, record.done, &state.weights());
        }
        if observer.interrupted() && !finished {
            observer.before_checkpoint();
            save(state, &record)?;
            return Err(TrainError::Interrupted { stage: stage.clone(), step: record.done });
        }
        let due = record.done.is_multiple_of(*checkpoint_every);
        if due || finished {
            observer.before_checkpoint();
            save(state, &record)?;
            if finished {
                snapshot.forget();
            } else if due && record.bad == 0 {
                snapshot.take(state)?;
            }
        }
    }
    Ok(())
}

fn diverged(stage: &str, record: &LoopRecord, rate: f64, figures: &[(&'static str, f64)]) -> TrainError {
    let figures =
        figures.iter().map(|(name, value)| format!("{name} = {value:.4e}")).collect::<Vec<_>>().join(", ");
    TrainError::Diverged {
        stage: stage.into(),
        step: record.done,
        bad: record.bad,
        roll_backs: record.roll_backs,
        rate,
        figures,
    }
}

/// The last good state, taken at the steps of regular checkpoints alone: where an interruption falls does not change
/// what a roll-back finds. In memory until the first one, then the checkpoint's file under a second name.
struct Snapshot<'a, S> {
    memory: Option<S>,
    checkpoint: Option<&'a Path>,
}

impl<'a, S: Checkpoint + Clone> Snapshot<'a, S> {
    /// The state before the first step; what an earlier run left is forgotten where its checkpoint is.
    fn new(checkpoint: Option<&'a Path>, state: &S) -> Self {
        let snapshot = Self { memory: Some(state.clone()), checkpoint };
        if checkpoint.is_some_and(|path| !path.exists()) {
            snapshot.forget();
        }
        snapshot
    }

    /// Removes the second name.
    fn forget(&self) {
        if let Some(path) = self.checkpoint {
            let _ = std::fs::remove_file(good(path));
        }
    }

    /// The checkpoint just written, or the state itself where none is kept.
    fn take(&mut self, state: &S) -> Result<(), TrainError> {
        let Some(path) = self.checkpoint else {
            self.memory = Some(state.clone());
            return Ok(());
        };
        let (second, fresh) = (good(path), path.with_extension("good.new"));
        let error =
            |error: std::io::Error| TrainError::Checkpoint { path: second.clone(), message: error.to_string() };
        let _ = std::fs::remove_file(&fresh);
        // Checkpoints are replaced, never written in place: a second name keeps the bytes at no cost.
        if std::fs::hard_link(path, &fresh).is_err() {
            std::fs::copy(path, &fresh).map_err(error)?;
        }
        std::fs::rename(&fresh, &second).map_err(error)?;
        self.memory = None;
        Ok(())
    }

    /// Uses the file of an earlier process where there is one.
    fn find(&mut self) {
        if self.checkpoint.is_some_and(|path| good(path).exists()) {
            self.memory = None;
        }
    }

    fn restore(&self, state: &mut S) -> Result<(), TrainError> {
        match (&self.memory, self.checkpoint) {
            (Some(memory), _) => *state = memory.clone(),
            (None, Some(path)) => drop(state.load(&good(path))?),
            (None, None) => {}
        }
        Ok(())
    }
}

/// The second name of the last checkpoint that a roll-back may use.
fn good(checkpoint: &Path) -> PathBuf {
    checkpoint.with_extension("good.safetensors")
}
