use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    Fingerprint, LatencyError, Measurement, MeasurementKind, Outcome, PlannedRun, Profile, Quantity, Spread,
    Timing, file,
};

/// A device on which this program cannot run: models go there, and a table of times comes back.
///
/// A folder holds both: `device.toml` says what the times depend on, `plan.csv` has a line for each measurement, in the
/// order in which they are to be made.
#[derive(Clone, Debug)]
pub struct RemoteProfile {
    folder: PathBuf,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRow {
    /// Position in time.
    pub order: u32,
    /// Model, beside the table.
    pub file: String,
    /// Architecture.
    pub arch_id: String,
    /// Its canonical text.
    pub genotype: String,
    /// Why it is measured.
    pub role: Role,
    /// Median wall time of a call, to fill; or `oom`, or `failed`; empty where it was not measured.
    #[serde(default)]
    pub latency_ms: String,
    /// A tenth of the calls took no longer; may stay empty.
    #[serde(default)]
    pub p10_ms: String,
    /// Nine tenths took no longer; may stay empty.
    #[serde(default)]
    pub p90_ms: String,
    /// Largest memory of the process; may stay empty.
    #[serde(default)]
    pub peak_memory_mib: String,
}

/// Why an architecture is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To learn from.
    Train,
    /// To test on.
    Test,
    /// Again and again, to see drift.
    Anchor,
    /// A second time, to see noise.
    Repeat,
}

/// device.toml: what the times depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    device_name: String,
    cpu_model: String,
    cores: usize,
    threads: usize,
    runtime: String,
    runtime_version: String,
    precision: String,
    os: String,
}

const TABLE: &str = "plan.csv";
const FACTS: &str = "device.toml";

impl TableRow {
    /// The line of a planned run.
    pub fn new(order: u32, run: &PlannedRun, file: String, arch_id: String, genotype: String) -> Self {
        let role = match run {
            PlannedRun { anchor: true, .. } => Role::Anchor,
            PlannedRun { repeat: true, .. } => Role::Repeat,
            PlannedRun { held_out: true, .. } => Role::Test,
            PlannedRun { .. } => Role::Train,
        };
        let empty = String::new;
        let (latency_ms, p10_ms, p90_ms, peak_memory_mib) = (empty(), empty(), empty(), empty());
        Self { order, file, arch_id, genotype, role, latency_ms, p10_ms, p90_ms, peak_memory_mib }
    }
}

impl RemoteProfile {
    /// A folder of a device.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// The table.
    pub fn table(&self) -> PathBuf {
        self.folder.join(TABLE)
    }

    /// The device's facts.
    pub fn facts(&self) -> PathBuf {
        self.folder.join(FACTS)
    }

    /// Writes table and facts, to fill. A table that has been begun to fill is not written over.
    pub fn plan(&self, device: &str, rows: &[TableRow]) -> Result<(), LatencyError> {
        if let Ok(before) = self.rows()
            && before.iter().any(|(_, row)| !row.latency_ms.trim().is_empty())
        {
            let message = "it has measurements already: import them, or give another folder with --out".into();
            return Err(self.fail(TABLE, 0, message));
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        rows.iter().try_for_each(|row| writer.serialize(row)).map_err(|e| self.fail(TABLE, 0, e.to_string()))?;
        let bytes = writer.into_inner().map_err(|error| self.fail(TABLE, 0, error.to_string()))?;
        file::replace(&self.table(), &bytes).map_err(|error| self.fail(TABLE, 0, error.to_string()))?;
        let text = FACTS_TEXT.replace("DEVICE", &device.replace(['"', '\\'], ""));
        file::replace(&self.facts(), text.as_bytes()).map_err(|error| self.fail(FACTS, 0, error.to_string()))
    }

    /// Reads what was filled in and writes it as a profile. `check` says whether a line's architecture is one of the space, by
    /// its arch id and genotype.
    pub fn import(
        &self,
        profile: &Path,
        check: impl Fn(&TableRow) -> Result<(), String>,
    ) -> Result<Profile, LatencyError> {
        let fingerprint = self.fingerprint()?;
        let (mut measurements, mut orders) = (Vec::new(), BTreeSet::new());
        for (line, row) in self.rows()? {
            let fail = |message: String| self.fail(TABLE, line, message);
            if !orders.insert(row.order) {
                return Err(fail(format!("order {} is there twice", row.order)));
            }
            check(&row).map_err(fail)?;
            if let Some(outcome) = row.outcome().map_err(fail)? {
                measurements.push((line, row.measurement(outcome)));
            }
        }
        let ran = measurements.iter().filter(|(_, m)| m.timing().is_some()).count();
        if ran < 2 {
            let message = format!("{ran} lines of {} have a latency_ms, at least 2 are needed", orders.len());
            return Err(self.fail(TABLE, 0, message));
        }
        measurements.sort_by_key(|(_, measurement)| measurement.order);
        // Whole or not at all: one that is there already stays as it is where a line is bad.
        let draft = profile.with_extension("draft");
        let mut imported = Profile::begin(&draft, &fingerprint, Quantity::Wall, "imported")?;
        for (line, measurement) in measurements {
            let added = imported.append(measurement);
            if let Err(LatencyError::Profile { message, .. }) = added {
                fs::remove_file(&draft).map_err(|error| self.fail(TABLE, line, error.to_string()))?;
                return Err(self.fail(TABLE, line, message));
            }
            added?;
        }
        imported.finish()?;
        fs::rename(&draft, profile).map_err(|error| self.fail(TABLE, 0, error.to_string()))?;
        Profile::read(profile)
    }

    /// The table's lines with their numbers in the file.
    fn rows(&self) -> Result<Vec<(usize, TableRow)>, LatencyError> {
        let path = self.table();
        let text = fs::read(&path).map_err(|error| self.fail(TABLE, 0, error.to_string()))?;
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(self.fail(TABLE, 0, "it is empty: write it with `profile plan`".into()));
        }
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&text[..]);
        let headers = reader.headers().map_err(|error| self.fail(TABLE, 1, error.to_string()))?.clone();
        let mut rows = Vec::new();
        for record in reader.records() {
            let line = rows.len() + 2;
            let record = record.map_err(|error| self.fail(TABLE, line, error.to_string()))?;
            let line = record.position().map_or(line, |position| position.line() as usize);
            let row =
                record.deserialize(Some(&headers)).map_err(|error| self.fail(TABLE, line, error.to_string()))?;
            rows.push((line, row));
        }
        Ok(rows)
    }

    fn fingerprint(&self) -> Result<Fingerprint, LatencyError> {
        let fail = |message: String| self.fail(FACTS, 0, message);
        let text = fs::read_to_string(self.facts()).map_err(|error| fail(error.to_string()))?;
        let facts: Facts = toml::from_str(&text).map_err(|error| fail(error.to_string()))?;
        let Facts { device_name, cpu_model, cores, threads, runtime, runtime_version, precision, os } = facts;
        let named = [("device_name", &device_name), ("cpu_model", &cpu_model), ("runtime", &runtime), ("os", &os)];
        if let Some((name, _)) = named.iter().find(|(_, value)| value.trim().is_empty()) {
            return Err(fail(format!("{name} is empty: fill in what the times were measured on")));
        }
        if threads == 0 {
            return Err(fail("threads = 0 must be at least 1".into()));
        }
        Ok(Fingerprint { device_name, cpu_model, cores, threads, runtime, runtime_version, precision, os })
    }

    fn fail(&self, file: &str, line: usize, message: String) -> LatencyError {
        LatencyError::Profile { path: self.folder.join(file), line, message }
    }
}

