//! A model compared with outputs that another implementation gave for the same inputs.

mod autoencoder;
mod golden;
mod motion;
pub mod row;
pub mod scheduler;
mod text;
mod unet;

use std::path::{Path, PathBuf};

use anyhow::Context;
use tnas_graph::{Dtype, Graph, HostTensor};
use tnas_network::{Device, Parameters, Value, execute, open_device};
use tnas_weights::SafeTensors;

use crate::{
    class_name::ClassName,
    model_folder::{check_weights, read_parameters, stem},
};
use golden::Golden;
use row::Compared;

pub use row::Row;

/// A golden case was missed.
#[derive(Debug)]
pub struct Differs(String);

impl std::fmt::Display for Differs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Differs {}

/// A kind of model that can be run on golden cases.
trait Subject {
    /// The folder's weights, under the names that the graphs use.
    fn weights(&self, folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
        read_parameters(folder, stem(folder), device)
    }

    /// The graphs of one case. Together they read every weight; an output's name is what follows `case<i>.` in the file.
    fn graphs(&self, case: &Golden) -> anyhow::Result<Vec<Graph>>;

    /// An input of one of the graphs.
    fn input(&self, case: &Golden, name: &str, shape: &[usize], dtype: Dtype) -> anyhow::Result<HostTensor> {
        case.input(name, shape, dtype)
    }

    /// What the file has for an output, as the graph lays it out.
    fn golden(&self, case: &Golden, output: &str) -> anyhow::Result<Vec<f32>> {
        case.floats(output)
    }

    /// What a weight or node is called in the files.
    fn recorded(&self, name: &str) -> String {
        name.into()
    }
}

/// The kind of model that a `config.json` is of.
fn subject(config: &str) -> anyhow::Result<Box<dyn Subject>> {
    if let Some(motion) = motion::Motion::from_json(config)? {
        return Ok(Box::new(motion));
    }
    let options: ClassName = serde_json::from_str(config)?;
    let text = options.model_type.as_deref() == Some("clip_text_model");
    match options.class() {
        Some(name) if name.starts_with("Autoencoder") => Ok(Box::new(autoencoder::Images::from_json(config)?)),
        Some(name) if name.starts_with("CLIPText") => Ok(Box::new(text::Text::from_json(config)?)),
        None if text => Ok(Box::new(text::Text::from_json(config)?)),
        _ => Ok(Box::new(unet::UNet::from_json(config)?)),
    }
}

/// The cases of a folder and their errors.
pub struct Checked<R> {
    /// What was checked.
    pub folder: PathBuf,
    /// Each case.
    pub rows: Vec<R>,
    /// Names of the cases beyond the tolerance.
    pub missed: Vec<String>,
}

impl<R> Checked<R> {
    /// An error where a case is beyond the tolerance.
    pub fn verdict(&self) -> Result<(), Differs> {
        match &self.missed[..] {
            [] => Ok(()),
            missed => Err(Differs(format!(
                "failed to reproduce {}: {} differs",
                self.folder.display(),
                missed.join(", ")
            ))),
        }
    }
}

/// Runs every case of `io.safetensors` (`case<i>.in.<input>`, `case<i>.out`, `case<i>.mid.<module>`) on the model of
/// `config.json` and `model.safetensors`.
pub fn check(folder: &Path, device: &str) -> anyhow::Result<Checked<Row>> {
    let device = open_device(device)?;
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let subject = subject(&text).with_context(|| format!("failed to use {}", path.display()))?;
    let weights = subject.weights(folder, &device)?;
    let io = SafeTensors::open(folder.join("io.safetensors"))?;
    let mut rows = Vec::new();
    for case in (0..).map(|case| Golden { io: &io, case }).take_while(Golden::exists) {
        rows.push(run(&*subject, &case, &weights).with_context(|| format!("failed to run case {}", case.case))?);
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "failed to use {}: it has no case0.out",
        folder.join("io.safetensors").display()
    );
    let missed = rows.iter().filter(|row| !row.passes()).map(|row| format!("case {}", row.case)).collect();
    Ok(Checked { folder: folder.into(), rows, missed })
}

/// One case on all graphs of the model.
fn run(subject: &dyn Subject, case: &Golden, weights: &Parameters) -> anyhow::Result<Row> {
    case.refuse_empty()?;
    let mut graphs = subject.graphs(case)?;
    let recorded = |name: &str| subject.recorded(name);
    check_weights(weights, &graphs.iter().collect::<Vec<_>>(), recorded)?;
    let device = weights.device();
    let mut row = Row { case: case.case, outputs: Vec::new(), modules: Vec::new() };
    for graph in &mut graphs {
        let outputs = graph.outputs.len();
        case.tap(graph, recorded);
        let inputs = graph.inputs.iter().map(|input| {
            let (shape, dtype) = (graph.shape(input.value), graph.dtype(input.value));
            Ok(Value::from_host(&subject.input(case, &input.name, shape, dtype)?, device))
        });
        let inputs = inputs.collect::<anyhow::Result<Vec<_>>>()?;
        let computed = execute(graph, weights, inputs, device)?;
        let compared = graph.outputs.iter().zip(&computed).map(|(output, computed)| {
            Ok(Compared::new(&output.name, computed.to_vec(), subject.golden(case, &output.name)?))
        });
        let mut compared = compared.collect::<anyhow::Result<Vec<_>>>()?;
        row.modules.extend(compared.split_off(outputs));
        row.outputs.extend(compared);
    }
    Ok(row)
}
