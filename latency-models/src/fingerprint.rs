use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a measurement depends on besides the architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Which part of the machine computes, e.g. `cpu`, or the phone's name.
    pub device_name: String,
    /// Processor as the system names it.
    pub cpu_model: String,
    /// Logical cores.
    pub cores: usize,
    /// Threads of the measured process.
    pub threads: usize,
    /// `burn`, `onnxruntime`, …
    pub runtime: String,
    /// Its version.
    pub runtime_version: String,
    /// Number format of the weights.
    pub precision: String,
    /// Operating system and architecture.
    pub os: String,
}

impl Fingerprint {
    /// This machine's processor with a runtime in `f32`.
    pub fn here(runtime: &str, runtime_version: &str, threads: usize) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            device_name: "cpu".into(),
            cpu_model: cpu_model(&cpuinfo),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            runtime: runtime.into(),
            runtime_version: runtime_version.into(),
            precision: "f32".into(),
            os: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }

    /// Short name for files, e.g. `cpu-burn-2t`. Not unique over machines: [`Fingerprint::differences`] distinguishes them.
    pub fn id(&self) -> String {
        let mut id = format!("{}-{}-{}t", slug(&self.device_name), slug(&self.runtime), self.threads);
        if self.precision != "f32" {
            id += &format!("-{}", slug(&self.precision));
        }
        id
    }

    /// For people: where a number was measured.
    pub fn describe(&self) -> String {
        let Self { cpu_model, runtime, runtime_version, threads, precision, .. } = self;
        let plural = if *threads == 1 { "" } else { "s" };
        let device = if self.device_name == "cpu" { String::new() } else { format!("{}, ", self.device_name) };
        format!("{device}{cpu_model}, {runtime} {runtime_version}, {threads} thread{plural}, {precision}")
    }

    /// The facts in which two devices differ, as `name: ours here, theirs there`. Empty: their numbers can be mixed.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let facts = |f: &Self| {
            [
                ("device", f.device_name.clone()),
                ("processor", f.cpu_model.clone()),
                ("cores", f.cores.to_string()),
                ("threads", f.threads.to_string()),
                ("runtime", f.runtime.clone()),
                ("runtime version", f.runtime_version.clone()),
                ("precision", f.precision.clone()),
                ("system", f.os.clone()),
            ]
        };
        let pairs = facts(self).into_iter().zip(facts(other));
        pairs.filter(|(a, b)| a != b).map(|((name, a), (_, b))| format!("{name}: {a} against {b}")).collect()
    }
}

/// Names differ by architecture: x86 has `model name`, ARM boards `Hardware` or `Model`.
fn cpu_model(cpuinfo: &str) -> String {
    let field = |wanted: &str| {
        let pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let mut values = pairs.filter(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim());
        values.find(|value| !value.is_empty()).map(str::to_string)
    };
    let known = ["model name", "Hardware", "Model", "cpu model"].into_iter().find_map(field);
    known.unwrap_or_else(|| format!("unknown {} processor", std::env::consts::ARCH))
}

/// A name for files: lower-case letters, digits and single hyphens.
pub fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_or_said_to_be_unknown() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Xeon 9\n"), "Xeon 9");
        assert_eq!(cpu_model("processor : 0\nHardware : BCM2711\n"), "BCM2711");
        assert!(cpu_model("").contains("unknown"));
        assert!(cpu_model("model name :\n").contains("unknown"));
    }

    #[test]
    fn ids_are_file_names() {
        let mut here = Fingerprint::here("burn", "0.22.1", 2);
        assert_eq!(here.id(), "cpu-burn-2t");
        here.device_name = "Pixel 9 / NPU".into();
        here.precision = "f16".into();
        assert_eq!(here.id(), "pixel-9-npu-burn-2t-f16");
    }

    #[test]
    fn differences_name_the_facts() {
        let here = Fingerprint::here("burn", "0.22.1", 2);
        assert!(here.differences(&here).is_empty());
        let there = Fingerprint { threads: 4, ..here.clone() };
        assert_eq!(here.differences(&there), ["threads: 2 against 4"]);
    }
}
