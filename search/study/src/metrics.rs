use crate::{StudyError, canonical_json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use tnas_record::{FormatVersion, LoggedNumber, MetricLine, from_json};
use tnas_weights::AtomicFile;

/// One line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRecord {
    /// The stage that logged it.
    pub stage: String,
    /// The stage's step.
    pub step: u64,
    /// Values by name.
    pub values: BTreeMap<String, f64>,
}

/// A log that grows by one JSON object per line.
///
/// Invariant: a run that is killed and resumed, with [`truncate_after`](Self::truncate_after) at its checkpoint, leaves the
/// file of a run that is not. So `metrics.jsonl` takes only what is the same on every machine; wall times go to a second
/// log, `times.jsonl`. Call [`sync`](Self::sync) before a checkpoint is written, so that the log is never behind it.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens a log, which is created where there is none; a last line torn by a kill is removed.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StudyError> {
        let path = path.into();
        let write = |source| StudyError::Write { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(write)?;
        }
        let file = open_to_append(&path).map_err(write)?;
        let mut whole_bytes = 0;
        each_line(&path, |_, line| {
            whole_bytes += line.len() as u64 + 1;
            Ok(())
        })?;
        file.set_len(whole_bytes).map_err(write)?;
        Ok(Self { path, file })
    }

    /// Adds a line.
    pub fn append<K: Into<String>>(
        &mut self,
        stage: &str,
        step: u64,
        values: impl IntoIterator<Item = (K, f64)>,
    ) -> Result<(), StudyError> {
        let values = values.into_iter().map(|(name, value)| (name.into(), LoggedNumber(value))).collect();
        let line = MetricLine { format_version: FormatVersion, stage: stage.into(), step, values };
        let line = canonical_json(&line)? + "\n";
        // One write for the line: a kill between two lines tears none.
        self.file.write_all(line.as_bytes()).map_err(|source| self.write_error(source))
    }

    /// Brings all lines to the disk.
    pub fn sync(&mut self) -> Result<(), StudyError> {
        self.file.sync_data().map_err(|source| self.write_error(source))
    }

    /// Removes a stage's lines beyond the step of its checkpoint, and returns how many there were.
    pub fn truncate_after(&mut self, stage: &str, step: u64) -> Result<usize, StudyError> {
        let write = |source| StudyError::Write { path: self.path.clone(), source };
        let mut kept = AtomicFile::create(&self.path)?;
        let mut removed = 0;
        each_line(&self.path, |number, line| {
            let record = parse(&self.path, number, line)?;
            if record.stage == stage && record.step > step {
                removed += 1;
                return Ok(());
            }
            writeln!(kept, "{line}").map_err(write)
        })?;
        if removed > 0 {
            kept.commit()?;
            self.file = open_to_append(&self.path).map_err(write)?;
        }
        Ok(removed)
    }

    /// The whole lines of a log; a torn last line is passed over.
    pub fn read(path: impl AsRef<Path>) -> Result<Vec<MetricRecord>, StudyError> {
        let path = path.as_ref();
        let mut records = Vec::new();
        each_line(path, |number, line| {
            records.push(parse(path, number, line)?);
            Ok(())
        })?;
        Ok(records)
    }

    fn write_error(&self, source: io::Error) -> StudyError {
        StudyError::Write { path: self.path.clone(), source }
    }
}

fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Calls with each line that has its end, and its number counted from 1.
fn each_line(path: &Path, mut visit: impl FnMut(usize, &str) -> Result<(), StudyError>) -> Result<(), StudyError> {
    let read = |source| StudyError::Read { path: path.into(), source };
    let mut file = BufReader::new(File::open(path).map_err(read)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        file.read_until(b'\n', &mut line).map_err(read)?;
        if line.pop() != Some(b'\n') {
            break;
        }
        let text = str::from_utf8(&line).map_err(|e| bad_line(path, number, e.to_string()))?;
        visit(number, text)?;
    }
    Ok(())
}

fn parse(path: &Path, number: usize, line: &str) -> Result<MetricRecord, StudyError> {
    let line: MetricLine = from_json(line.as_bytes()).map_err(|message| bad_line(path, number, message))?;
    let values = line.values.into_iter().map(|(name, value)| (name, value.0)).collect();
    Ok(MetricRecord { stage: line.stage, step: line.step, values })
}

fn bad_line(path: &Path, line: usize, message: String) -> StudyError {
    StudyError::BadLine { path: path.into(), line, message }
}
