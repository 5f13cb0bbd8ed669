use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::Write,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::{
    Drift, Fingerprint, LatencyError, Measurement, MeasurementKind, Outcome, Quantity, Spread, file,
    noise::{self, noise_floor},
};

/// Measurements of a device: a header line, then one JSON line each, appended and synced as they come, so that a killed
/// profile goes on from what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The device.
    pub fingerprint: Fingerprint,
    /// The clock that is learned.
    pub quantity: Quantity,
    /// Hash of what was to be measured and how: a profile begun otherwise is not gone on with.
    pub purpose: String,
    /// How far the measurements can be trusted; known once all were made.
    pub quality: Option<Quality>,
    /// In the order in which they were made.
    pub measurements: Vec<Measurement>,
    path: PathBuf,
}

/// How far measurements can be trusted, by what was measured more than once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Median relative difference of architectures measured twice, as they are learned from.
    pub noise_floor: Option<f64>,
    /// Change of the anchors from the fastest to the slowest, in per cent, as they were measured.
    pub raw_drift_percent: f64,
    /// The same, relative to the reference that ran alternating with them.
    pub drift_percent: f64,
    /// Error of an anchor as neighbouring anchors predict it: a drift that no correction reaches.
    pub scatter: f64,
    /// Fraction of wall time that went to others, in the slow runs of one-threaded measurements; 0 where it is unknown.
    pub taken_by_others: f64,
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
    /// Whether it is for tests.
    pub held_out: bool,
}

/// The first line of a profile.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Version of the file.
    format_version: u32,
    /// The device.
    fingerprint: Fingerprint,
    /// The clock that is learned.
    quantity: Quantity,
    /// SHA-256 of what was to be measured and how.
    #[serde(default)]
    purpose: String,
    /// How far the measurements can be trusted; known once all were made.
    #[serde(default)]
    quality: Option<Quality>,
}

/// A line of a profile: its header first, then a measurement each.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Line {
    Header(Box<Header>),
    Measurement(Box<Measurement>),
}

/// Version 2 had no reference, no purpose and no quality.
const FORMAT_VERSIONS: RangeInclusive<u32> = 2..=3;

impl Profile {
    /// JSON Schema of each line of the file.
    pub fn line_schema() -> Schema {
        schema_for!(Line)
    }

    /// Begins a profile, in place of what the file held.
    pub fn begin(
        path: &Path,
        fingerprint: &Fingerprint,
        quantity: Quantity,
        purpose: &str,
    ) -> Result<Self, LatencyError> {
        let profile = Self {
            fingerprint: fingerprint.clone(),
            quantity,
            purpose: purpose.into(),
            quality: None,
            measurements: Vec::new(),
            path: path.into(),
        };
        profile.write()?;
        Ok(profile)
    }

