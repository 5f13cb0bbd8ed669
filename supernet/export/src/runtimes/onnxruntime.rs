use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use ort::{
    environment::Environment,
    session::{Session as OrtSession, SessionInputValue, builder::GraphOptimizationLevel},
    value::Tensor,
};
use tnas_graph::{Graph, HostData, HostTensor, Runtime, RuntimeError, Session, Weights};

use crate::{ExportError, ModelInfo, to_onnx};

/// ONNX Runtime, loaded from its shared library.
#[derive(Clone, Debug)]
pub struct OnnxRuntime {
    threads: usize,
    file: PathBuf,
}

/// A model in ONNX Runtime.
#[derive(Debug)]
pub struct OnnxSession {
    session: OrtSession,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl OnnxRuntime {
    /// Loads the library: the one given (its file, or the folder of a Python environment that has it), `ORT_DYLIB_PATH`,
    /// or the one inside the onnxruntime package of the `python3` that is found.
    pub fn open(path: Option<&Path>, threads: usize) -> Result<Self, ExportError> {
        let library = match path {
            Some(folder) if folder.is_dir() => in_environment(folder)
                .ok_or_else(|| ExportError::NoLibrary { tried: format!(" in {}", folder.display()) })?,
            Some(path) => path.to_path_buf(),
            None => find_library().ok_or(ExportError::NoLibrary { tried: String::new() })?,
        };
        if !library.is_file() {
            return Err(ExportError::NoLibrary { tried: format!(" at {}", library.display()) });
        }
        environment(&library)?;
        Ok(Self { threads, file: library })
    }

    /// Its version, off the library's file name.
    pub fn version(&self) -> String {
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.split_once(".so.").map_or(name.clone(), |(_, version)| version.into())
    }

    /// Opens an ONNX file.
    pub fn session_from_file(&self, path: &Path) -> Result<OnnxSession, ExportError> {
        let bytes = std::fs::read(path).map_err(|source| ExportError::Read { path: path.into(), source })?;
        self.session(&bytes, &path.display().to_string())
    }

    fn session(&self, bytes: &[u8], what: &str) -> Result<OnnxSession, ExportError> {
        let fail = |error: String| ExportError::Runtime { what: what.into(), message: error };
        let builder = OrtSession::builder(environment(&self.file)?).map_err(|error| fail(error.to_string()))?;
        let builder = builder.with_intra_threads(self.threads).map_err(|error| fail(error.to_string()))?;
        let builder = builder.with_inter_threads(1).map_err(|error| fail(error.to_string()))?;
        let mut builder = builder
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(|error| fail(error.to_string()))?;
        let session = builder.commit_from_memory(bytes).map_err(|error| fail(error.to_string()))?;
        let inputs = session.inputs().iter().map(|input| input.name().to_string()).collect();
        let outputs = session.outputs().iter().map(|output| output.name().to_string()).collect();
        Ok(OnnxSession { session, inputs, outputs })
    }
}

impl Runtime for OnnxRuntime {
    fn name(&self) -> &str {
        "onnxruntime"
    }

    fn load(&self, graph: &Graph, weights: &dyn Weights) -> Result<Box<dyn Session>, RuntimeError> {
        let fail = |error: ExportError| RuntimeError::Backend {
            runtime: "onnxruntime".into(),
            message: error.to_string(),
        };
        let bytes = to_onnx(graph, weights, &ModelInfo::default()).map_err(fail)?;
        Ok(Box::new(self.session(&bytes, "the model").map_err(fail)?))
    }
}

impl Session for OnnxSession {
    fn run(&mut self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>, RuntimeError> {
        let fail = |message: String| RuntimeError::Backend { runtime: "onnxruntime".into(), message };
        let mut values: Vec<(String, SessionInputValue<'_>)> = Vec::new();
        for (name, input) in self.inputs.iter().zip(inputs) {
            let shape = input.shape.clone();
            let value: SessionInputValue<'_> = match &input.data {
                HostData::F32(data) => {
                    Tensor::from_array((shape, data.clone())).map_err(|error| fail(error.to_string()))?.into()
                }
                HostData::I64(data) => {
                    Tensor::from_array((shape, data.clone())).map_err(|error| fail(error.to_string()))?.into()
                }
            };
            values.push((name.clone(), value));
        }
        let outputs = self.session.run(values).map_err(|error| fail(error.to_string()))?;
        let read = |name: &String| {
            let value = outputs.get(name).ok_or_else(|| fail(format!("no output {name}")))?;
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(|error| fail(error.to_string()))?;
            let shape: Vec<usize> = shape.iter().map(|&length| length as usize).collect();
            Ok(HostTensor::f32(&shape, data.to_vec()))
        };
        self.outputs.iter().map(read).collect()
    }
}

/// The process's one environment: the library that is asked for first stays loaded.
fn environment(library: &Path) -> Result<&'static Environment, ExportError> {
    static LOADED: OnceLock<Result<Environment, String>> = OnceLock::new();
    let load = || {
        let builder = ort::init_from(library).map_err(|error| error.to_string())?;
        builder.build().map_err(|error| error.to_string())
    };
    let fail =
        |message: &String| ExportError::Runtime { what: library.display().to_string(), message: message.clone() };
    LOADED.get_or_init(load).as_ref().map_err(fail)
}

fn find_library() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return Some(path.into());
    }
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(ask_python).clone()
}

/// Where Python keeps its onnxruntime package; nothing of it is imported.
fn ask_python() -> Option<PathBuf> {
    let code = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '')";
    let output = Command::new("python3").args(["-c", code]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    in_package(Path::new(folder.trim()))
}

/// The library of a virtual or conda environment, or of a folder that holds it.
fn in_environment(root: &Path) -> Option<PathBuf> {
    let site_packages = |lib: PathBuf| entries(&lib).into_iter().map(|version| version.join("site-packages"));
    let pythons = site_packages(root.join("lib")).chain([root.join("Lib/site-packages"), root.to_path_buf()]);
    let packages = pythons.map(|folder| folder.join("onnxruntime")).chain([root.to_path_buf()]);
    packages.into_iter().find_map(|package| in_package(&package)).or_else(|| library_among(entries(root)))
}

fn in_package(package: &Path) -> Option<PathBuf> {
    library_among(entries(&package.join("capi")))
}

/// What lies in a folder, sorted; nothing where it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = found.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn library_among(files: Vec<PathBuf>) -> Option<PathBuf> {
    files.into_iter().find(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with("libonnxruntime.so") || name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
    })
}
