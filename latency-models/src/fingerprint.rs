use serde::{Deserialize, Serialize};

/// What a measurement depends on besides the architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Processor as the system names it.
    pub cpu_model: String,
    /// Logical cores.
    pub cores: usize,
    /// Threads of the measured process.
    pub threads: usize,
    /// `burn` or `onnxruntime`.
    pub runtime: String,
    /// Its version.
    pub runtime_version: String,
    /// Number format of the weights.
    pub precision: String,
    /// Operating system and architecture.
    pub os: String,
}

impl Fingerprint {
    /// This machine with a runtime.
    pub fn here(runtime: &str, runtime_version: &str, threads: usize) -> Self {
        Self {
            cpu_model: cpu_model(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            runtime: runtime.into(),
            runtime_version: runtime_version.into(),
            precision: "f32".into(),
            os: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }

    /// Short name for files.
    pub fn id(&self) -> String {
        format!("cpu-{}-{}t", self.runtime, self.threads)
    }

    /// For people: where a number was measured.
    pub fn describe(&self) -> String {
        format!(
            "{}, {} {}, {} thread{}, {}",
            self.cpu_model,
            self.runtime,
            self.runtime_version,
            self.threads,
            if self.threads == 1 { "" } else { "s" },
            self.precision
        )
    }
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown processor".into(), |(_, name)| name.trim().into())
}
