//! `tnas backbone check`: a backbone against outputs that another implementation gave for the same inputs.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value as Json, json};
use tnas_graph::{Dtype, Graph, HostTensor, Output, ValueId};
use tnas_network::{Device, Parameters, Value, execute, open_device};
use tnas_space::{Backbone, DenoiserShape, Genotype, UNetConfig};
use tnas_weights::SafeTensors;

use crate::model_folder::read_parameters;

/// Allowed error relative to the larger of 1 and the largest output.
const TOLERANCE: f32 = 1e-4;

/// A golden case was missed.
#[derive(Debug)]
pub struct Differs(String);

impl std::fmt::Display for Differs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Differs {}

/// Runs every case of `io.safetensors` (`case<i>.in.<input>`, `case<i>.out`, `case<i>.mid.<module>`) on the model of
/// `config.json` and `model.safetensors`.
pub fn check(folder: &Path, device: &str, json: bool) -> anyhow::Result<()> {
    let device = open_device(device)?;
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let config = UNetConfig::from_json(&text).with_context(|| format!("failed to use {}", path.display()))?;
    let stem = if folder.join("diffusion_pytorch_model.safetensors").exists() {
        "diffusion_pytorch_model"
    } else {
        "model"
    };
    let weights = read_parameters(folder, stem, &device)?;
    let io = SafeTensors::open(folder.join("io.safetensors"))?;
    let mut rows = Vec::new();
    for case in (0..).take_while(|case| io.info(&format!("case{case}.out")).is_ok()) {
        let golden = Golden { io: &io, case };
        rows.push(golden.run(&config, &weights, &device).with_context(|| format!("failed to run case {case}"))?);
    }
    anyhow::ensure!(
        !rows.is_empty(),
        "failed to use {}: it has no case0.out",
        folder.join("io.safetensors").display()
    );
    for row in rows.iter().filter(|_| !json) {
        println!("{row}");
    }
    if json {
        let cases: Vec<Json> = rows.iter().map(Row::to_json).collect();
        println!("{}", json!({"format_version": 1, "command": "backbone check", "folder": folder, "cases": cases}));
    }
    let missed: Vec<String> = rows.iter().filter(|row| !row.passes()).map(|row| row.case.to_string()).collect();
    if missed.is_empty() {
        return Ok(());
    }
    let message = format!("failed to reproduce {}: case {} differs", folder.display(), missed.join(", "));
    Err(Differs(message).into())
}

/// One case's errors.
struct Row {
    case: usize,
    error: f32,
    allowed: f32,
    /// Errors of the modules inside, in the order in which they run: name, error, allowed.
    modules: Vec<(String, f32, f32)>,
}

impl Row {
    fn passes(&self) -> bool {
        self.error <= self.allowed
    }

    fn first_different(&self) -> Option<&str> {
        self.modules.iter().find(|(_, error, allowed)| error > allowed).map(|(name, ..)| name.as_str())
    }

    fn to_json(&self) -> Json {
        json!({"case": self.case, "max_abs_error": finite(self.error), "allowed": self.allowed, "passes": self.passes(),
            "modules": self.modules.iter().map(|(name, error, _)| json!({"name": name, "max_abs_error": finite(*error)}))
                .collect::<Vec<_>>(),
            "first_different": self.first_different()})
    }
}

/// JSON has no infinity: what cannot be compared is null.
fn finite(x: f32) -> Option<f32> {
    x.is_finite().then_some(x)
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.passes() { "ok" } else { "DIFFERS" };
        write!(f, "case {}: max abs error {:.2e}, allowed {:.2e}: {word}", self.case, self.error, self.allowed)?;
        match self.first_different() {
            Some(name) => write!(f, ", first at {name}"),
            None if self.passes() || self.modules.is_empty() => Ok(()),
            None => write!(f, ", after the last module that is recorded"),
        }
    }
}

/// One case of a file of inputs and outputs.
struct Golden<'a> {
    io: &'a SafeTensors,
    case: usize,
}

