use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, LatencyError, Timing};

/// Measurements of a device: a header line with its fingerprint, then one JSON line each, appended as they come.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The device.
    pub fingerprint: Fingerprint,
    /// In the order in which they were made.
    pub measurements: Vec<Measurement>,
    path: PathBuf,
}

/// One architecture's measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Architecture.
    pub arch_id: String,
    /// Its text.
    pub genotype: String,
    /// Measured a second time, later: tells the noise.
    pub repeat: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a measurement; a process that dies is one too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran.
    Ran {
        /// Times.
        timing: Timing,
        /// Largest resident memory of its process.
        peak_memory_bytes: Option<u64>,
    },
    /// Its process died or failed.
    Failed {
        /// How.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    fingerprint: Fingerprint,
}

const FORMAT_VERSION: u32 = 1;

impl Profile {
    /// Opens a profile to go on with, or begins one. One of another device is refused.
    pub fn open(path: &Path, fingerprint: &Fingerprint) -> Result<Self, LatencyError> {
        if path.exists() {
            let profile = Self::read(path)?;
            if profile.fingerprint != *fingerprint {
                let message = format!(
                    "it was measured on {}, this is {}; give it another name, or use it as it is with profile.from",
                    profile.fingerprint.describe(),
                    fingerprint.describe()
                );
                return Err(profile.fail(1, message));
            }
            // A torn last line is dropped before going on.
            profile.write()?;
            return Ok(profile);
        }
        let profile = Self { fingerprint: fingerprint.clone(), measurements: Vec::new(), path: path.into() };
        profile.write()?;
        Ok(profile)
    }

    /// Reads a profile; a torn last line is left out, any other bad line is an error that names it.
    pub fn read(path: &Path) -> Result<Self, LatencyError> {
        let fail = |line, message: String| LatencyError::Profile { path: path.into(), line, message };
        let text = fs::read_to_string(path).map_err(|error| fail(0, error.to_string()))?;
        let mut lines = text.lines().enumerate();
        let (_, header) = lines.next().ok_or_else(|| fail(0, "it is empty".into()))?;
        let header: Header =
            serde_json::from_str(header).map_err(|error| fail(1, format!("no profile header: {error}")))?;
        if header.format_version != FORMAT_VERSION {
            return Err(fail(1, format!("format version {}, expected {FORMAT_VERSION}", header.format_version)));
        }
        let mut measurements = Vec::new();
        let whole = text.ends_with('\n');
        let count = text.lines().count();
        for (index, line) in lines {
            match serde_json::from_str::<Measurement>(line) {
                Ok(measurement) => {
                    check(&measurement).map_err(|message| fail(index + 1, message))?;
                    measurements.push(measurement);
                }
                Err(_) if index + 1 == count && !whole => break,
                Err(error) => return Err(fail(index + 1, error.to_string())),
            }
        }
        let mut seen = BTreeSet::new();
        for (index, m) in measurements.iter().enumerate() {
            if !seen.insert((&m.arch_id, m.repeat)) {
                return Err(fail(index + 2, format!("architecture {} is there twice", m.arch_id)));
            }
        }
        Ok(Self { fingerprint: header.fingerprint, measurements, path: path.into() })
    }

    /// Appends a measurement and brings it to the disk.
    pub fn append(&mut self, measurement: Measurement) -> Result<(), LatencyError> {
        let line = serde_json::to_string(&measurement).map_err(|error| self.fail(0, error.to_string()))? + "\n";
        let file = fs::OpenOptions::new().append(true).open(&self.path);
        let written = file.and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        written.map_err(|error| self.fail(0, error.to_string()))?;
        self.measurements.push(measurement);
        Ok(())
    }

    /// Processor milliseconds of an architecture's first measurement.
    pub fn latency_ms(&self, arch_id: &str) -> Option<f64> {
        let first = |m: &&Measurement| m.arch_id == arch_id && !m.repeat;
        self.measurements.iter().find(first)?.timing().map(|timing| timing.cpu_ms)
    }

    /// Median relative difference of architectures measured twice: what a predictor cannot be better than.
    pub fn noise_floor(&self) -> Option<f64> {
        let pair = |m: &Measurement| {
            let (second, first) = (m.timing()?.cpu_ms, self.latency_ms(&m.arch_id)?);
            m.repeat.then(|| (second - first).abs() / first)
        };
        let mut differences: Vec<f64> = self.measurements.iter().filter_map(pair).collect();
        differences.sort_by(f64::total_cmp);
        differences.get(differences.len() / 2).copied()
    }

    fn write(&self) -> Result<(), LatencyError> {
        let header = Header { format_version: FORMAT_VERSION, fingerprint: self.fingerprint.clone() };
        let json = |result: serde_json::Result<String>| result.map_err(|error| self.fail(0, error.to_string()));
        let mut text = json(serde_json::to_string(&header))? + "\n";
        for measurement in &self.measurements {
            text += &(json(serde_json::to_string(measurement))? + "\n");
        }
        let write = || {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let temporary = self.path.with_extension("jsonl.tmp");
            let mut file = fs::File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        };
        write().map_err(|error| self.fail(0, error.to_string()))
    }

    fn fail(&self, line: usize, message: String) -> LatencyError {
        LatencyError::Profile { path: self.path.clone(), line, message }
    }
}

impl Measurement {
    /// Its times, if it ran.
    pub fn timing(&self) -> Option<&Timing> {
        match &self.outcome {
            Outcome::Ran { timing, .. } => Some(timing),
            Outcome::Failed { .. } => None,
        }
    }
}

fn check(measurement: &Measurement) -> Result<(), String> {
    match measurement.timing() {
        Some(t) if !(t.cpu_ms.is_finite() && t.cpu_ms > 0.0 && t.wall_ms.is_finite() && t.wall_ms > 0.0) => {
            Err(format!("cpu_ms = {}, wall_ms = {} must be above 0", t.cpu_ms, t.wall_ms))
        }
        _ => Ok(()),
    }
}
