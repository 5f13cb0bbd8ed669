//! `tnas doctor`: what this machine offers to a study.

use serde::Serialize;
use tnas_graph::RuntimeOptions;
use tnas_latency::Fingerprint;
use tnas_network::{Adapter, adapters, open_device};
use tnas_stages::measuring::runtimes::runtimes;

use crate::print::{self, table::with_words};

/// Everything that is reported.
#[derive(Serialize)]
struct Machine {
    version: &'static str,
    features: Vec<&'static str>,
    processor: String,
    os: String,
    cores: usize,
    vector_instructions: Vec<&'static str>,
    devices: Vec<DeviceFigures>,
    adapters: Vec<AdapterFigures>,
    runtimes: Vec<RuntimeFigures>,
}

/// Whether `--device` takes a device, or why not.
#[derive(Serialize)]
struct DeviceFigures {
    device: &'static str,
    error: Option<String>,
}

#[derive(Serialize)]
struct AdapterFigures {
    name: String,
    kind: &'static str,
    backend: String,
    driver: String,
    max_buffer_bytes: u64,
    max_tensor_bytes: u64,
}

/// A runtime to measure and verify by: its version, or why it is not found.
#[derive(Serialize)]
struct RuntimeFigures {
    runtime: &'static str,
    version: Option<String>,
    error: Option<String>,
    install: Option<&'static str>,
}

/// Prints processor, devices, graphics adapters and runtimes.
pub fn doctor(as_json: bool) -> anyhow::Result<()> {
    let machine = Machine::here();
    if as_json {
        return print::json("doctor", &machine);
    }
    machine.print();
    Ok(())
}

impl Machine {
    fn here() -> Self {
        let Fingerprint { cpu_model, cores, os, .. } = Fingerprint::here("", "", 1);
        let device =
            |device| DeviceFigures { device, error: open_device(device).err().map(|error| error.to_string()) };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            features: features(),
            processor: cpu_model,
            os,
            cores,
            vector_instructions: vector_instructions(),
            devices: ["cpu", "gpu", "gpu:software", "cuda:0"].map(device).into(),
            adapters: adapters().unwrap_or_default().into_iter().map(AdapterFigures::of).collect(),
            runtimes: runtimes().map(RuntimeFigures::of).collect(),
        }
    }

    fn print(&self) {
        println!("tnas {}, built with {}", self.version, self.features.join(", "));
        println!("{}: {}, {} cores, {}", self.os, self.processor, self.cores, self.vector_instructions.join(" "));
        println!();
        let mut rows = with_words(&["--device".into(), String::new()], 2);
        for DeviceFigures { device, error } in &self.devices {
            rows.add_row([(*device).to_owned(), error.clone().unwrap_or_else(|| "ready".into())]);
        }
        println!("{rows}");
        println!();
        let head = ["graphics adapter", "kind", "API", "driver", "GiB a buffer", "GiB a tensor"];
        let mut rows = with_words(&head.map(str::to_owned), 4);
        for adapter in &self.adapters {
            let gib = |bytes: u64| format!("{:.2}", bytes as f64 / f64::from(1 << 30));
            let AdapterFigures { name, kind, backend, driver, .. } = adapter;
            let limits = [gib(adapter.max_buffer_bytes), gib(adapter.max_tensor_bytes)];
            let words = [name.clone(), (*kind).to_owned(), backend.clone(), driver.clone()];
            rows.add_row([words.to_vec(), limits.to_vec()].concat());
        }
        if self.adapters.is_empty() {
            println!("no graphics adapter");
        } else {
            println!("{rows}");
        }
        println!();
        let mut rows = with_words(&["runtime".into(), String::new()], 2);
        for RuntimeFigures { runtime, version, error, install } in &self.runtimes {
            let missing = || {
                let install = install.map_or_else(String::new, |command| format!("; {command}"));
                format!("{}{install}", error.as_deref().unwrap_or("not found"))
            };
            rows.add_row([(*runtime).to_owned(), version.clone().unwrap_or_else(missing)]);
        }
        println!("{rows}");
    }
}

impl AdapterFigures {
    fn of(adapter: Adapter) -> Self {
        let Adapter { name, backend, driver, kind, max_buffer_bytes, max_storage_bytes } = adapter;
        Self { name, kind: kind.name(), backend, driver, max_buffer_bytes, max_tensor_bytes: max_storage_bytes }
    }
}

impl RuntimeFigures {
    fn of(kind: &tnas_graph::RuntimeKind) -> Self {
        let (version, error) = match (kind.version)(&RuntimeOptions::cpu(1)) {
            Ok(version) => (Some(version), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { runtime: kind.name, version, error, install: kind.install }
    }
}

/// Cargo features that the program was built with.
fn features() -> Vec<&'static str> {
    let all =
        [("flex", cfg!(feature = "flex")), ("wgpu", cfg!(feature = "wgpu")), ("cuda", cfg!(feature = "cuda"))];
    let all = all.into_iter().chain([("mp4", cfg!(feature = "mp4"))]);
    all.filter_map(|(name, built)| built.then_some(name)).collect()
}

/// What the processor has of the vector instructions that kernels use.
fn vector_instructions() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let all = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let all = [("neon", cfg!(target_arch = "aarch64"))];
    all.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}
