//! What a training step takes: `cargo run --release --example train_step FOLDER --batch N --frames N --size N`.
//!
//! FOLDER holds a UNet as diffusers saves it (`config.json` and weights). A step is forward, backward and AdamW for a
//! rectified flow in f32. `--train PART` trains the weights whose published names contain PART, all without it; `--inputs FILE`
//! takes the batch from a file (x0, noise, t, context). With `--operations` and no folder, single operations are timed instead.
//! One line of JSON per thing timed; `train_step.py` beside this file runs it alternating with PyTorch.

mod operations;

use std::{collections::BTreeMap, env, error::Error, path::Path, time::Instant};

use burn::tensor::Tensor;
use cpu_time::ProcessTime;
use tnas_graph::Graph;
use tnas_models::{Backbone, DenoiserShape, MotionModel, NameMap, UNetConfig};
use tnas_network::{Device, Parameter, Parameters, Value, execute, normal_vec, open_device, stream};
use tnas_space::Genotype;
use tnas_training::{AdamWSettings, Optimizer, TrainError, TrainSet, WeightedLoss};
use tnas_weights::WeightFiles;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Steps before any is timed.
const WARM_UP: usize = 3;

/// AdamW as torch has it: no clipping.
const ADAMW: AdamWSettings = AdamWSettings {
    learning_rate: 1e-4,
    beta1: 0.9,
    beta2: 0.999,
    weight_decay: 0.01,
    clip_norm: f64::INFINITY,
    warmup_steps: 0,
};

fn main() -> Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--operations") {
        arguments.remove(place);
        return operations::time(number(&arguments, "--steps", 15)?);
    }
    let folder = arguments.first().filter(|first| !first.starts_with("--")).ok_or("name a folder")?;
    let shape = DenoiserShape {
        batch: number(&arguments, "--batch", 4)?,
        frames: number(&arguments, "--frames", 1)?,
        height: number(&arguments, "--size", 8)?,
        width: number(&arguments, "--size", 8)?,
        tokens: number(&arguments, "--tokens", 24)?,
    };
    let part = value_of(&arguments, "--train").unwrap_or_default();
    let inputs = value_of(&arguments, "--inputs");
    let case = Case::read(Path::new(folder), &part, shape, inputs.as_deref())?;
    println!("{}", case.time(number(&arguments, "--steps", 15)?)?);
    Ok(())
}

fn value_of(arguments: &[String], name: &str) -> Option<String> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1).cloned()
}

fn number(arguments: &[String], name: &str, default: usize) -> Result<usize> {
    let given = value_of(arguments, name).map(|text| text.parse().map_err(|_| format!("{name} {text}: no number")));
    Ok(given.transpose()?.unwrap_or(default))
}

/// A network, which of its weights train, and one batch.
struct Case {
    backbone: Backbone,
    genotype: Genotype,
    set: TrainSet,
    shape: DenoiserShape,
    batch: Batch,
}

/// Clips, noise, times and contexts, row by row.
struct Batch {
    data: Vec<f32>,
    noise: Vec<f32>,
    times: Vec<f32>,
    context: Vec<f32>,
}

impl Case {
    fn read(folder: &Path, part: &str, shape: DenoiserShape, inputs: Option<&str>) -> Result<Self> {
        let device = open_device("cpu")?;
        let text = std::fs::read_to_string(folder.join("config.json"))?;
        let published = Parameters::load(&WeightFiles::open(folder, "diffusion_pytorch_model")?, &device)?;
        let model = MotionModel::reads(&text).then(|| MotionModel::from_json(&text)).transpose()?;
        let (mut parameters, mut trained) = (Parameters::new(&device), Vec::new());
        for (name, Parameter { shape, flat }) in published.iter() {
            // The places of frames are made here.
            if name.ends_with(".pos_embed.pe") {
                continue;
            }
            let here = model.as_ref().map_or(name.to_string(), |model| model.names.here(name));
            let shape = if model.is_some() { NameMap::shape_here(shape) } else { shape.clone() };
            if name.contains(part) {
                trained.push(here.clone());
            }
            // A copy: what lies in a file may not be written to.
            let flat = flat.clone().mul_scalar(1.0);
            parameters.insert(here, Parameter { shape, flat });
        }
        let (backbone, genotype) = match model {
            Some(model) => (model.backbone, model.genotype),
            None => (Backbone::new(UNetConfig::from_json(&text)?), Genotype::none()),
        };
        let graph = backbone.denoiser(&genotype, shape)?;
        parameters.refuse_extra(&[&graph])?;
        let set = TrainSet::new(parameters, |name| trained.iter().any(|one| one == name), &ADAMW, 0.0);
        let batch = Batch::new(&graph, shape, inputs, &device)?;
        Ok(Self { backbone, genotype, set, shape, batch })
    }

