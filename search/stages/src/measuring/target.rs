use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tnas_graph::{Runtime, RuntimeError, RuntimeKind, RuntimeOptions};
use tnas_latency::{Fingerprint, Quantity};

use super::runtimes::parse_target;
use crate::settings::ProfileSettings;

/// A runtime on a device of this machine, with fixed threads: `burn`, `burn@gpu`, `onnxruntime`, …
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// As the study names it.
    name: String,
    /// Threads of the measured process.
    pub threads: usize,
    /// The runtime's library, or the Python environment that has it, where the study names it.
    library: Option<PathBuf>,
    quantity: Quantity,
}

impl Target {
    /// Reads a study's name of it.
    pub fn new(name: &str, settings: &ProfileSettings) -> anyhow::Result<Self> {
        let (kind, device) = parse_target(name)?;
        // A graphics card's work takes no processor time.
        let usual = if device == "cpu" { Quantity::Cpu } else { Quantity::Wall };
        Ok(Self {
            name: name.into(),
            threads: settings.threads,
            library: settings.library(kind.name).cloned(),
            quantity: settings.quantity.unwrap_or(usual),
        })
    }

    /// The clock that is learned.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// Loads the runtime, in the process that measures.
    pub fn open(&self) -> anyhow::Result<Box<dyn Runtime>> {
        let (kind, options) = self.parts()?;
        Ok((kind.open)(&options)?)
    }

    /// What its measurements depend on, or why its library cannot be loaded: an error only where the study names it.
    pub fn fingerprint(&self) -> anyhow::Result<Result<Fingerprint, RuntimeError>> {
        let (kind, options) = self.parts()?;
        match (kind.version)(&options) {
            Ok(version) => Ok(Ok(self.with_version(&version)?)),
            Err(error) if self.library.is_some() => Err(error.into()),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Name of its profile's file, the same for every version of the library.
    pub fn id(&self) -> anyhow::Result<String> {
        Ok(self.with_version("")?.id())
    }

    fn parts(&self) -> anyhow::Result<(&'static RuntimeKind, RuntimeOptions)> {
        let (kind, device) = parse_target(&self.name)?;
        let options =
            RuntimeOptions { device: device.into(), threads: self.threads, library: self.library.clone() };
        Ok((kind, options))
    }

    fn with_version(&self, version: &str) -> anyhow::Result<Fingerprint> {
        let (kind, options) = self.parts()?;
        let here = Fingerprint::here(kind.name, version, self.threads);
        Ok(Fingerprint { device_name: options.device, precision: kind.precision.into(), ..here })
    }
}
