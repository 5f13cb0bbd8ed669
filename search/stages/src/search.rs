//! The multi-objective search.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};
use tnas_evolution::{Item, KnapsackFront, Nsga2, Nsga2Settings, Objectives, Rng, Variation};
use tnas_latency::CandidateModel;
use tnas_network::Parameters;
use tnas_space::{Genome, Genotype, Limits, SearchSpace, Usage, Verdict, verdict};
use tnas_study::{CandidateRecord, CandidateState, CandidateStore, hash_path};
use tnas_training::{HeldOut, HeldOutLoss, Paired};

use super::{
    latency::Predictor,
    staged,
    supernet::{held_out, read_supernet},
};
use crate::{
    measuring::space_blocks,
    progress::{Bar, interrupted},
    settings::{SearchSettings, Start},
    workbench::{ImageModel, Workbench},
};

/// What the search sees of the space.
struct Moves<'a>(&'a SearchSpace);

/// Chance that a slot other than the one always redrawn is redrawn too.
const MUTATION_RATE: f64 = 0.05;

impl Variation<Genome> for Moves<'_> {
    fn sample(&self, rng: &mut Rng) -> Genome {
        self.0.sample(rng)
    }

    fn mutate(&self, genome: &Genome, rng: &mut Rng) -> Genome {
        self.0.mutate(genome, MUTATION_RATE, rng)
    }

    fn crossover(&self, mother: &Genome, father: &Genome, rng: &mut Rng) -> Genome {
        self.0.crossover(mother, father, rng)
    }
}

/// Searches the trade-off of held-out loss and predicted latency within the study's limits.
pub fn search(bench: &Workbench) -> anyhow::Result<Value> {
    let study = &bench.study;
    let predictor_file = Predictor::file(bench)?;
    let inputs = json!([
        SearchSettings { reference_point: None, ..study.search.clone() },
        study.limits,
        study.seed,
        bench.noised_data(),
        hash_path(bench.run.supernet())?,
        hash_path(&predictor_file)?,
    ]);
    // The store grows later by measurements, so it is no output that must stay as it was.
    let outputs = [bench.run.path("search/candidates.json")];
    let stamp = bench.run.dir().stamp_file("search")?;
    if stamp.exists() && !bench.run.dir().store_file().exists() {
        std::fs::remove_file(stamp)?;
    }
    let store_key = bench.run.key(&inputs)?;
    staged(&bench.run, "search", &inputs, &outputs, &[], || {
        let scorer = Scorer::open(bench)?;
        scorer.refuse_impossible_limits()?;
        let mut store = open_store(bench, &store_key)?;
        let mut evolution = match store.load_state()? {
            Some((_, state)) => serde_json::from_str(&state).context("failed to read the search's state")?,
            None => Nsga2::new(settings(bench), study.seed, scorer.seeds()?)?,
        };
        let mut bar = Bar::new("search", u64::from(study.search.generations));
        let moves = Moves(&scorer.space);
        while let Some(candidates) = evolution.ask(&moves) {
            let generation = evolution.generation();
            let mut records = Vec::new();
            let mut objectives = Vec::new();
            for genome in &candidates {
                let (objective, record) = scorer.score(genome, generation, records.len() as u32)?;
                objectives.push(objective);
                records.push(record);
                if interrupted() {
                    anyhow::bail!(crate::Interrupted { stage: "search".into() });
                }
            }
            evolution.tell(candidates, objectives)?;
            store.save_generation(generation, &records, &serde_json::to_string(&evolution)?)?;
            let best = evolution.history().archive().members().iter().map(|m| m.objectives.values()[0]);
            bar.set(
                u64::from(evolution.generation()),
                format!("best loss {:.5}", best.fold(f64::INFINITY, f64::min)),
            );
        }
        finish(bench, &scorer, &mut store, &evolution)
    })
}

fn settings(bench: &Workbench) -> Nsga2Settings {
    let search = &bench.study.search;
    Nsga2Settings { population: search.population, generations: search.generations, ..Nsga2Settings::default() }
}

