use std::path::{Path, PathBuf};

use crate::{Checkpoint, TrainError};

/// The state that a roll-back restores, taken at the steps of regular checkpoints only, so that an interruption does not change
/// what a roll-back restores. It is in memory until the first checkpoint, then the checkpoint's file under a second name.
pub(crate) struct Snapshot<'a, S> {
    memory: Option<S>,
    checkpoint: Option<&'a Path>,
}

impl<'a, S: Checkpoint + Clone> Snapshot<'a, S> {
    /// The state before the first step; removes the second name of a checkpoint that is no longer there.
    pub fn new(checkpoint: Option<&'a Path>, state: &S) -> Self {
        let snapshot = Self { memory: Some(state.clone()), checkpoint };
        if checkpoint.is_some_and(|path| !path.exists()) {
            snapshot.forget();
        }
        snapshot
    }

    /// Removes the second name.
    pub fn forget(&self) {
        if let Some(path) = self.checkpoint {
            let _ = std::fs::remove_file(good(path));
        }
    }

    /// Takes the checkpoint just written, or the state itself where no checkpoints are written.
    pub fn take(&mut self, state: &S) -> Result<(), TrainError> {
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

    /// Uses the file of an earlier process, if there is one.
    pub fn find(&mut self) {
        if self.checkpoint.is_some_and(|path| good(path).exists()) {
            self.memory = None;
        }
    }

    pub fn restore(&self, state: &mut S) -> Result<(), TrainError> {
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
