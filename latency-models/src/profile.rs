use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    Drift, Fingerprint, LatencyError, Measurement, MeasurementKind, Quantity, Spread, file, noise::noise_floor,
};

/// Measurements of a device: a header line, then one JSON line each, appended and synced as they come, so that a killed
/// profile goes on from what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The device.
    pub fingerprint: Fingerprint,
    /// The clock that is learned.
    pub quantity: Quantity,
    /// In the order in which they were made.
    pub measurements: Vec<Measurement>,
    path: PathBuf,
}

/// An architecture's latency out of all its measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Architecture.
    pub arch_id: String,
    /// Its canonical text.
    pub genotype: String,
    /// Median of its measurements, freed of drift where that exceeds the noise.
    pub latency_ms: f64,
    /// Largest peak of its measurements.
    pub peak_memory_bytes: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format_version: u32,
    fingerprint: Fingerprint,
    quantity: Quantity,
}

const FORMAT_VERSION: u32 = 2;

impl Profile {
    /// Opens a profile to go on with, or begins one. One of another device or quantity is refused.
    pub fn open(path: &Path, fingerprint: &Fingerprint, quantity: Quantity) -> Result<Self, LatencyError> {
        let profile = if path.exists() {
            let profile = Self::read(path)?;
            profile.check_source(fingerprint, quantity)?;
            profile
        } else {
            Self { fingerprint: fingerprint.clone(), quantity, measurements: Vec::new(), path: path.into() }
        };
        // Written even where it was there: a torn last line must not be appended to.
        profile.write()?;
        Ok(profile)
    }

    /// Reads a profile; a torn last line is left out, any other bad line is an error that names it.
    pub fn read(path: &Path) -> Result<Self, LatencyError> {
        let fail = |line, message: String| LatencyError::Profile { path: path.into(), line, message };
        let bytes = fs::read(path).map_err(|error| fail(0, error.to_string()))?;
        let whole = bytes.ends_with(b"\n");
        let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
        let lines = if whole { &lines[..lines.len() - 1] } else { &lines[..] };
        if lines.iter().all(|line| line.is_empty()) {
            return Err(fail(0, "it is empty: measure again".into()));
        }
        let no_header = |message: String| fail(1, format!("no profile header: {message}"));
        file::check_version(lines[0], FORMAT_VERSION).map_err(no_header)?;
        let header: Header = serde_json::from_slice(lines[0]).map_err(|error| no_header(error.to_string()))?;
        let mut measurements: Vec<Measurement> = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, line) in lines.iter().enumerate().skip(1) {
            let number = index + 1;
            let measurement: Measurement = match serde_json::from_slice(line) {
                Ok(measurement) => measurement,
                Err(_) if number == lines.len() && !whole => break,
                Err(error) => return Err(fail(number, error.to_string())),
            };
            measurement.check().map_err(|message| fail(number, message))?;
            if !seen.insert(key(&measurement)) {
                return Err(fail(number, format!("architecture {} is there twice", measurement.arch_id)));
            }
            measurements.push(measurement);
        }
        let Header { fingerprint, quantity, .. } = header;
        Ok(Self { fingerprint, quantity, measurements, path: path.into() })
    }

    /// Appends a measurement and brings it to the disk.
    pub fn append(&mut self, measurement: Measurement) -> Result<(), LatencyError> {
        let line = self.measurements.len() + 2;
        measurement.check().map_err(|message| self.fail(line, message))?;
        if self.measurements.iter().any(|known| key(known) == key(&measurement)) {
            return Err(self.fail(line, format!("architecture {} is there already", measurement.arch_id)));
        }
        let text = self.json(&measurement)?;
        let file = OpenOptions::new().append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_data()));
        written.map_err(|error| self.fail(line, error.to_string()))?;
        self.measurements.push(measurement);
        Ok(())
    }

    /// Whether the plan's position was measured already.
    pub fn contains(&self, order: u32) -> bool {
        self.measurements.iter().any(|m| m.order == order)
    }

    /// Latency of each whole architecture that ran, by its first appearance. Fewer than two teach nothing.
    pub fn samples(&self) -> Result<Vec<Sample>, LatencyError> {
        let drift = self.drift();
        // A correction smaller than the noise would only add noise.
        let floor_pct = 100.0 * self.noise_floor().unwrap_or(0.0);
        let correct = drift.drift_pct() > floor_pct;
        let mut by_arch: BTreeMap<&str, (&Measurement, Vec<f64>, Option<u64>)> = BTreeMap::new();
        for measurement in self.measurements.iter().filter(|m| m.kind == MeasurementKind::Whole) {
            let Some(ms) = measurement.latency_ms(self.quantity) else { continue };
            let ms = if correct { drift.corrected_ms(measurement.order, ms) } else { ms };
            let (_, times, peak) =
                by_arch.entry(&measurement.arch_id).or_insert_with(|| (measurement, Vec::new(), None));
            times.push(ms);
            *peak = (*peak).max(measurement.outcome.peak_memory_bytes());
        }
        if by_arch.len() < 2 {
            let message = format!("{} measured architecture(s), at least 2 are needed", by_arch.len());
            return Err(self.fail(self.measurements.len() + 1, message));
        }
        let mut found: Vec<_> = by_arch.into_values().collect();
        found.sort_by_key(|(first, ..)| first.order);
        let sample = |(first, mut times, peak_memory_bytes): (&Measurement, Vec<f64>, Option<u64>)| Sample {
            arch_id: first.arch_id.clone(),
            genotype: first.genotype.clone(),
            latency_ms: Spread::of(&mut times).median_ms,
            peak_memory_bytes,
        };
        Ok(found.into_iter().map(sample).collect())
    }

    /// Median relative difference of architectures measured twice: what no predictor can be better than.
    pub fn noise_floor(&self) -> Option<f64> {
        noise_floor(&self.measurements, self.quantity)
    }

    /// How the device changed meanwhile.
    pub fn drift(&self) -> Drift {
        Drift::new(&self.measurements, self.quantity)
    }

    fn check_source(&self, fingerprint: &Fingerprint, quantity: Quantity) -> Result<(), LatencyError> {
        let differences = self.fingerprint.differences(fingerprint);
        if !differences.is_empty() {
            let message = format!(
                "it is of another device ({}); give it another name, or use it as it is with profile.from",
                differences.join("; ")
            );
            return Err(self.fail(1, message));
        }
        if self.quantity != quantity {
            return Err(self.fail(1, format!("it is of quantity {:?}, asked is {quantity:?}", self.quantity)));
        }
        Ok(())
    }

    fn write(&self) -> Result<(), LatencyError> {
        let header = Header {
            format_version: FORMAT_VERSION,
            fingerprint: self.fingerprint.clone(),
            quantity: self.quantity,
        };
        let mut text = self.json(&header)?;
        for measurement in &self.measurements {
            text += &self.json(measurement)?;
        }
        file::replace(&self.path, text.as_bytes()).map_err(|error| self.fail(0, error.to_string()))
    }

    /// One line.
    fn json(&self, value: &impl Serialize) -> Result<String, LatencyError> {
        serde_json::to_string(value).map(|text| text + "\n").map_err(|error| self.fail(0, error.to_string()))
    }

    fn fail(&self, line: usize, message: String) -> LatencyError {
        LatencyError::Profile { path: self.path.clone(), line, message }
    }
}

/// What is measured once only: anchors come back, all else comes once, and once more as a repeat.
fn key(m: &Measurement) -> (String, MeasurementKind, bool, Option<u32>) {
    (m.arch_id.clone(), m.kind, m.repeat, m.anchor.then_some(m.order))
}
