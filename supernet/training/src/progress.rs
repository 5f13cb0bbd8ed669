use std::path::PathBuf;

use crate::{Checkpoint, LoadTimes, TrainError};

/// Who watches a training loop, and may stop it.
pub trait Observer {
    /// After each step: `step` of `steps` done, with named figures. The same for a resumed run.
    fn step(&mut self, stage: &str, step: u64, steps: u64, figures: &[(&'static str, f64)]);

    /// A loop begins or goes on after this step: figures of later steps will come again.
    fn resumed(&mut self, stage: &str, step: u64) {
        let _ = (stage, step);
    }

    /// A checkpoint is about to be written: figures up to here must be on the disk before it.
    fn before_checkpoint(&mut self) {}

    /// What loading the stage's data has cost so far: times, which are others in every run.
    fn loaded(&mut self, stage: &str, step: u64, times: LoadTimes) {
        let _ = (stage, step, times);
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

/// Steps in a row without a finite loss and gradient before a loop gives up.
const BAD_STEPS: u64 = 10;

/// Runs `step` until all are done: resumes from the checkpoint where there is one, writes it every so often, at an
/// interruption, where a step's clips cannot be loaded, and at the end. A step returns its figures, and whether its loss
/// and gradients were finite; it loads its clips before it changes anything.
pub fn train_loop<S: Checkpoint>(
    settings: &LoopSettings,
    state: &mut S,
    observer: &mut dyn Observer,
    mut step: impl FnMut(&mut S, u64) -> Result<(Vec<(&'static str, f64)>, bool), TrainError>,
) -> Result<(), TrainError> {
    let LoopSettings { stage, steps, checkpoint, checkpoint_every } = settings;
    let (mut done, mut bad) = (0, 0);
    if let Some(path) = checkpoint
        && path.exists()
    {
        (done, bad) = state.load(path)?;
    }
    // A process killed before its first checkpoint begins anew: its figures come again too.
    observer.resumed(stage, done);
    let save =
        |state: &S, done: u64, bad: u64| checkpoint.as_ref().map_or(Ok(()), |path| state.save(path, done, bad));
    while done < *steps {
        let (figures, finite) = match step(state, done) {
            Err(error @ TrainError::Loading { .. }) => {
                observer.before_checkpoint();
                save(state, done, bad)?;
                return Err(error);
            }
            taken => taken?,
        };
        done += 1;
        bad = if finite { 0 } else { bad + 1 };
        observer.step(stage, done, *steps, &figures);
        if bad >= BAD_STEPS {
            let learning_rate =
                figures.iter().find(|(name, _)| *name == "learning_rate").map_or(0.0, |&(_, rate)| rate);
            return Err(TrainError::Diverged { stage: stage.clone(), step: done, bad, learning_rate });
        }
        if observer.interrupted() && done < *steps {
            observer.before_checkpoint();
            save(state, done, bad)?;
            return Err(TrainError::Interrupted { stage: stage.clone(), step: done });
        }
        if done % checkpoint_every == 0 || done == *steps {
            observer.before_checkpoint();
            save(state, done, bad)?;
        }
    }
    Ok(())
}