impl TableRow {
    /// What was filled in, if anything was.
    fn outcome(&self) -> Result<Option<Outcome>, String> {
        match self.latency_ms.to_ascii_lowercase().as_str() {
            "" => return Ok(None),
            "oom" => return Ok(Some(Outcome::OutOfMemory { reason: "reported by the table".into() })),
            "failed" => return Ok(Some(Outcome::Crashed { reason: "reported by the table".into() })),
            _ => {}
        }
        let median_ms = number("latency_ms", &self.latency_ms)?;
        let quantile = |name: &str, text: &str| {
            if text.is_empty() { Ok(median_ms) } else { number(name, text) }
        };
        let (p10_ms, p90_ms) = (quantile("p10_ms", &self.p10_ms)?, quantile("p90_ms", &self.p90_ms)?);
        if p10_ms > median_ms || median_ms > p90_ms {
            return Err(format!("p10_ms {p10_ms}, latency_ms {median_ms}, p90_ms {p90_ms} are out of order"));
        }
        // Quartiles of a normal distribution with these tenths.
        let wall = Spread { median_ms, iqr_ms: 0.526 * (p90_ms - p10_ms), p10_ms, p90_ms };
        let peak_memory_bytes = match self.peak_memory_mib.as_str() {
            "" => None,
            text => Some((number("peak_memory_mib", text)? * f64::from(1 << 20)) as u64),
        };
        let timing = Timing { runs: 1, warmup_runs: 0, steady: true, cpu: None, wall, reference: None };
        Ok(Some(Outcome::Ran { timing, peak_memory_bytes }))
    }

    fn measurement(&self, outcome: Outcome) -> Measurement {
        Measurement {
            arch_id: self.arch_id.clone(),
            genotype: self.genotype.clone(),
            kind: MeasurementKind::Whole,
            order: self.order,
            anchor: self.role == Role::Anchor,
            repeat: self.role == Role::Repeat,
            held_out: self.role == Role::Test,
            outcome,
        }
    }
}

fn number(column: &str, text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        Ok(value) => Err(format!("{column} is {value}, it must be above 0")),
        Err(_) if column == "latency_ms" => {
            Err(format!("{column} is {text:?}: write milliseconds, `oom`, `failed`, or nothing"))
        }
        Err(_) => Err(format!("{column} is {text:?}: write a number, or nothing")),
    }
}

const FACTS_TEXT: &str = r#"# What the times depend on: fill in what is empty.
#
# Measure the models of plan.csv in the order of its lines, for anchors and repeats tell drift and noise by it. For each: run it
# until its times have settled, then 30 times or for a second, whichever is longer, and write the median as latency_ms; p10_ms,
# p90_ms and peak_memory_mib where they are known. What needs too much memory gets `oom`, what fails otherwise `failed`.
device_name = "DEVICE"
# Processor or graphics card that computes.
cpu_model = ""
cores = 0
threads = 1
# E.g. onnxruntime, coreml, ncnn.
runtime = ""
runtime_version = ""
# Number format of weights and activations.
precision = "f32"
# System and its version.
os = ""
"#;
