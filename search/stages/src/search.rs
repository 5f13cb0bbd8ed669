//! The multi-objective search.

mod scorer;
mod seeds;

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};
use tnas_evolution::{Evaluation, Nsga2, Nsga2Settings, Rng, Variation};
use tnas_space::{Genome, SearchSpace};
use tnas_study::{CandidateRecord, CandidateState, CandidateStore};

use self::scorer::{Place, Scorer};
use super::{Inputs, Stage, latency::Predictor, pipeline_times::PipelineTimes, up_to_date};
use crate::{
    progress::{Bar, interrupted},
    settings::SearchSettings,
    workbench::Workbench,
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

/// Searches the trade-off of the study's objectives within its limits.
pub struct Search;

impl Stage for Search {
    const NAME: &'static str = "search";

    type Output = Value;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let study = &bench.study;
        // The point that hypervolumes are taken to changes no candidate.
        let settings = SearchSettings { reference_point: None, ..study.search.clone() };
        Inputs::of_noised_clips(bench)?
            .file(bench.run.supernet())
            .file(Predictor::file(bench)?)
            .setting("search", &settings)?
            .setting("limits", &study.limits)?
            .setting("pipeline_times", &PipelineTimes::of(bench)?)
    }

    fn outputs(&self, bench: &Workbench) -> Vec<PathBuf> {
        // The store grows later by measurements, so it is no output that must stay as it was.
        vec![bench.run.path("search/candidates.json")]
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<Value> {
        let scorer = Scorer::open(bench, PipelineTimes::of(bench)?)?;
        scorer.refuse_impossible_limits()?;
        let mut store = open_store(bench, &self.inputs(bench)?.key()?)?;
        let evolution = evolve(bench, &scorer, &mut store)?;
        finish(bench, &scorer, &mut store, &evolution)
    }
}

/// Searches, where that is not done or its store is gone.
pub fn search(bench: &Workbench) -> anyhow::Result<Value> {
    let stamp = bench.run.dir().stamp_file(Search::NAME)?;
    if stamp.exists() && !bench.run.dir().store_file().exists() {
        std::fs::remove_file(stamp)?;
    }
    up_to_date(bench, &Search)
}

/// Evaluates generation after generation, from the one that the store has.
fn evolve(bench: &Workbench, scorer: &Scorer<'_>, store: &mut CandidateStore) -> anyhow::Result<Nsga2<Genome>> {
    let mut evolution = match store.load_state()? {
        Some((_, state)) => serde_json::from_str(&state).context("failed to read the search's state")?,
        None => Nsga2::new(settings(bench), bench.study.seed, scorer.seeds()?)?,
    };
    let mut bar = Bar::new("search", u64::from(bench.study.search.generations));
    let moves = Moves(&scorer.space);
    while let Some(candidates) = evolution.ask(&moves) {
        let generation = evolution.generation();
        let (evaluations, records) = evaluate(scorer, &candidates, generation)?;
        evolution.tell(candidates, evaluations)?;
        store.save_generation(generation, &records, &serde_json::to_string(&evolution)?)?;
        bar.set(u64::from(evolution.generation()), best(scorer, &evolution));
    }
    Ok(evolution)
}

fn evaluate(
    scorer: &Scorer<'_>,
    candidates: &[Genome],
    generation: u32,
) -> anyhow::Result<(Vec<Evaluation>, Vec<CandidateRecord>)> {
    let (mut evaluations, mut records) = (Vec::new(), Vec::new());
    for (genome, order_in_generation) in candidates.iter().zip(0..) {
        let (evaluation, record) = scorer.score(genome, Place { generation, order_in_generation })?;
        evaluations.push(evaluation);
        records.push(record);
        if interrupted() {
            anyhow::bail!(crate::Interrupted { stage: "search".into() });
        }
    }
    Ok((evaluations, records))
}

/// The best value of the first objective so far, for people.
fn best(scorer: &Scorer<'_>, evolution: &Nsga2<Genome>) -> String {
    let first = scorer.objectives.first();
    let values = evolution.history().archive().members().iter().map(|member| member.objectives.values()[0]);
    values
        .reduce(f64::min)
        .map_or("nothing keeps the limits yet".into(), |best| format!("best {first} {:.5}", first.oriented(best)))
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
            "objectives": record.objectives, "feasible": feasible(&record)})
    };
    // Candidates beyond the limits have no loss: they are counted, not drawn.
    let rows: Vec<Value> = records.iter().filter(feasible).map(row).collect();
    let file = json!({"format_version": 2, "objectives": scorer.objectives, "rows": rows});
    bench.run.write_json("search/candidates.json", &file)?;
    let slots = scorer.space.slots().iter();
    let slot =
        |info: &tnas_space::SlotInfo| json!({"slot": info.slot, "level": info.level, "channels": info.channels});
    Ok(json!({
        "evaluated": records.len(),
        "feasible": records.iter().filter(feasible).count(),
        "front": evolution.history().archive().members().len(),
        "generations": evolution.generation(),
        "stop_reason": evolution.stop_reason(),
        "limits": bench.study.limits,
        "pipeline": scorer.pipeline,
        "slots": slots.map(|slot_choices| slot(&slot_choices.info)).collect::<Vec<Value>>(),
    }))
}
