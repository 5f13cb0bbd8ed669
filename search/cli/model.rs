//! `tnas model`: an architecture as a folder before any study has trained it, and what one call of it takes.

use std::{path::Path, time::Instant};

use anyhow::Context;
use cpu_time::ProcessTime;
use serde::Serialize;
use tnas_graph::{Graph, cost};
use tnas_latency::{peak_memory_bytes, reset_peak_memory};
use tnas_models::{Backbone, DenoiserShape};
use tnas_network::{Device, Parameters, Value, execute, normal_vec, open_device, stream};
use tnas_record::ModelGenotype;
use tnas_schedulers::{Parameterisation, Sampler};
use tnas_space::{Genome, Genotype, SearchSpace};

use tnas_pipeline::{
    genotype_file::{model_genotype, read_model_genotype, write_genotype},
    model_folder::{DIFFUSERS_STEM, SCHEDULER, read_unet, save_parameters},
    space_file::{read_backbone, read_space},
};

use crate::{
    args::{NewModelArgs, StepArgs},
    print,
};

/// The shape on which weights are counted: their number does not depend on it.
const ANY_SHAPE: DenoiserShape = DenoiserShape { batch: 1, frames: 2, height: 16, width: 16, tokens: 1 };

/// Writes `unet/` and `genotype.json`. Weights that the backbone's folder does not hold are drawn, and said to be.
pub fn new(args: &NewModelArgs) -> anyhow::Result<()> {
    let backbone = read_backbone(&args.backbone)?;
    let genotype = genotype(args, &backbone)?;
    let graph = backbone.denoiser(&genotype, ANY_SHAPE)?;
    let device = open_device("cpu")?;
    let has_weights = holds_weights(&args.backbone.join("unet"));
    let mut parameters = if has_weights { read_unet(&args.backbone, &device)? } else { Parameters::new(&device) };
    if has_weights {
        let image = backbone.denoiser(&Genotype::none(), ANY_SHAPE)?;
        parameters.refuse_extra(&[&image])?;
        parameters.extract(&image)?;
    }
    parameters.init(graph.weights(), args.seed);
    let weights = if has_weights {
        "image weights as given; temporal layers untrained, each starting as the identity"
    } else {
        "random: the backbone's folder holds none"
    };
    let json = |path: &str, text: String| {
        let path = args.out.join(path);
        tnas_weights::write_atomic(&path, text.as_bytes())
            .with_context(|| format!("failed to write {}", path.display()))
    };
    json("unet/config.json", backbone.config.to_json())?;
    json(SCHEDULER, backbone.parameterisation.config().to_json())?;
    let record =
        ModelGenotype { weights: Some(weights.into()), seed: Some(args.seed), ..model_genotype(&genotype) };
    write_genotype(&args.out, &record)?;
    save_parameters(&args.out.join(format!("unet/{DIFFUSERS_STEM}.safetensors")), &parameters)?;
    println!("{genotype}");
    println!("{:.2} M parameters; {weights}", cost(&graph).parameters as f64 / 1e6);
    println!("{}", args.out.display());
    Ok(())
}

fn holds_weights(folder: &Path) -> bool {
    let ends = [".safetensors", ".fp16.safetensors", ".safetensors.index.json"];
    ends.iter().any(|end| folder.join(format!("{DIFFUSERS_STEM}{end}")).exists())
}

/// The genotype that was written, or the one of a space with the number of parameters nearest to what was asked for.
fn genotype(args: &NewModelArgs, backbone: &Backbone) -> anyhow::Result<Genotype> {
    match (&args.genotype, &args.space) {
        (Some(text), _) => Ok(text.parse()?),
        (None, Some(path)) => {
            let space = read_space(path, backbone)?;
            Ok(space.genotype(&nearest(args, backbone, &space)?))
        }
        (None, None) => anyhow::bail!("failed to choose an architecture: give --genotype or --space"),
    }
}

/// A drawn genome, changed slot by slot towards so many parameters and below so many multiply-accumulates. Both are sums
/// over slots, so each choice is counted once, alone.
fn nearest(args: &NewModelArgs, backbone: &Backbone, space: &SearchSpace) -> anyhow::Result<Genome> {
    const DRAWS: usize = 256;
    const NEAR_ENOUGH: f64 = 1e-3;
    let (frames, size) = (args.frames, args.size);
    let shape = DenoiserShape { batch: 1, frames, height: size, width: size, tokens: args.tokens };
    let count = |genotype: &Genotype| -> anyhow::Result<[f64; 2]> {
        let cost = cost(&backbone.denoiser(genotype, shape)?);
        Ok([cost.parameters as f64, cost.macs as f64])
    };
    let none = count(&Genotype::none())?;
    let mut added: Vec<Vec<[f64; 2]>> = Vec::new();
    for slot in space.slots() {
        let alone = slot.choices.iter().map(|choice| {
            let [parameters, macs] = count(&Genotype::new([(slot.info.slot.clone(), choice.clone())]))?;
            Ok([parameters - none[0], macs - none[1]])
        });
        added.push(alone.collect::<anyhow::Result<_>>()?);
    }
    let total = |genome: &[u16], quantity: usize| {
        let rows = genome.iter().zip(&added).map(|(&choice, row)| row[usize::from(choice)][quantity]);
        none[quantity] + rows.sum::<f64>()
    };
    // Relative, so that what oversteps the limit and what misses the count can be added.
    let distance = |genome: &[u16]| {
        let over = args.macs.map_or(0.0, |limit| (total(genome, 1) / limit - 1.0).max(0.0));
        over + (total(genome, 0) / args.parameters - 1.0).abs()
    };
    let mut rng = stream(args.seed, "model/nearest", 0);
    let draws = (0..DRAWS).map(|_| space.sample(&mut rng));
    let mut best = draws
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .context("failed to draw from the space: it has no slots")?;
    // One change at a time, the best of all: what was drawn stays recognisable.
    while distance(&best) > NEAR_ENOUGH {
        let changed = |(slot, choice): (usize, u16)| {
            let mut genome = best.clone();
            genome[slot] = choice;
            genome
        };
        let all = space.slots().iter().enumerate();
        let all = all.flat_map(|(slot, row)| (0..row.choices.len() as u16).map(move |choice| (slot, choice)));
        match all.map(changed).min_by(|a, b| distance(a).total_cmp(&distance(b))) {
            Some(next) if distance(&next) < distance(&best) => best = next,
            _ => break,
        }
    }
    Ok(best)
}