    /// Opens a profile to go on with, or begins one. One of another device, quantity or purpose is refused.
    pub fn open(
        path: &Path,
        fingerprint: &Fingerprint,
        quantity: Quantity,
        purpose: &str,
    ) -> Result<Self, LatencyError> {
        if !path.exists() {
            return Self::begin(path, fingerprint, quantity, purpose);
        }
        let profile = Self::read(path)?;
        profile.check_device(fingerprint)?;
        if profile.quantity != quantity {
            let message = format!("it is of quantity {:?}, asked is {quantity:?}", profile.quantity);
            return Err(profile.fail(1, message));
        }
        if profile.purpose != purpose {
            let message = "it was begun for other architectures or by other settings; give it another name".into();
            return Err(profile.fail(1, message));
        }
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
        file::check_version(lines[0], FORMAT_VERSIONS).map_err(no_header)?;
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
        let Header { fingerprint, quantity, purpose, quality, .. } = header;
        Ok(Self { fingerprint, quantity, purpose, quality, measurements, path: path.into() })
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

    /// All was measured: says how well, in the header beside the fingerprint.
    pub fn finish(&mut self) -> Result<Quality, LatencyError> {
        let quality = self.assess();
        self.quality = Some(quality);
        self.write()?;
        Ok(quality)
    }

    /// How far the measurements can be trusted.
    pub fn assess(&self) -> Quality {
        let raw = Drift::new(&self.measurements, |m| m.latency_ms(self.quantity));
        let drift = self.drift();
        Quality {
            noise_floor: self.noise_floor(),
            raw_drift_percent: raw.drift_pct(),
            drift_percent: drift.drift_pct(),
            scatter: drift.scatter(),
            taken_by_others: self.taken_by_others(),
        }
    }

    /// Latency of each whole architecture that ran, by its first appearance. Fewer than two teach nothing.
    pub fn samples(&self) -> Result<Vec<Sample>, LatencyError> {
        let times = Times::new(self);
        let mut by_arch: BTreeMap<&str, (Sample, u32, Vec<f64>)> = BTreeMap::new();
        for measurement in self.measurements.iter().filter(|m| m.kind == MeasurementKind::Whole) {
            let Some(ms) = times.reported_ms(measurement) else { continue };
            let new = || {
                let Measurement { arch_id, genotype, .. } = measurement.clone();
                let sample = Sample { arch_id, genotype, latency_ms: ms, peak_memory_bytes: None, held_out: false };
                (sample, measurement.order, Vec::new())
            };
            let (sample, _, times) = by_arch.entry(&measurement.arch_id).or_insert_with(new);
            times.push(ms);
            sample.peak_memory_bytes = sample.peak_memory_bytes.max(measurement.outcome.peak_memory_bytes());
            sample.held_out |= measurement.held_out;
        }
        if by_arch.len() < 2 {
            let message = format!("{} measured architecture(s), at least 2 are needed", by_arch.len());
            return Err(self.fail(self.measurements.len() + 1, message));
        }
        let mut found: Vec<_> = by_arch.into_values().collect();
        found.sort_by_key(|(_, order, _)| *order);
        let median = |(sample, _, mut times): (Sample, u32, Vec<f64>)| Sample {
            latency_ms: Spread::of(&mut times).median_ms,
            ..sample
        };
        Ok(found.into_iter().map(median).collect())
    }

    /// Milliseconds of each block that was measured on its own, by its genotype.
    pub fn blocks_ms(&self) -> BTreeMap<String, f64> {
        let times = Times::new(self);
        let blocks = self.measurements.iter().filter(|m| m.kind == MeasurementKind::Block);
        blocks.filter_map(|m| Some((m.genotype.clone(), times.reported_ms(m)?))).collect()
    }

    /// Milliseconds of another network of the pipeline, where it was measured. `id` is that of its measurement.
    pub fn part_ms(&self, kind: MeasurementKind, id: &str) -> Option<f64> {
        let part = self.measurements.iter().find(|m| m.kind == kind && m.arch_id == id)?;
        part.timing()?.reported_ms(self.quantity, self.usual_reference_ms())
    }

    /// A position after every measurement that was made.
    pub fn next_order(&self) -> u32 {
        self.measurements.iter().map(|m| m.order + 1).max().unwrap_or(0)
    }

    /// Architectures that need more memory than there is.
    pub fn out_of_memory(&self) -> Vec<&Measurement> {
        let failed = |m: &&Measurement| matches!(m.outcome, Outcome::OutOfMemory { .. });
        self.measurements.iter().filter(|m| m.kind == MeasurementKind::Whole).filter(failed).collect()
    }

    /// First and second time of each architecture that was measured twice, as they are learned from.
    pub fn repeats(&self) -> Vec<(f64, f64)> {
        let times = Times::new(self);
        noise::repeats(&self.measurements, |m| times.reported_ms(m))
    }

    /// Median relative difference of architectures measured twice: what no predictor can be better than.
    pub fn noise_floor(&self) -> Option<f64> {
        noise_floor(&self.repeats())
    }

    /// How the device changed meanwhile, beyond what the reference shows.
    pub fn drift(&self) -> Drift {
        let usual = self.usual_reference_ms();
        Drift::new(&self.measurements, |m| m.timing()?.reported_ms(self.quantity, usual))
    }

    /// The reference's usual time, where every measurement that ran had one: a ratio to the reference times this is a time
    /// at the device's usual speed.
    pub fn usual_reference_ms(&self) -> Option<f64> {
        // Not of other networks: they may be measured later, and nothing that was learned before may change.
        let own = self.measurements.iter().filter(|m| !m.kind.is_part());
        let mut times: Vec<f64> = own
            .filter_map(Measurement::timing)
            .map(|t| Some(t.reference?.median_ms(self.quantity)))
            .collect::<Option<_>>()?;
        (!times.is_empty()).then(|| Spread::of(&mut times).median_ms)
    }

    /// The genotype that shows drift, if one does.
    pub fn anchor(&self) -> Option<&str> {
        self.measurements.iter().find(|m| m.anchor).map(|m| m.genotype.as_str())
    }

    /// Median over one-threaded measurements of the fraction of their slow runs' time in which the process did not run.
    fn taken_by_others(&self) -> f64 {
        if self.fingerprint.threads != 1 || self.quantity != Quantity::Cpu {
            return 0.0;
        }
        let timings = self.measurements.iter().filter_map(Measurement::timing);
        let share = timings.filter_map(|t| Some((1.0 - t.cpu?.p90_ms / t.wall.p90_ms).max(0.0)));
        Spread::of(&mut share.collect::<Vec<_>>()).median_ms
    }

    /// Refuses another device's numbers, naming the facts in which it differs.
    pub fn check_device(&self, fingerprint: &Fingerprint) -> Result<(), LatencyError> {
        let differences = self.fingerprint.differences(fingerprint);
        if !differences.is_empty() {
            let message = format!(
                "it is of another device ({}); measure this one, use the file as it is with profile.from, or learn from it \
                 with latency.sources",
                differences.join("; ")
            );
            return Err(self.fail(1, message));
        }
        Ok(())
    }

    fn write(&self) -> Result<(), LatencyError> {
        let header = Header {
            format_version: *FORMAT_VERSIONS.end(),
            fingerprint: self.fingerprint.clone(),
            quantity: self.quantity,
            purpose: self.purpose.clone(),
            quality: self.quality,
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

/// A profile's times at the device's usual speed.
struct Times {
    quantity: Quantity,
    usual_reference_ms: Option<f64>,
    /// Where it helps.
    drift: Option<Drift>,
}

impl Times {
    fn new(profile: &Profile) -> Self {
        let drift = profile.drift();
        Self {
            quantity: profile.quantity,
            usual_reference_ms: profile.usual_reference_ms(),
            drift: drift.is_predicted_by_neighbours().then_some(drift),
        }
    }

    fn reported_ms(&self, measurement: &Measurement) -> Option<f64> {
        let ms = measurement.timing()?.reported_ms(self.quantity, self.usual_reference_ms)?;
        Some(self.drift.as_ref().map_or(ms, |drift| drift.corrected_ms(measurement.order, ms)))
    }
}

/// What is measured once only: anchors come back, all else comes once, and once more as a repeat.
fn key(m: &Measurement) -> (String, MeasurementKind, bool, Option<u32>) {
    (m.arch_id.clone(), m.kind, m.repeat, m.anchor.then_some(m.order))
}
