//! `tnas space show`: what a search space holds, before anything is trained or measured.

use std::path::Path;

use serde_json::{Value, json};
use tnas_graph::{Cost, cost};
use tnas_latency::{CandidatePredictor, DeviceModel};
use tnas_models::{Backbone, DenoiserShape};
use tnas_space::{Choice, Genome, Genotype, SearchSpace};

use tnas_pipeline::space_file::{read_backbone, read_space};

use crate::args::SpaceArgs;

/// Prints slots, choices, cardinality, and the least and the most that an architecture costs.
pub fn show(args: &SpaceArgs) -> anyhow::Result<()> {
    let backbone = read_backbone(&args.backbone)?;
    let space = read_space(&args.space, &backbone)?;
    let shape =
        DenoiserShape { batch: 1, frames: args.frames, height: args.size, width: args.size, tokens: args.tokens };
    let mut costs = Costs::count(&backbone, &space, shape)?;
    if let Some(path) = &args.predictor {
        costs.latency = Some(Latency::predict(path, &backbone, &space, shape)?);
    }
    if args.json {
        println!("{}", costs.to_json(args, &space));
    } else {
        costs.print(args, &space);
    }
    Ok(())
}

/// The architectures that cost the least and the most of one quantity.
struct Extremes {
    name: &'static str,
    least: (Genome, Cost),
    most: (Genome, Cost),
}

/// What a space costs.
struct Costs {
    /// The image model.
    none: Cost,
    extremes: Vec<Extremes>,
    /// Where a predictor was given.
    latency: Option<Latency>,
}

/// The fastest and the slowest architecture that a predictor finds.
struct Latency {
    device: String,
    none_ms: f64,
    least: (Genome, f64),
    most: (Genome, f64),
}

impl Latency {
    /// Slot by slot from every choice's best alone, for as long as that helps: predictions are nearly sums over slots.
    fn predict(
        path: &Path,
        backbone: &Backbone,
        space: &SearchSpace,
        shape: DenoiserShape,
    ) -> anyhow::Result<Self> {
        const PASSES: usize = 8;
        let model = DeviceModel::read(path)?;
        let choices: Vec<usize> = space.slots().iter().map(|slot| slot.choices.len()).collect();
        anyhow::ensure!(
            model.latency.predictor.choices() == choices,
            "failed to use {}: it was learned on another search space",
            path.display()
        );
        let blocks = tnas_stages::measuring::space_blocks(backbone, space, shape)?;
        let predictor = CandidatePredictor::new(&model.latency, &blocks);
        let none: Genome = vec![0; space.slots().len()];
        let end = |sign: f64| {
            let mut genome = none.clone();
            for _ in 0..PASSES {
                let before = genome.clone();
                for slot in 0..genome.len() {
                    let changed = |choice: u16| {
                        let mut changed = genome.clone();
                        changed[slot] = choice;
                        (sign * predictor.mean_ms(&changed), choice)
                    };
                    let all = (0..space.slots()[slot].choices.len() as u16).map(changed);
                    genome[slot] = all.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, choice)| choice);
                }
                if genome == before {
                    break;
                }
            }
            let ms = predictor.mean_ms(&genome);
            (genome, ms)
        };
        let none_ms = predictor.mean_ms(&none);
        Ok(Self { device: model.fingerprint.describe(), none_ms, least: end(1.0), most: end(-1.0) })
    }
}

impl Costs {
    fn count(backbone: &Backbone, space: &SearchSpace, shape: DenoiserShape) -> anyhow::Result<Self> {
        let of = |genotype: &Genotype| -> anyhow::Result<Cost> { Ok(cost(&backbone.denoiser(genotype, shape)?)) };
        let none = of(&Genotype::none())?;
        let rows = space.slots().iter().map(|slot| {
            let alone = |choice: &Choice| of(&Genotype::new([(slot.info.slot.clone(), choice.clone())]));
            slot.choices.iter().map(alone).collect()
        });
        let alone: Vec<Vec<Cost>> = rows.collect::<anyhow::Result<_>>()?;
        let quantity = |name, value: fn(&Cost) -> u64| -> anyhow::Result<Extremes> {
            let pick = |most: bool| -> anyhow::Result<(Genome, Cost)> {
                let genome = extreme(&none, &alone, value, most);
                let cost = of(&space.genotype(&genome))?;
                Ok((genome, cost))
            };
            Ok(Extremes { name, least: pick(false)?, most: pick(true)? })
        };
        let extremes = vec![
            quantity("parameters", |c| c.parameters)?,
            quantity("macs", |c| c.macs)?,
            quantity("memory", memory)?,
        ];
        Ok(Self { none, extremes, latency: None })
    }