/// The store of this very search: one begun with other settings or inputs is set aside.
fn open_store(bench: &Workbench, key: &str) -> anyhow::Result<CandidateStore> {
    let (path, mark) = (bench.run.path("study.sqlite"), bench.run.path("search/begun"));
    if path.exists() && std::fs::read_to_string(&mark).ok().as_deref() != Some(key) {
        std::fs::remove_file(&path)?;
    }
    bench.run.write("search/begun", key.as_bytes())?;
    Ok(CandidateStore::open(path)?)
}

/// The study's limits, and below what was seen not to fit the device.
fn limits(asked: &Limits, predictor: &Predictor) -> anyhow::Result<Limits> {
    anyhow::ensure!(
        asked.process_memory_bytes.is_none() || predictor.measures_memory(),
        "failed to use limits.process_memory_bytes: the profile of {} tells no peak memory; limits.peak_memory_bytes is counted",
        predictor.device()
    );
    let seen = predictor.too_much_bytes().map(|bytes| bytes.saturating_sub(1) as f64);
    let process_memory_bytes = [asked.process_memory_bytes, seen].into_iter().flatten().reduce(f64::min);
    Ok(Limits { process_memory_bytes, ..asked.clone() })
}

/// Scores candidates: loss through the supernet, predicted latency, counted size.
pub struct Scorer<'a> {
    bench: &'a Workbench,
    model: ImageModel,
    /// The space.
    pub space: SearchSpace,
    supernet: Parameters,
    held_out: HeldOut,
    predictor: Predictor,
    candidates: CandidateModel,
    limits: Limits,
}

impl<'a> Scorer<'a> {
    /// Loads supernet, predictor and held-out clips.
    pub fn open(bench: &'a Workbench) -> anyhow::Result<Self> {
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let space = bench.space(&model.pipeline.backbone)?;
        let held_out = held_out(bench, &model, &latents, bench.study.search.clips)?;
        let (supernet, predictor) = (read_supernet(bench)?, Predictor::read(bench)?);
        let limits = limits(&bench.study.limits, &predictor)?;
        let shape = bench.denoiser_shape(1, model.features.tokens);
        let candidates = predictor.candidates(space_blocks(&model.pipeline.backbone, &space, shape)?);
        Ok(Self { bench, model, space, supernet, held_out, predictor, candidates, limits })
    }

    /// Held-out loss of a genotype through the supernet.
    fn loss(&self, genotype: &Genotype) -> anyhow::Result<HeldOutLoss> {
        let backbone = &self.model.pipeline.backbone;
        Ok(self.held_out.loss(&self.supernet, |shape| Ok(backbone.denoiser(genotype, shape)?))?)
    }

    /// What is expected of a candidate, and the same as the limits are tested: at a latency that is `search.limit_sigmas`
    /// standard deviations above it.
    fn usages(&self, genome: &[u16]) -> anyhow::Result<(Usage, Usage)> {
        let cost = self.candidates.cost(genome);
        let expected = Usage {
            latency_ms: self.candidates.mean_ms(genome),
            parameters: cost.parameters as f64,
            macs: cost.macs as f64,
            peak_memory_bytes: (4 * cost.parameters + cost.peak_activation_bytes) as f64,
            process_memory_bytes: self.candidates.process_memory_bytes(genome).unwrap_or(0) as f64,
        };
        let sigmas = self.bench.study.search.limit_sigmas;
        if self.limits.latency_ms.is_none() || sigmas == 0.0 {
            return Ok((expected, expected));
        }
        let margin_ms = sigmas * self.candidates.sigma_ms(genome);
        Ok((expected, Usage { latency_ms: expected.latency_ms + margin_ms, ..expected }))
    }

    fn expected_ms(&self, genome: &[u16]) -> anyhow::Result<f64> {
        Ok(self.usages(genome)?.0.latency_ms)
    }

