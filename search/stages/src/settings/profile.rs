use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_latency::{MeasurePolicy, PlanSettings, Quantity};

/// What is measured, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileSettings {
    /// Architectures to learn from.
    pub architectures: usize,
    /// More of them, to test on.
    pub held_out: usize,
    /// Architectures in all, `held_out` among them; sets `architectures`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Measure every block on its own too.
    pub blocks: bool,
    /// Threads of the measured process.
    pub threads: usize,
    /// Runtimes to measure by, as `tnas profile --help` lists them; one whose library is not found is left out.
    pub runtimes: Vec<String>,
    /// The one whose latency is searched, or the name of a device whose profile was imported.
    pub target: String,
    /// The clock that is learned: `cpu` or `wall`; processor time of what runs on the CPU where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// Timed runs of an architecture at least …
    pub runs: u32,
    /// … and seconds of them …
    pub seconds: f64,
    /// … and seconds at most, warm-up and reference included, once there are five runs.
    pub seconds_each: f64,
    /// The anchor, which shows drift, is measured after so many others.
    pub anchor_every: usize,
    /// Fraction of the architectures that is measured twice, to tell the noise.
    pub repeat_fraction: f64,
    /// A profile whose repeats differ by more than this fraction (in the median), or whose anchors jump by more, is refused.
    pub max_noise: f64,
    /// File of a runtime's library, or folder of a Python environment that has it, by the runtime's name; searched for where
    /// not given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub libraries: BTreeMap<String, PathBuf>,
    /// A profile recorded before, to replay.
    pub from: Option<PathBuf>,
}

impl Default for ProfileSettings {
    fn default() -> Self {
        Self {
            architectures: 48,
            held_out: 24,
            samples: None,
            blocks: false,
            threads: 1,
            runtimes: vec!["burn".into(), "onnxruntime".into()],
            target: "burn".into(),
            quantity: None,
            runs: 30,
            seconds: 1.0,
            seconds_each: 20.0,
            anchor_every: 20,
            repeat_fraction: 0.05,
            max_noise: 0.1,
            libraries: BTreeMap::new(),
            from: None,
        }
    }
}

impl ProfileSettings {
    /// How one architecture is measured.
    pub fn policy(&self, quantity: Quantity) -> MeasurePolicy {
        let Self { runs, seconds, seconds_each, .. } = *self;
        MeasurePolicy {
            min_runs: runs,
            min_seconds: seconds,
            max_seconds: seconds_each,
            quantity,
            ..MeasurePolicy::default()
        }
    }

    /// Library of the runtime of this name, where the study gives one.
    pub fn library(&self, runtime: &str) -> Option<&PathBuf> {
        self.libraries.get(runtime)
    }

    /// Which architectures are measured.
    pub fn plan(&self) -> PlanSettings {
        let train = self.samples.map_or(self.architectures, |all| all.saturating_sub(self.held_out));
        PlanSettings {
            train,
            test: self.held_out,
            anchor_every: self.anchor_every,
            repeat_fraction: self.repeat_fraction,
            ..PlanSettings::default()
        }
    }
}

/// How the latency predictor is learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LatencySettings {
    /// Profiles of other devices to learn from too.
    pub sources: Vec<PathBuf>,
    /// Measured architectures to learn from, of those that are there; all where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurements: Option<usize>,
}
