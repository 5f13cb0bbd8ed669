use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use openvino::{CompiledModel, Core, DeviceType, ElementType, InferRequest, RwPropertyKey, Shape, Tensor};
use tnas_graph::{
    Graph, HostData, HostTensor, Runtime, RuntimeError, RuntimeKind, RuntimeOptions, Session, Weights,
};

use super::{library::Library, onnx_bytes, read};

/// Intel's OpenVINO on the CPU. Its default is bf16 where the processor has it; here it is asked for f32.
pub(super) const OPENVINO: RuntimeKind = RuntimeKind {
    name: "openvino",
    help: "Intel's OpenVINO on the CPU in f32, in latency mode, by the library of its Python package",
    devices: &["cpu"],
    install: Some("pip install openvino"),
    reads: &["onnx"],
    precision: "f32",
    version: |options| Ok(OpenVino::open(options)?.version),
    open: |options| Ok(Box::new(OpenVino::open(options)?)),
};

static LIBRARY: Library = Library {
    package: "openvino",
    folder: "libs",
    stem: "libopenvino_c",
    variable: "OPENVINO_LIB_PATH",
    installed: OnceLock::new(),
};

struct OpenVino {
    threads: usize,
    /// Release and build, e.g. `2026.4.1-22982`.
    version: String,
}

/// A compiled model with its one request. Fields are dropped in this order.
struct OpenVinoSession {
    request: InferRequest,
    model: CompiledModel,
    _core: Core,
}

impl OpenVino {
    fn open(options: &RuntimeOptions) -> Result<Self, RuntimeError> {
        load(&LIBRARY.find(options.library.as_deref())?)?;
        let version = openvino::version();
        let version: Vec<&str> = version.build_number.splitn(3, '-').take(2).collect();
        Ok(Self { threads: options.threads, version: version.join("-") })
    }

    fn session(&self, model: &[u8]) -> Result<Box<dyn Session>, RuntimeError> {
        let mut core = Core::new().map_err(|error| failed(&error))?;
        let threads = self.threads.to_string();
        let properties = [
            (RwPropertyKey::HintInferencePrecision, "f32"),
            (RwPropertyKey::HintPerformanceMode, "LATENCY"),
            (RwPropertyKey::NumStreams, "1"),
            (RwPropertyKey::InferenceNumThreads, threads.as_str()),
        ];
        core.set_properties(&DeviceType::CPU, properties).map_err(|error| failed(&error))?;
        let model = core.read_model_from_buffer(model, None).map_err(|error| failed(&error))?;
        let mut model = core.compile_model(&model, DeviceType::CPU).map_err(|error| failed(&error))?;
        let request = model.create_infer_request().map_err(|error| failed(&error))?;
        Ok(Box::new(OpenVinoSession { request, model, _core: core }))
    }
}

impl Runtime for OpenVino {
    fn name(&self) -> &str {
        OPENVINO.name
    }

    fn load(&self, graph: &Graph, weights: &dyn Weights) -> Result<Box<dyn Session>, RuntimeError> {
        self.session(&onnx_bytes(&OPENVINO, graph, weights)?)
    }

    fn load_file(&self, file: &Path) -> Result<Box<dyn Session>, RuntimeError> {
        self.session(&read(file)?)
    }
}

impl Session for OpenVinoSession {
    fn run(&mut self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, RuntimeError> {
        for (index, input) in inputs.iter().enumerate() {
            let tensor = to_tensor(input)?;
            self.request.set_input_tensor_by_index(index, &tensor).map_err(|error| failed(&error))?;
        }
        self.request.infer().map_err(|error| failed(&error))?;
        let count = self.model.get_output_size().map_err(|error| failed(&error))?;
        let output = |index| from_tensor(&self.request.get_output_tensor_by_index(index)?);
        (0..count).map(|index| output(index).map_err(|error| failed(&error))).collect()
    }
}

fn to_tensor(input: &HostTensor) -> Result<Tensor, RuntimeError> {
    let dimensions: Vec<i64> = input.shape.iter().map(|&length| length as i64).collect();
    let element = match input.data {
        HostData::F32(_) => ElementType::F32,
        HostData::I64(_) => ElementType::I64,
    };
    let make = || -> Result<Tensor, openvino::InferenceError> {
        let mut tensor = Tensor::new(element, &Shape::new(&dimensions)?)?;
        match &input.data {
            HostData::F32(data) => tensor.get_data_mut::<f32>()?.copy_from_slice(data),
            HostData::I64(data) => tensor.get_data_mut::<i64>()?.copy_from_slice(data),
        }
        Ok(tensor)
    };
    make().map_err(|error| failed(&error))
}

fn from_tensor(tensor: &Tensor) -> Result<HostTensor, openvino::InferenceError> {
    let shape: Vec<usize> = tensor.get_shape()?.get_dimensions().iter().map(|&length| length as usize).collect();
    Ok(HostTensor::f32(&shape, tensor.get_data::<f32>()?.to_vec()))
}

/// The library that is asked for first stays loaded: the process has one.
fn load(library: &Path) -> Result<(), RuntimeError> {
    static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if loaded.is_none() {
        let fail = |message: String| failed(&format!("{}: {message}", library.display()));
        openvino_sys::library::load_from(library).map_err(fail)?;
        *loaded = Some(library.into());
    }
    Ok(())
}

fn failed(error: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Backend { runtime: OPENVINO.name.into(), message: error.to_string() }
}
