use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ort::{
    environment::Environment,
    session::{Session as OrtSession, SessionInputValue, builder::GraphOptimizationLevel},
    value::Tensor,
};
use tnas_graph::{
    Graph, HostData, HostTensor, Runtime, RuntimeError, RuntimeKind, RuntimeOptions, Session, Weights,
};

use super::{library::Library, onnx_bytes, read};

/// ONNX Runtime with its own CPU kernels.
pub(super) const ONNX_RUNTIME: RuntimeKind = RuntimeKind {
    name: "onnxruntime",
    help: "ONNX Runtime with its CPU kernels, by the library of its Python package",
    devices: &["cpu"],
    install: Some("pip install onnxruntime"),
    reads: &["onnx"],
    precision: "f32",
    version: |options| Ok(OnnxRuntime::open(options)?.version()),
    open: |options| Ok(Box::new(OnnxRuntime::open(options)?)),
};

static LIBRARY: Library = Library {
    package: "onnxruntime",
    folder: "capi",
    stem: "libonnxruntime",
    variable: "ORT_DYLIB_PATH",
    installed: OnceLock::new(),
};

struct OnnxRuntime {
    threads: usize,
    file: PathBuf,
}

struct OnnxSession {
    session: OrtSession,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl OnnxRuntime {
    fn open(options: &RuntimeOptions) -> Result<Self, RuntimeError> {
        let file = LIBRARY.find(options.library.as_deref())?;
        environment(&file)?;
        Ok(Self { threads: options.threads, file })
    }

    /// Off the library's file name.
    fn version(&self) -> String {
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.split_once(".so.").map_or(name.clone(), |(_, version)| version.into())
    }

    fn session(&self, model: &[u8]) -> Result<Box<dyn Session>, RuntimeError> {
        let builder = OrtSession::builder(environment(&self.file)?).map_err(|error| failed(&error))?;
        let builder = builder.with_intra_threads(self.threads).map_err(|error| failed(&error))?;
        let builder = builder.with_inter_threads(1).map_err(|error| failed(&error))?;
        let mut builder =
            builder.with_optimization_level(GraphOptimizationLevel::Level3).map_err(|error| failed(&error))?;
        let session = builder.commit_from_memory(model).map_err(|error| failed(&error))?;
        let inputs = session.inputs().iter().map(|input| input.name().to_string()).collect();
        let outputs = session.outputs().iter().map(|output| output.name().to_string()).collect();
        Ok(Box::new(OnnxSession { session, inputs, outputs }))
    }
}

impl Runtime for OnnxRuntime {
    fn name(&self) -> &str {
        ONNX_RUNTIME.name
    }

    fn load(&self, graph: &Graph, weights: &dyn Weights) -> Result<Box<dyn Session>, RuntimeError> {
        self.session(&onnx_bytes(&ONNX_RUNTIME, graph, weights)?)
    }

    fn load_file(&self, file: &Path) -> Result<Box<dyn Session>, RuntimeError> {
        self.session(&read(file)?)
    }
}

impl Session for OnnxSession {
    fn run(&mut self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, RuntimeError> {
        let mut values: Vec<(String, SessionInputValue<'_>)> = Vec::new();
        for (name, input) in self.inputs.iter().zip(inputs) {
            let shape = input.shape.clone();
            let value: SessionInputValue<'_> = match &input.data {
                HostData::F32(data) => {
                    Tensor::from_array((shape, data.clone())).map_err(|error| failed(&error))?.into()
                }
                HostData::I64(data) => {
                    Tensor::from_array((shape, data.clone())).map_err(|error| failed(&error))?.into()
                }
            };
            values.push((name.clone(), value));
        }
        let outputs = self.session.run(values).map_err(|error| failed(&error))?;
        let read = |name: &String| {
            let value = outputs.get(name).ok_or_else(|| failed(&format!("it gave no output {name}")))?;
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(|error| failed(&error))?;
            let shape: Vec<usize> = shape.iter().map(|&length| length as usize).collect();
            Ok(HostTensor::f32(&shape, data.to_vec()))
        };
        self.outputs.iter().map(read).collect()
    }
}

fn failed(error: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Backend { runtime: ONNX_RUNTIME.name.into(), message: error.to_string() }
}

/// The process's one environment: the library that is asked for first stays loaded.
fn environment(library: &Path) -> Result<&'static Environment, RuntimeError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let load = || {
        let builder = ort::init_from(library).map_err(|error| error.to_string())?;
        builder.build().map_err(|error| error.to_string())
    };
    let loaded = LOADED.get_or_init(load).as_ref();
    loaded.map_err(|message| failed(&format!("{}: {message}", library.display())))
}