    fn score(&self, genome: &Genome, generation: u32, order: u32) -> anyhow::Result<(Objectives, CandidateRecord)> {
        let genotype = self.space.genotype(genome);
        let (usage, at_most) = self.usages(genome)?;
        let violation = self.limits.violation(&at_most);
        // Beyond the limits a candidate only has to come nearer to them: its loss is not worth the time.
        let loss = if violation > 0.0 { f64::from(u16::MAX) } else { self.loss(&genotype)?.mean };
        let record = CandidateRecord {
            arch_id: genotype.arch_id().to_string(),
            genotype: genotype.to_string(),
            generation,
            order_in_generation: order,
            objectives: vec![loss, usage.latency_ms],
            metrics: json!({"parameters": usage.parameters, "macs": usage.macs,
                "peak_memory_bytes": usage.peak_memory_bytes, "violation": violation}),
            state: if violation > 0.0 { CandidateState::Infeasible } else { CandidateState::Evaluated },
            measured_by: self.predictor.device().to_string(),
        };
        Ok((Objectives::new(vec![loss, usage.latency_ms], violation)?, record))
    }

    fn refuse_impossible_limits(&self) -> anyhow::Result<()> {
        match verdict(&self.space, &self.limits, |genome| Ok::<_, anyhow::Error>(self.usages(genome)?.1))? {
            Verdict::Feasible(_) => Ok(()),
            Verdict::Infeasible { nearest, least } => {
                let each: Vec<String> = least
                    .iter()
                    .map(|(&name, (value, limit))| {
                        let sigmas = self.bench.study.search.limit_sigmas;
                        let margin = if name == "latency_ms" && sigmas > 0.0 {
                            format!(" ({sigmas} standard deviations of the prediction in it)")
                        } else {
                            String::new()
                        };
                        format!("{name} is at least {value:.4}{margin}, the limit is {limit}")
                    })
                    .collect();
                anyhow::bail!(
                    "failed to search: no architecture of the space keeps the limits: {}; the nearest is {}",
                    each.join("; "),
                    self.space.genotype(&nearest)
                )
            }
        }
    }

    /// First candidates: nothing, and assemblies of the best single choices at several latencies, found exactly by the
    /// multiple-choice knapsack over scores of each (slot, choice) alone. With `search.start = "random"` nothing alone; the
    /// scores are written all the same.
    fn seeds(&self) -> anyhow::Result<Vec<Genome>> {
        let none: Genome = vec![0; self.space.slots().len()];
        let (base_loss, base_ms) = (self.loss(&self.space.genotype(&none))?, self.expected_ms(&none)?);
        let singles: usize = self.space.slots().iter().map(|slot| slot.choices.len() - 1).sum();
        let mut bar = Bar::new("local scores", singles as u64);
        let (mut items, mut table, mut done) = (Vec::new(), Vec::new(), 0);
        for (slot, choices) in self.space.slots().iter().enumerate() {
            let mut column = vec![Item { cost: 0.0, loss: 0.0 }];
            for choice in 1..choices.choices.len() as u16 {
                let mut genome = none.clone();
                genome[slot] = choice;
                let inserted = self.loss(&self.space.genotype(&genome))?;
                let loss = inserted.mean - base_loss.mean;
                let cost = (self.expected_ms(&genome)? - base_ms).max(0.0);
                column.push(Item { cost, loss });
                table.push(
                    json!({"slot": choices.info.slot, "choice": choices.choices[usize::from(choice)].to_string(),
                    "loss_change": loss, "standard_error": Paired::new(&inserted, &base_loss).standard_error,
                    "latency_change_ms": cost}),
                );
                done += 1;
                bar.set(done, format!("{}", choices.info.slot));
                if interrupted() {
                    anyhow::bail!(crate::Interrupted { stage: "search".into() });
                }
            }
            items.push(column);
        }
        self.bench.run.write_json("search/local_scores.json", &json!({"format_version": 1, "rows": table}))?;
        if self.bench.study.search.start == Start::Random {
            return Ok(vec![none]);
        }
        let front = KnapsackFront::solve(&items, 4096)?;
        let solutions = front.solutions();
        let wanted = (self.bench.study.search.population / 2).max(1);
        let step = solutions.len().div_ceil(wanted).max(1);
        let genome = |solution: &tnas_evolution::KnapsackSolution| {
            solution.choices.iter().map(|&choice| choice as u16).collect::<Genome>()
        };
        Ok(std::iter::once(none).chain(solutions.iter().step_by(step).map(genome)).collect())
    }
}

