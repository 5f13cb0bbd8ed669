use crate::{RunDir, StudyError};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::process;
use tnas_weights::remove_stale_temporaries;

/// The right to write to a run. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    pub(crate) fn take(run: &RunDir) -> Result<Self, StudyError> {
        let path = run.files().lock();
        let write = |source| StudyError::Write { path: path.clone(), source };
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(write)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).ok().and_then(|pid| pid.trim().parse().ok());
                return Err(StudyError::Locked { path: run.path().into(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(write(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", process::id())).map_err(write)?;
        remove_stale_temporaries(run.path())?;
        Ok(Self { _file: file })
    }
}