/// What a denoising step takes, as `--json` prints it.
#[derive(Serialize)]
struct StepFigures<'a> {
    genotype: String,
    weights: Option<String>,
    parameters: u64,
    macs: u64,
    frames: usize,
    size: usize,
    tokens: usize,
    device: &'a str,
    threads: usize,
    load_seconds: f64,
    step_seconds: f64,
    step_cpu_seconds: f64,
    peak_memory_bytes: Option<u64>,
    activations_counted_bytes: u64,
    result_mean_square: f64,
}

/// Loads a model folder and takes one denoising step on noise; reports seconds and memory.
pub fn step(args: &StepArgs) -> anyhow::Result<()> {
    let device = open_device(&args.device)?;
    let record = read_model_genotype(&args.folder)?
        .with_context(|| format!("failed to read {}: it has no genotype.json", args.folder.display()))?;
    let genotype: Genotype = record.genotype.parse()?;
    let backbone = read_backbone(&args.folder)?;
    let (frames, size) = (args.frames, args.size);
    let shape = DenoiserShape { batch: 1, frames, height: size, width: size, tokens: args.tokens };
    let graph = backbone.denoiser(&genotype, shape)?;
    let started = Instant::now();
    let parameters = read_unet(&args.folder, &device)?;
    parameters.refuse_extra(&[&graph])?;
    let load_seconds = started.elapsed().as_secs_f64();
    let resettable = reset_peak_memory();
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let moved = euler_step(&graph, &parameters, &backbone.parameterisation, &device)?;
    let (seconds, cpu_seconds) = (wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
    anyhow::ensure!(
        moved.iter().all(|x| x.is_finite()),
        "failed to take a step: the network made numbers that are not finite"
    );
    let cost = cost(&graph);
    let mean_square = moved.iter().map(|x| f64::from(x * x)).sum::<f64>() / moved.len() as f64;
    let peak = if resettable { peak_memory_bytes() } else { None };
    if args.json {
        let figures = StepFigures {
            genotype: genotype.to_string(),
            weights: record.weights,
            parameters: cost.parameters,
            macs: cost.macs,
            frames,
            size,
            tokens: args.tokens,
            device: &args.device,
            threads: rayon::current_num_threads(),
            load_seconds,
            step_seconds: seconds,
            step_cpu_seconds: cpu_seconds,
            peak_memory_bytes: peak,
            activations_counted_bytes: cost.peak_activation_bytes,
            result_mean_square: mean_square,
        };
        return print::json("model step", &figures);
    }
    println!("{genotype}");
    println!("weights: {}", record.weights.as_deref().unwrap_or("as trained"));
    println!(
        "{:.2} M parameters loaded in {load_seconds:.3} s; one step on {frames} frames of {size}×{size}, {} text tokens, {:.1} GMACs: \
         {seconds:.1} s, {cpu_seconds:.1} s of processor time",
        cost.parameters as f64 / 1e6,
        args.tokens,
        cost.macs as f64 / 1e9
    );
    if let Some(bytes) = peak {
        println!("{:.2} GB of memory at the peak of the step, weights included", bytes as f64 / 1e9);
    }
    Ok(())
}

/// The first of four steps from noise, with random text features.
fn euler_step(
    graph: &Graph,
    parameters: &Parameters,
    parameterisation: &Parameterisation,
    device: &Device,
) -> anyhow::Result<Vec<f32>> {
    let times = parameterisation.times(4, 1.0);
    let level = parameterisation.at(times[0]);
    let mut rng = stream(0, "model/step", 0);
    let mut sample = Vec::new();
    let inputs = graph.inputs.iter().map(|input| {
        let shape = graph.shape(input.value);
        let count = shape.iter().product();
        let values = match input.name.as_str() {
            "timestep" => vec![level.timestep; count],
            "sample" => {
                sample = normal_vec(count, &mut rng);
                sample.iter_mut().for_each(|x| *x *= times[0]);
                sample.iter().map(|x| level.input * x).collect()
            }
            _ => normal_vec(count, &mut rng),
        };
        Ok(Value::from_f32(values, shape, device))
    });
    let inputs = inputs.collect::<anyhow::Result<Vec<_>>>()?;
    let mut velocity = execute(graph, parameters, inputs, device)?.remove(0).to_vec();
    velocity.iter_mut().zip(&sample).for_each(|(v, x)| *v = level.skip * x + level.output * *v);
    Sampler::Euler.step(&mut sample, &velocity, times[0], times[1], &mut Vec::new);
    Ok(sample)
}
