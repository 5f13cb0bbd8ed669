use std::path::PathBuf;

use crate::{Runtime, RuntimeError};

/// A kind of runtime: all that measuring, export, settings, help and messages know of it.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeKind {
    /// Name in studies, profiles and reports.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Devices that it computes on, as patterns (`cuda:N` is any CUDA device); the first is the usual one.
    pub devices: &'static [&'static str],
    /// Command that installs its library, or `None` for a part of this program.
    pub install: Option<&'static str>,
    /// Extensions of the model files that it reads, see [`Runtime::load_file`].
    pub reads: &'static [&'static str],
    /// Number format that it computes in.
    pub precision: &'static str,
    /// Version of the library that [`RuntimeKind::open`] would load.
    pub version: fn(&RuntimeOptions) -> Result<String, RuntimeError>,
    /// Loads it.
    pub open: fn(&RuntimeOptions) -> Result<Box<dyn Runtime>, RuntimeError>,
}

/// How a runtime is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// One of its devices.
    pub device: String,
    /// Threads that it may compute with.
    pub threads: usize,
    /// File of its library, or folder of a Python environment that has it; searched for where not given.
    pub library: Option<PathBuf>,
}

impl RuntimeKind {
    /// Whether it computes on a device of this name.
    pub fn has_device(&self, name: &str) -> bool {
        let matches = |pattern: &&str| match pattern.strip_suffix('N') {
            Some(front) => name.strip_prefix(front).is_some_and(|index| index.parse::<usize>().is_ok()),
            None => *pattern == name,
        };
        self.devices.iter().any(matches)
    }

    /// Its names in a study, e.g. `burn`, `burn@gpu` and `burn@cuda:N`.
    pub fn targets(&self) -> impl Iterator<Item = String> {
        let others = self.devices.iter().skip(1).map(|device| format!("{}@{device}", self.name));
        std::iter::once(self.name.to_string()).chain(others)
    }
}

impl RuntimeOptions {
    /// The CPU with so many threads, by the library that is found.
    pub fn cpu(threads: usize) -> Self {
        Self { device: "cpu".into(), threads, library: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never<T>(_: &RuntimeOptions) -> Result<T, RuntimeError> {
        Err(RuntimeError::NoLibrary { runtime: "test".into(), reason: "it is a test".into() })
    }

    #[test]
    fn devices_are_patterns() {
        let kind = RuntimeKind {
            name: "test",
            help: "",
            devices: &["cpu", "cuda:N"],
            install: None,
            reads: &[],
            precision: "f32",
            version: never,
            open: never,
        };
        assert!(kind.has_device("cpu") && kind.has_device("cuda:0") && kind.has_device("cuda:12"));
        assert!(!kind.has_device("gpu") && !kind.has_device("cuda:") && !kind.has_device("cuda:N"));
        assert_eq!(kind.targets().collect::<Vec<_>>(), ["test", "test@cuda:N"]);
    }
}
