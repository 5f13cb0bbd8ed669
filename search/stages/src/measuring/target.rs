use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tnas_export::OnnxRuntime;
use tnas_graph::Runtime;
use tnas_latency::{Fingerprint, Quantity};
use tnas_network::{BurnRuntime, open_device};

use crate::settings::ProfileSettings;

/// A runtime on a device of this machine: `burn`, `burn@gpu`, `burn@cuda:0` or `onnxruntime`, with fixed threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    runtime: Kind,
    device: String,
    /// Threads of the measured process.
    pub threads: usize,
    /// ONNX Runtime's library, or the Python environment that has it, where it is named.
    runtime_file: Option<PathBuf>,
    quantity: Quantity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Burn,
    OnnxRuntime,
}

impl Target {
    /// Reads a study's name of it.
    pub fn new(name: &str, settings: &ProfileSettings) -> anyhow::Result<Self> {
        let (runtime, device) = name.split_once('@').unwrap_or((name, "cpu"));
        let runtime = match (runtime, device) {
            ("burn", _) => Kind::Burn,
            ("onnxruntime", "cpu") => Kind::OnnxRuntime,
            ("onnxruntime", _) => anyhow::bail!(
                "failed to measure by {name}: onnxruntime is measured on the cpu; burn is on cpu, gpu and cuda:N"
            ),
            _ => {
                anyhow::bail!("failed to find runtime {name:?}: there are burn, burn@gpu, burn@cuda:N, onnxruntime")
            }
        };
        // A graphics card's work takes no processor time.
        let usual = if device == "cpu" { Quantity::Cpu } else { Quantity::Wall };
        Ok(Self {
            runtime,
            device: device.into(),
            threads: settings.threads,
            runtime_file: settings.onnxruntime.clone(),
            quantity: settings.quantity.unwrap_or(usual),
        })
    }

    /// The clock that is learned.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// Loads the runtime, in the process that measures.
    pub fn open(&self) -> anyhow::Result<Box<dyn Runtime>> {
        Ok(match self.runtime {
            Kind::Burn => Box::new(BurnRuntime::new(&open_device(&self.device)?)),
            Kind::OnnxRuntime => Box::new(OnnxRuntime::open(self.runtime_file.as_deref(), self.threads)?),
        })
    }

    /// What its measurements depend on, or `None` where the runtime's library was not named and is not found.
    pub fn fingerprint(&self) -> anyhow::Result<Option<Fingerprint>> {
        let (runtime, version) = match self.runtime {
            // The version of Burn that Cargo.toml pins, and ours: the fused operations are this project's.
            Kind::Burn => ("burn", concat!("0.22.1, tnas ", env!("CARGO_PKG_VERSION")).to_string()),
            Kind::OnnxRuntime => match OnnxRuntime::open(self.runtime_file.as_deref(), self.threads) {
                Ok(runtime) => ("onnxruntime", runtime.version()),
                Err(error) if self.runtime_file.is_some() => return Err(error.into()),
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(self.with_version(runtime, &version)))
    }

    /// What its measurements depend on, but for the version of a library that is missing.
    pub fn unknown_version(&self) -> Fingerprint {
        self.with_version(if self.runtime == Kind::Burn { "burn" } else { "onnxruntime" }, "")
    }

    fn with_version(&self, runtime: &str, version: &str) -> Fingerprint {
        let here = Fingerprint::here(runtime, version, self.threads);
        Fingerprint { device_name: self.device.clone(), ..here }
    }
}
