//! `tnas space show`: what a search space holds, before anything is trained or measured.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;
use tnas_graph::{Cost, cost};
use tnas_latency::{CandidatePredictor, DeviceModel};
use tnas_models::{Backbone, DenoiserShape};
use tnas_space::{Choice, Genome, Genotype, SearchSpace};

use tnas_pipeline::space_file::{read_backbone, read_space};

use crate::{
    args::SpaceArgs,
    print::{self, table::table},
};

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
        print::json("space show", &costs.figures(args, &space))?;
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
    /// Of the image model alone; none where it is not in the space.
    none_ms: Option<f64>,
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
        let baseline = space.baseline();
        let end = |sign: f64| {
            let mut genome = baseline.clone();
            for _ in 0..PASSES {
                let before = genome.clone();
                for slot in 0..genome.len() {
                    let changed = |choice: u16| {
                        let mut changed = genome.clone();
                        changed[slot] = choice;
                        (sign * predictor.mean_ms(&changed), choice)
                    };
                    let all = (0..space.slots()[slot].choices.len() as u16).map(changed);
                    genome[slot] =
                        all.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(genome[slot], |(_, choice)| choice);
                }
                if genome == before {
                    break;
                }
            }
            let ms = predictor.mean_ms(&genome);
            (genome, ms)
        };
        let none_ms = space.has_none().then(|| predictor.mean_ms(&baseline));
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
        let mut rows = table(&["slot", "channels", "level", "choices"].map(str::to_owned));
        for slot in space.slots() {
            let numbers = [slot.info.channels, slot.info.level, slot.choices.len()];
            let numbers = numbers.map(|number| number.to_string());
            rows.add_row([vec![slot.info.slot.to_string()], numbers.to_vec()].concat());
        }
        println!("{rows}");
        for (slots, choices) in distinct(space) {
            println!("{}: {}", slots.join(" "), choices.join(", "));
        }
        println!("{} slots, {:.3e} architectures", space.slots().len(), space.cardinality());
        println!("one call on {} frames of {}×{}, {} text tokens:", args.frames, args.size, args.size, args.tokens);
        let head = ["", "M parameters", "GMACs", "of attention's products", "GB of weights and live activations"];
        let mut rows = table(&head.map(str::to_owned));
        let mut add =
            |name: String, cost: &Cost| rows.add_row([vec![name], described(cost).to_vec()].concat()).is_empty();
        add("no temporal layers".into(), &self.none);
        for Extremes { name, least, most } in &self.extremes {
            add(format!("least {name}"), &least.1);
            add(format!("most {name}"), &most.1);
        }
        println!("{rows}");
        if let Some(Latency { device, none_ms, least, most }) = &self.latency {
            let none = none_ms.map_or(String::new(), |ms| format!("{ms:.2} ms without temporal layers, "));
            println!("predicted on {device}: {none}{:.2} ms at the least, {:.2} ms at the most", least.1, most.1);
        }
    }

    fn figures(&self, args: &SpaceArgs, space: &SearchSpace) -> SpaceFigures {
        let slot = |slot: &tnas_space::SlotChoices| SlotFigures {
            slot: slot.info.slot.to_string(),
            channels: slot.info.channels,
            level: slot.info.level,
            choices: slot.choices.iter().map(ToString::to_string).collect(),
        };
        let counted = |(genome, cost): &(Genome, Cost)| Counted {
            genotype: space.genotype(genome).to_string(),
            cost: CostFigures::of(cost),
        };
        let ends = |e: &Extremes| (e.name, Ends { least: counted(&e.least), most: counted(&e.most) });
        let predicted = |(genome, ms): &(Genome, f64)| Predicted {
            genotype: space.genotype(genome).to_string(),
            latency_ms: *ms,
        };
        SpaceFigures {
            architectures: space.cardinality(),
            slots: space.slots().iter().map(slot).collect(),
            frames: args.frames,
            size: args.size,
            tokens: args.tokens,
            none: CostFigures::of(&self.none),
            extremes: self.extremes.iter().map(ends).collect(),
            predicted_latency: self.latency.as_ref().map(|latency| LatencyFigures {
                device: latency.device.clone(),
                none_ms: latency.none_ms,
                ends: Ends { least: predicted(&latency.least), most: predicted(&latency.most) },
            }),
        }
    }
}

/// A search space, as `--json` prints it.
#[derive(Serialize)]
struct SpaceFigures {
    architectures: f64,
    slots: Vec<SlotFigures>,
    frames: usize,
    size: usize,
    tokens: usize,
    none: CostFigures,
    extremes: BTreeMap<&'static str, Ends<Counted>>,
    predicted_latency: Option<LatencyFigures>,
}

#[derive(Serialize)]
struct SlotFigures {
    slot: String,
    channels: usize,
    level: usize,
    choices: Vec<String>,
}

#[derive(Serialize)]
struct CostFigures {
    parameters: u64,
    macs: u64,
    attention_macs: u64,
    peak_memory_bytes: u64,
}

#[derive(Serialize)]
struct Ends<T> {
    least: T,
    most: T,
}

#[derive(Serialize)]
struct Counted {
    genotype: String,
    cost: CostFigures,
}

#[derive(Serialize)]
struct Predicted {
    genotype: String,
    latency_ms: f64,
}

#[derive(Serialize)]
struct LatencyFigures {
    device: String,
    none_ms: Option<f64>,
    #[serde(flatten)]
    ends: Ends<Predicted>,
}

impl CostFigures {
    fn of(cost: &Cost) -> Self {
        let Cost { parameters, macs, attention_macs, .. } = *cost;
        Self { parameters, macs, attention_macs, peak_memory_bytes: memory(cost) }
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

/// Millions of parameters, billions of multiply-accumulates, of those attention's, gigabytes.
fn described(cost: &Cost) -> [String; 4] {
    let [macs, attention, memory] = [cost.macs, cost.attention_macs, memory(cost)].map(|count| count as f64 / 1e9);
    [
        format!("{:.2}", cost.parameters as f64 / 1e6),
        format!("{macs:.2}"),
        format!("{attention:.2}"),
        format!("{memory:.3}"),
    ]
}