    /// Medians over steps, as a line of JSON; the loss is the first step's.
    fn time(mut self, steps: usize) -> Result<String> {
        let DenoiserShape { batch, .. } = self.shape;
        let halves: Vec<usize> = [batch.div_ceil(2), batch / 2].into_iter().filter(|&rows| rows > 0).collect();
        let graph = |&rows: &usize| {
            let shape = DenoiserShape { batch: rows, ..self.shape };
            Ok((rows, self.backbone.denoiser(&self.genotype, shape)?))
        };
        let graphs: BTreeMap<usize, Graph> = halves.iter().map(graph).collect::<Result<_>>()?;
        let (mut first, mut wall, mut cpu) = (f64::NAN, Vec::new(), Vec::new());
        for step in 0..WARM_UP + steps {
            let (started, processor) = (Instant::now(), ProcessTime::now());
            let loss = self.step(&graphs, &halves)?;
            if step == 0 {
                first = loss;
            }
            if step >= WARM_UP {
                wall.push(1e3 * started.elapsed().as_secs_f64());
                cpu.push(1e3 * processor.elapsed().as_secs_f64());
            }
        }
        let trainable: usize =
            self.set.trained.iter().filter_map(|name| self.set.parameters.get(name)).map(elements).sum();
        Ok(serde_json::json!({"loss": first, "wall_ms": median(&mut wall), "cpu_ms": median(&mut cpu),
            "parameters": self.set.parameters.count(), "trainable": trainable, "steps": steps,
            "threads": rayon::current_num_threads()})
        .to_string())
    }

    fn step(&mut self, graphs: &BTreeMap<usize, Graph>, halves: &[usize]) -> Result<f64> {
        let rows: usize = halves.iter().sum();
        let parts = halves.iter().scan(0, |start, &rows| {
            *start += rows;
            Some((*start - rows, rows))
        });
        let batch = &self.batch;
        let (loss, gradients) = self.set.gradients(vec![parts.collect()], |leaves, (start, count)| {
            let graph = &graphs[&count];
            let device = leaves.device();
            let (inputs, target) = batch.part(start, count, graph, device);
            let v = execute(graph, leaves, inputs, device)?.remove(0).flat();
            let loss = (v - target).square().mean();
            Ok::<_, TrainError>(WeightedLoss::new(loss, count as f64 / rows as f64))
        })?;
        let norm = Optimizer::norm(self.set.parameters.device(), &gradients);
        self.set.optimizer.step(&mut self.set.parameters, gradients, norm, |_| ADAMW.learning_rate);
        Ok(loss)
    }
}

impl Batch {
    fn new(graph: &Graph, shape: DenoiserShape, inputs: Option<&str>, device: &Device) -> Result<Self> {
        let length = |name: &str| {
            let input = graph.inputs.iter().find(|input| input.name == name);
            input.map_or(0, |input| graph.shape(input.value).iter().product::<usize>())
        };
        let (clip, context) = (length("sample"), length("encoder_hidden_states"));
        if let Some(file) = inputs {
            let file = Parameters::load(&WeightFiles::open_file(file)?, device)?;
            let take = |name: &str, length: usize| -> Result<Vec<f32>> {
                let values = file.get(name).ok_or_else(|| format!("there is no {name}"))?.flat.clone();
                let values = Value::F1(values).to_vec();
                let found = values.len();
                (found == length)
                    .then_some(values)
                    .ok_or_else(|| format!("{name}: {length} numbers expected, {found} found").into())
            };
            let (data, noise) = (take("x0", clip)?, take("noise", clip)?);
            return Ok(Self { data, noise, times: take("t", shape.batch)?, context: take("context", context)? });
        }
        let draw = |name: &str, length: usize| normal_vec(length, &mut stream(0, name, 0));
        let times = (0..shape.batch).map(|row| (row as f32 + 0.5) / shape.batch as f32).collect();
        Ok(Self { data: draw("x0", clip), noise: draw("noise", clip), times, context: draw("context", context) })
    }

    /// Inputs of the network and target of some rows.
    fn part(&self, start: usize, count: usize, graph: &Graph, device: &Device) -> (Vec<Value>, Tensor<1>) {
        let rows = self.times.len();
        let of = |values: &[f32]| {
            let length = values.len() / rows;
            values[start * length..(start + count) * length].to_vec()
        };
        let (data, noise, times) = (of(&self.data), of(&self.noise), of(&self.times));
        let length = data.len() / count;
        let noised = data.iter().zip(&noise).enumerate().map(|(place, (x, noise))| {
            let t = times[place / length];
            (1.0 - t) * x + t * noise
        });
        let noised: Vec<f32> = noised.collect();
        let target: Vec<f32> = data.iter().zip(&noise).map(|(x, noise)| noise - x).collect();
        let place = |values: Vec<f32>, shape: &[usize]| {
            Value::from_f32(values, shape, &device.clone().inner()).constant_for(device)
        };
        let inputs = graph.inputs.iter().map(|input| {
            let shape = graph.shape(input.value);
            match input.name.as_str() {
                "sample" => place(noised.clone(), shape),
                "timestep" => place(times.iter().map(|t| 1000.0 * t).collect(), shape),
                _ => place(of(&self.context), shape),
            }
        });
        let length = target.len();
        (inputs.collect(), place(target, &[length]).flat())
    }
}

fn elements(parameter: &Parameter) -> usize {
    parameter.shape.iter().product()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