    fn print(&self, args: &SpaceArgs, space: &SearchSpace) {
        println!("{:<14} {:>8} {:>6} {:>8}", "slot", "channels", "level", "choices");
        for slot in space.slots() {
            println!(
                "{:<14} {:>8} {:>6} {:>8}",
                slot.info.slot.to_string(),
                slot.info.channels,
                slot.info.level,
                slot.choices.len()
            );
        }
        for (slots, choices) in distinct(space) {
            println!("{}: {}", slots.join(" "), choices.join(", "));
        }
        println!("{} slots, {:.3e} architectures", space.slots().len(), space.cardinality());
        println!("one call on {} frames of {}×{}, {} text tokens:", args.frames, args.size, args.size, args.tokens);
        println!("{:<22} {}", "no temporal layers", described(&self.none));
        for Extremes { name, least, most } in &self.extremes {
            println!("{:<22} {}", format!("least {name}"), described(&least.1));
            println!("{:<22} {}", format!("most {name}"), described(&most.1));
        }
        if let Some(Latency { device, none_ms, least, most }) = &self.latency {
            println!(
                "predicted on {device}: {none_ms:.2} ms without temporal layers, {:.2} ms at the least, {:.2} ms at the most",
                least.1, most.1
            );
        }
    }

    fn to_json(&self, args: &SpaceArgs, space: &SearchSpace) -> Value {
        let slots: Vec<Value> = space
            .slots()
            .iter()
            .map(|slot| {
                let choices: Vec<String> = slot.choices.iter().map(ToString::to_string).collect();
                json!({"slot": slot.info.slot, "channels": slot.info.channels, "level": slot.info.level,
                    "choices": choices})
            })
            .collect();
        let row = |(genome, cost): &(Genome, Cost)| json!({"genotype": space.genotype(genome).to_string(), "cost": figures(cost)});
        let extremes: serde_json::Map<String, Value> = self
            .extremes
            .iter()
            .map(|e| (e.name.to_string(), json!({"least": row(&e.least), "most": row(&e.most)})))
            .collect();
        let predicted = |(genome, ms): &(Genome, f64)| json!({"genotype": space.genotype(genome).to_string(), "latency_ms": ms});
        let latency = self.latency.as_ref().map(|latency| {
            json!({"device": latency.device, "none_ms": latency.none_ms, "least": predicted(&latency.least),
                "most": predicted(&latency.most)})
        });
        json!({"format_version": 1, "command": "space show", "architectures": space.cardinality(), "slots": slots,
            "frames": args.frames, "size": args.size, "tokens": args.tokens, "none": figures(&self.none),
            "extremes": extremes, "predicted_latency": latency})
    }
}

/// Lists of choices, each once, with the slots that have it.
fn distinct(space: &SearchSpace) -> Vec<(Vec<&str>, Vec<String>)> {
    let mut lists: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
    for slot in space.slots() {
        let choices: Vec<String> = slot.choices.iter().map(ToString::to_string).collect();
        let slot = slot.info.slot.as_str();
        match lists.iter_mut().find(|(_, known)| *known == choices) {
            Some((slots, _)) => slots.push(slot),
            None => lists.push((vec![slot], choices)),
        }
    }
    lists
}

/// The genome of the least or the most of a quantity, from what every choice costs alone. Parameters and multiply-accumulates
/// are sums over slots; insertions keep shapes, so the most that lives at once is the most over slots.
fn extreme(none: &Cost, alone: &[Vec<Cost>], value: fn(&Cost) -> u64, most: bool) -> Genome {
    let mut genome: Genome = vec![0; alone.len()];
    let together = |genome: &[u16]| {
        let mut sum = *none;
        for (row, &choice) in alone.iter().zip(genome) {
            let own = row[usize::from(choice)];
            sum.parameters += own.parameters - none.parameters;
            sum.macs += own.macs - none.macs;
            sum.peak_activation_bytes = sum.peak_activation_bytes.max(own.peak_activation_bytes);
        }
        value(&sum)
    };
    // Twice, since what lives at once is no sum.
    for slot in (0..genome.len()).chain(0..genome.len()) {
        let valued = |choice: u16| {
            let mut changed = genome.clone();
            changed[slot] = choice;
            (together(&changed), choice)
        };
        let all = (0..alone[slot].len() as u16).map(valued);
        let best = if most { all.max_by_key(|&(value, _)| value) } else { all.min_by_key(|&(value, _)| value) };
        genome[slot] = best.map_or(0, |(_, choice)| choice);
    }
    genome
}

/// Bytes of weights and live activations, in f32.
fn memory(cost: &Cost) -> u64 {
    4 * cost.parameters + cost.peak_activation_bytes
}

fn figures(cost: &Cost) -> Value {
    json!({"parameters": cost.parameters, "macs": cost.macs,
        "attention_macs": cost.attention_macs, "peak_memory_bytes": memory(cost)})
}

fn described(cost: &Cost) -> String {
    format!(
        "{:>9.2} M parameters {:>10.2} GMACs ({:.2} of attention's products) {:>8.3} GB of weights and live activations in f32",
        cost.parameters as f64 / 1e6,
        cost.macs as f64 / 1e9,
        cost.attention_macs as f64 / 1e9,
        memory(cost) as f64 / 1e9
    )
}