fn finish(
    bench: &Workbench,
    scorer: &Scorer<'_>,
    store: &mut CandidateStore,
    evolution: &Nsga2<Genome>,
) -> anyhow::Result<Value> {
    let records = store.candidates()?;
    let lines = store.history_lines()?;
    bench.run.write("history.jsonl", (lines.join("\n") + "\n").as_bytes())?;
    let feasible = |record: &&CandidateRecord| record.state == CandidateState::Evaluated;
    let row = |record: &CandidateRecord| {
        json!({"arch_id": record.arch_id, "genotype": record.genotype, "generation": record.generation,
            "loss": record.objectives[0], "latency_ms": record.objectives[1], "feasible": feasible(&record)})
    };
    // Candidates beyond the limits have no loss: they are counted, not drawn.
    let rows: Vec<Value> = records.iter().filter(feasible).map(row).collect();
    bench.run.write_json("search/candidates.json", &json!({"format_version": 1, "rows": rows}))?;
    let slots: Vec<Value> = scorer
        .space
        .slots()
        .iter()
        .map(|slot| json!({"slot": slot.info.slot, "level": slot.info.level, "channels": slot.info.channels}))
        .collect();
    let front = evolution.history().archive().members().len();
    Ok(json!({
        "evaluated": records.len(),
        "feasible": records.iter().filter(feasible).count(),
        "front": front,
        "generations": evolution.generation(),
        "stop_reason": evolution.stop_reason(),
        "limit_latency_ms": bench.study.limits.latency_ms,
        "slots": slots,
    }))
}

/// Hypervolume of all candidates so far by generation.
pub fn hypervolume(bench: &Workbench) -> anyhow::Result<Value> {
    let path = bench.run.path("search/candidates.json");
    // The point that a run's own study.toml tells is the one that was found: nothing changes.
    let found = bench.run.reference_point();
    let asked = bench.study.search.reference_point.filter(|&point| Some(point) != found);
    staged(&bench.run, "hypervolume", &json!([asked, hash_path(&path)?]), &[], &[], || {
        let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let candidates: Candidates =
            serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
        let reference = bench.study.search.reference_point.unwrap_or_else(|| candidates.beyond_the_worst());
        let mut by_generation: BTreeMap<u32, Vec<[f64; 2]>> = BTreeMap::new();
        for row in &candidates.rows {
            by_generation.entry(row.generation).or_default().push([row.loss, row.latency_ms]);
        }
        let mut so_far = Vec::new();
        let volumes = by_generation.into_values().map(|points| {
            so_far.extend(points);
            tnas_evolution::hypervolume(&so_far, &reference)
        });
        Ok(json!({"reference_point": reference, "by_generation": volumes.collect::<Result<Vec<f64>, _>>()?}))
    })
}

/// What hypervolumes need of search/candidates.json.
#[derive(Deserialize)]
struct Candidates {
    rows: Vec<Candidate>,
}

#[derive(Deserialize)]
struct Candidate {
    generation: u32,
    loss: f64,
    latency_ms: f64,
}

impl Candidates {
    /// A twentieth beyond the worst loss and latency.
    fn beyond_the_worst(&self) -> [f64; 2] {
        let worst = |of: fn(&Candidate) -> f64| 1.05 * self.rows.iter().map(of).fold(1e-9, f64::max);
        [worst(|row| row.loss), worst(|row| row.latency_ms)]
    }
}
