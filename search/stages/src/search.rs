//! The multi-objective search.

mod evolve;
mod scorer;
mod seeds;

use std::path::PathBuf;

use anyhow::Context;
use tnas_evolution::{Evaluation, Nsga2, Nsga2Settings};
use tnas_record::{FormatVersion, SearchCandidate, SearchCandidates, SearchSummary, SlotSummary};
use tnas_space::Genome;
use tnas_study::{CandidateRecord, CandidateState, CandidateStore};

pub use self::evolve::{CandidateScorer, evolve};
use self::scorer::{Place, Scorer};
use super::{Inputs, Stage, latency::Predictor, pipeline_times::PipelineTimes, up_to_date};
use crate::{
    progress::{Bar, interrupted},
    recorded,
    settings::SearchSettings,
    workbench::Workbench,
};

/// Searches the trade-off of the study's objectives within its limits.
pub struct Search;

impl Stage for Search {
    type Output = SearchSummary;

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

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        // The store grows later by measurements, so it is no output that must stay as it was.
        Ok(vec![bench.run.path("search/candidates.json")])
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<SearchSummary> {
        let scorer = Scorer::open(bench, PipelineTimes::of(bench)?)?;
        scorer.refuse_impossible_limits()?;
        let mut store = open_store(bench, &self.inputs(bench)?.key()?)?;
        let evolution = search_on(bench, &scorer, &mut store)?;
        finish(bench, &scorer, &mut store, &evolution)
    }
}

/// Searches, where that is not done or its store is gone.
pub fn search(bench: &Workbench) -> anyhow::Result<SearchSummary> {
    let stamp = bench.run.files().stamp(Search::NAME)?;
    if stamp.exists() && !bench.run.files().store().exists() {
        std::fs::remove_file(stamp)?;
    }
    up_to_date(bench, &Search)
}

/// Searches on from the generation that the store has.
fn search_on(bench: &Workbench, scorer: &Scorer<'_>, store: &mut CandidateStore) -> anyhow::Result<Nsga2<Genome>> {
    let evolution = match store.load_state()? {
        Some((_, state)) => serde_json::from_str(&state).context("failed to read the search's state")?,
        None => Nsga2::new(settings(bench), bench.study.seed, scorer.seeds()?)?,
    };
    let bar = Bar::new("search", u64::from(bench.study.search.generations));
    evolve(evolution, &scorer.space, &mut Recorded { scorer, store, bar, records: Vec::new() })
}

/// The study's scorer, whose evaluations are recorded in the store generation by generation.
struct Recorded<'a, 'b> {
    scorer: &'a Scorer<'b>,
    store: &'a mut CandidateStore,
    bar: Bar,
    /// Candidates of the present generation.
    records: Vec<CandidateRecord>,
}

impl CandidateScorer for Recorded<'_, '_> {
    fn evaluate(&mut self, candidates: &[Genome], generation: u32) -> anyhow::Result<Vec<Evaluation>> {
        let mut evaluations = Vec::new();
        self.records.clear();
        for (genome, order_in_generation) in candidates.iter().zip(0..) {
            let (evaluation, record) = self.scorer.score(genome, Place { generation, order_in_generation })?;
            evaluations.push(evaluation);
            self.records.push(record);
            if interrupted() {
                anyhow::bail!(crate::Interrupted { stage: "search".into() });
            }
        }
        Ok(evaluations)
    }

    fn generation_done(&mut self, generation: u32, evolution: &Nsga2<Genome>) -> anyhow::Result<()> {
        self.store.save_generation(generation, &self.records, &serde_json::to_string(evolution)?)?;
        self.bar.set(u64::from(evolution.generation()), best(self.scorer, evolution));
        Ok(())
    }
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
) -> anyhow::Result<SearchSummary> {
    let records = store.candidates()?;
    let lines = store.history_lines()?;
    bench.run.write("history.jsonl", (lines.join("\n") + "\n").as_bytes())?;
    let feasible = |record: &&CandidateRecord| record.state == CandidateState::Evaluated;
    let row = |record: &CandidateRecord| SearchCandidate {
        arch_id: record.arch_id.clone(),
        genotype: record.genotype.clone(),
        generation: record.generation,
        objectives: record.objectives.clone(),
        feasible: feasible(&record),
    };
    // Candidates beyond the limits have no loss: they are counted, not drawn.
    let rows = records.iter().filter(feasible).map(row).collect();
    let objectives = scorer.objectives.clone();
    bench.run.write_record(&SearchCandidates { format_version: FormatVersion, objectives, rows })?;
    let slot = |slot: &tnas_space::SlotChoices| SlotSummary {
        slot: slot.info.slot.to_string(),
        level: slot.info.level,
        channels: slot.info.channels,
    };
    Ok(SearchSummary {
        evaluated: records.len(),
        feasible: records.iter().filter(feasible).count(),
        front: evolution.history().archive().members().len(),
        generations: evolution.generation(),
        stop_reason: evolution.stop_reason().map(recorded::stop_reason),
        limits: bench.study.limits.values(),
        slots: scorer.space.slots().iter().map(slot).collect(),
    })
}