impl Golden<'_> {
    fn name(&self, rest: &str) -> String {
        format!("case{}.{rest}", self.case)
    }

    fn shape(&self, rest: &str) -> Option<Vec<usize>> {
        self.io.info(&self.name(rest)).ok().map(|info| info.shape.clone())
    }

    /// A tensor as floats; integers are converted.
    fn floats(&self, rest: &str) -> anyhow::Result<Vec<f32>> {
        let name = self.name(rest);
        match self.io.f32(&name) {
            Ok(values) => Ok(values.into_owned()),
            Err(_) => Ok(self.io.i64(&name)?.iter().map(|&x| x as f32).collect()),
        }
    }

    fn run(&self, config: &UNetConfig, weights: &Parameters, device: &Device) -> anyhow::Result<Row> {
        let mut config = config.clone();
        if let (Some(text_time), Some([_, ids])) =
            (&mut config.embedding.text_time, self.shape("in.added_cond_kwargs.time_ids").as_deref())
        {
            text_time.ids = *ids;
        }
        let sample = self.shape("in.sample").context("there is no in.sample")?;
        let &[batch, _, height, width] = sample.as_slice() else {
            anyhow::bail!("in.sample has the shape {sample:?}, [B, C, H, W] is expected");
        };
        let tokens = match self.shape("in.encoder_hidden_states").as_deref() {
            Some([_, tokens, _]) => *tokens,
            _ => 1,
        };
        let shape = DenoiserShape { batch, frames: 1, height, width, tokens };
        let mut graph = Backbone::new(config).denoiser(&Genotype::none(), shape)?;
        weights.refuse_extra(&[&graph])?;
        weights.extract(&graph)?;
        let modules = self.tap(&mut graph);
        let inputs = graph.inputs.iter().map(|input| {
            let (shape, dtype) = (graph.shape(input.value), graph.dtype(input.value));
            Ok(Value::from_host(&self.input(&input.name, shape, dtype)?, device))
        });
        let inputs = inputs.collect::<anyhow::Result<Vec<_>>>()?;
        let outputs = execute(&graph, weights, inputs, device)?;
        let errors = outputs.iter().zip(std::iter::once("out").chain(modules.iter().map(String::as_str)));
        let mut errors = errors.map(|(output, name)| {
            let rest = if name == "out" { name.into() } else { format!("mid.{name}") };
            let ours = output.to_vec();
            let golden = self.floats(&rest)?;
            let count = golden.len();
            let (ours, golden) = (HostTensor::f32(&[ours.len()], ours), HostTensor::f32(&[count], golden));
            let allowed = TOLERANCE * golden.max_abs().max(1.0);
            Ok((name.to_string(), ours.max_abs_difference(&golden), allowed))
        });
        let (_, error, allowed) = errors.next().context("the network has no output")??;
        Ok(Row { case: self.case, error, allowed, modules: errors.collect::<anyhow::Result<_>>()? })
    }

    /// Adds the modules that are recorded to the outputs, in the order in which they run.
    fn tap(&self, graph: &mut Graph) -> Vec<String> {
        let front = self.name("mid.");
        let mut found: Vec<(ValueId, String)> = self
            .io
            .names()
            .filter_map(|name| name.strip_prefix(&front))
            .filter_map(|module| Some((last_of(graph, module)?, module.to_string())))
            .collect();
        found.sort();
        for (value, module) in &found {
            graph.outputs.push(Output { name: module.clone(), value: *value });
        }
        found.into_iter().map(|(_, module)| module).collect()
    }

    /// An input as the graph takes it. A missing `timestep_cond` counts as zeros: its projection has no bias.
    fn input(&self, name: &str, shape: &[usize], dtype: Dtype) -> anyhow::Result<HostTensor> {
        let (rest, count) = (format!("in.{name}"), shape.iter().product::<usize>());
        if name == "timestep_cond" && self.shape(&rest).is_none() {
            return Ok(HostTensor::f32(shape, vec![0.0; count]));
        }
        if dtype == Dtype::I64 {
            let ids = self.io.i64(&self.name(&rest))?.to_vec();
            anyhow::ensure!(ids.len() == count, "{rest} has {} numbers, {shape:?} are expected", ids.len());
            return Ok(HostTensor::i64(shape, ids));
        }
        let mut values = self.floats(&rest)?;
        if values.len() == 1 && shape.len() == 1 {
            // One time for all.
            values = vec![values[0]; count];
        }
        anyhow::ensure!(values.len() == count, "{rest} has {} numbers, {shape:?} are expected", values.len());
        Ok(HostTensor::f32(shape, values))
    }
}

/// What a module makes: the value of the last node under its name.
fn last_of(graph: &Graph, module: &str) -> Option<ValueId> {
    let inside =
        |name: &str| name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    graph.nodes.iter().rev().find(|node| inside(&node.name)).map(|node| node.output)
}
