use std::path::PathBuf;

use crate::{
    Checkpoint, LoopRecord, Observer, StabilitySettings, TrainError, loop_record::CurrentStep, snapshot::Snapshot,
};

/// Length, checkpoints and name of a training loop.
#[derive(Clone, Debug)]
pub struct LoopSettings {
    /// Name of the stage in figures and messages.
    pub stage: String,
    /// Steps in all.
    pub steps: u64,
    /// File of the checkpoint; none is written where not given.
    pub checkpoint: Option<PathBuf>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

impl LoopSettings {
    /// A loop without checkpoints.
    pub fn new(stage: impl Into<String>, steps: u64) -> Self {
        Self { stage: stage.into(), steps, checkpoint: None, checkpoint_every: 100 }
    }
}

/// Result of a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StepOutcome {
    /// Figures by name.
    pub figures: Vec<(&'static str, f64)>,
    /// Whether all its updates were used; a bad update changes nothing.
    pub good: bool,
    /// Loss on held-out clips, at the steps that evaluate it.
    pub held_out: Option<f64>,
}

/// Runs `step` until all are done: resumes from the checkpoint if there is one, and writes it regularly, at an interruption, where
/// a step's clips cannot be loaded, and at the end. Bad steps are skipped and rolled back as `stability` says. A step loads its
/// clips before it changes anything.
pub(crate) fn train_loop<S: Checkpoint + Clone>(
    settings: &LoopSettings,
    stability: &StabilitySettings,
    state: &mut S,
    observer: &mut dyn Observer,
    mut step: impl FnMut(&mut S, &mut CurrentStep) -> Result<StepOutcome, TrainError>,
) -> Result<(), TrainError> {
    let (mut snapshot, record) = resume(settings, state)?;
    // A process killed before its first checkpoint begins anew: its figures are reported again too.
    observer.resumed(&settings.stage, record.done);
    let mut progress = Progress { settings, stability, record, observer };
    while progress.record.done < settings.steps && !progress.record.stopped {
        let mut current = CurrentStep {
            index: progress.record.done,
            rate_factor: stability.rate_factor.powi(progress.record.roll_backs as i32),
            settings: stability,
            record: &mut progress.record,
        };
        let outcome = match step(state, &mut current) {
            Err(error @ TrainError::Loading { .. }) => {
                progress.save(state)?;
                return Err(error);
            }
            taken => taken?,
        };
        progress.count(outcome, state, &snapshot)?;
        progress.preview(state);
        progress.checkpoint(state, &mut snapshot)?;
    }
    Ok(())
}

/// Restores the checkpoint, if there is one, and finds the snapshot that a roll-back from there goes to.
fn resume<'a, S: Checkpoint + Clone>(
    settings: &'a LoopSettings,
    state: &mut S,
) -> Result<(Snapshot<'a, S>, LoopRecord), TrainError> {
    let mut snapshot = Snapshot::new(settings.checkpoint.as_deref(), state);
    let Some(path) = settings.checkpoint.as_ref().filter(|path| path.exists()) else {
        return Ok((snapshot, LoopRecord::default()));
    };
    let record = state.load(path)?;
    if record.bad == 0 && record.done.is_multiple_of(settings.checkpoint_every) {
        snapshot.take(state)?;
    } else {
        snapshot.find();
    }
    Ok((snapshot, record))
}

/// A loop between two steps.
struct Progress<'a> {
    settings: &'a LoopSettings,
    stability: &'a StabilitySettings,
    record: LoopRecord,
    observer: &'a mut dyn Observer,
}

impl Progress<'_> {
    /// Counts a step and reports it; rolls the state back after too many bad steps in a row.
    fn count<S: Checkpoint + Clone>(
        &mut self,
        StepOutcome { mut figures, good, held_out }: StepOutcome,
        state: &mut S,
        snapshot: &Snapshot<S>,
    ) -> Result<(), TrainError> {
        let Self { settings, stability, record, observer } = self;
        let rate = |record: &LoopRecord| stability.rate_factor.powi(record.roll_backs as i32);
        record.done += 1;
        record.bad = if good { 0 } else { record.bad + 1 };
        record.skipped += u64::from(!good);
        if let Some(loss) = held_out {
            figures.push(("held_out", loss));
            record.evaluated(loss, stability);
        }
        observer.step(&settings.stage, record.done, settings.steps, &figures);
        if record.bad >= stability.bad_steps {
            if record.roll_backs >= stability.roll_backs {
                return Err(diverged(&settings.stage, record, rate(record), &figures));
            }
            snapshot.restore(state)?;
            (record.bad, record.roll_backs) = (0, record.roll_backs + 1);
            observer.rolled_back(&settings.stage, record.done, rate(record));
        }
        Ok(())
    }

    fn preview(&mut self, state: &impl Checkpoint) {
        let (done, LoopSettings { stage, steps, .. }) = (self.record.done, self.settings);
        if self.record.bad == 0 && self.observer.preview_due(done, *steps) {
            self.observer.preview(stage, done, &state.weights());
        }
    }

    /// Writes the checkpoint where one is due or the user asked to stop.
    fn checkpoint<S: Checkpoint + Clone>(
        &mut self,
        state: &S,
        snapshot: &mut Snapshot<S>,
    ) -> Result<(), TrainError> {
        let done = self.record.done;
        let finished = done == self.settings.steps || self.record.stopped;
        if self.observer.interrupted() && !finished {
            self.save(state)?;
            return Err(TrainError::Interrupted { stage: self.settings.stage.clone(), step: done });
        }
        let due = done.is_multiple_of(self.settings.checkpoint_every);
        if due || finished {
            self.save(state)?;
        }
        if finished {
            snapshot.forget();
        } else if due && self.record.bad == 0 {
            snapshot.take(state)?;
        }
        Ok(())
    }

    fn save(&mut self, state: &impl Checkpoint) -> Result<(), TrainError> {
        self.observer.before_checkpoint();
        self.settings.checkpoint.as_ref().map_or(Ok(()), |path| state.save(path, &self.record))
    }
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
