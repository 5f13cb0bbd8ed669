use anyhow::Context;
use serde_json::{Value, json};
use tnas_latency::{Accuracy, Outcome};
use tnas_space::Genotype;
use tnas_study::{CandidateRecord, CandidateState, CandidateStore, MeasurementRecord, hash_path};

use super::{
    profile::{ANCHOR_EVERY, measure_apart, target_profile},
    staged,
};
use crate::{
    model_folder::Pipeline,
    progress::{Bar, interrupted},
    settings::WinnerRule,
    workbench::Workbench,
};

/// Measures the front on the device, and picks the winner by the study's rule.
pub fn front(bench: &Workbench) -> anyhow::Result<Value> {
    let study = &bench.study;
    let inputs = json!([
        study.winner,
        study.search.remeasure,
        study.profile.target,
        study.profile.threads,
        hash_path(bench.run.path("search/candidates.json"))?,
    ]);
    staged(&bench.run, "front", &inputs, &[bench.run.path("front.json")], &[], || {
        let model = Pipeline::read(&bench.run.backbone())?;
        let tokens = model.tokenizer.max_length().min(model.encoder.config.max_position_embeddings);
        let mut store = CandidateStore::open(bench.run.path("study.sqlite"))?;
        let members = pareto(store.candidates()?);
        let known = store.measurements()?;
        let count = members.len().min(study.search.remeasure);
        let mut bar = Bar::new("front", count as u64);
        let mut measured: Vec<Option<f64>> = vec![None; members.len()];
        let (mut speed, mut done) = (Speed::now(bench, &model)?, 0usize);
        for index in spread(members.len(), count) {
            let member = &members[index];
            let device = member.measured_by.clone();
            let before = known.iter().find(|m| m.arch_id == member.arch_id && m.device == device && m.kind == KIND);
            measured[index] = match before {
                Some(measurement) => Some(measurement.value),
                None => remeasure(bench, &model, member, &speed, &mut store)?,
            };
            done += 1;
            if done.is_multiple_of(ANCHOR_EVERY) {
                speed = Speed::now(bench, &model)?;
            }
            bar.set(measured.iter().flatten().count() as u64, member.arch_id.clone());
            if interrupted() {
                anyhow::bail!(crate::Interrupted { stage: "front".into() });
            }
        }
        let winner = pick(&study.winner, &members)?;
        let mut rows = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let genotype: Genotype = member.genotype.parse()?;
            let graph = model.backbone.denoiser(&genotype, bench.denoiser_shape(1, tokens))?;
            let cost = tnas_graph::cost(&graph);
            rows.push(json!({
                "arch_id": member.arch_id, "genotype": member.genotype, "loss": member.objectives[0],
                "predicted_ms": member.objectives[1], "measured_ms": measured[index],
                "parameters": cost.parameters, "macs": cost.macs,
                "peak_activation_bytes": cost.peak_activation_bytes, "winner": index == winner,
            }));
        }
        bench.run.write_json("front.json", &json!({"format_version": 1, "rows": rows}))?;
        let (truth, predicted): (Vec<f64>, Vec<f64>) = members
            .iter()
            .zip(&measured)
            .filter_map(|(member, measured)| Some(((*measured)?, member.objectives[1])))
            .unzip();
        Ok(json!({
            "members": members.len(),
            "measured": truth.len(),
            "accuracy": Accuracy::new(&truth, &predicted),
            "winner": members[winner].arch_id,
            "winner_genotype": members[winner].genotype,
        }))
    })
}

const KIND: &str = "latency_ms";

/// The winner's genotype.
pub fn winner(bench: &Workbench) -> anyhow::Result<Genotype> {
    let summary = bench.run.summary("front").context("failed to find the winner: run `search` first")?;
    let text = summary["winner_genotype"].as_str().context("failed to find the winner: run `search` first")?;
    Ok(text.parse()?)
}

/// How fast the device is now, by the profile's anchor.
struct Speed {
    /// 1.1: ten per cent slower than it usually was while the profile was made.
    ratio: f64,
}

impl Speed {
    fn now(bench: &Workbench, model: &Pipeline) -> anyhow::Result<Self> {
        /// A single measurement may be a hiccup.
        const TIMES: usize = 3;
        let profile = target_profile(bench)?;
        let anchors: Vec<_> = profile.measurements.iter().filter(|m| m.anchor).collect();
        let usual = median(anchors.iter().filter_map(|m| Some(m.timing()?.cpu.median_ms)).collect());
        let (Some(anchor), Some(usual)) = (anchors.first(), usual) else { return Ok(Self { ratio: 1.0 }) };
        let genotype: Genotype = anchor.genotype.parse()?;
        let mut times = Vec::new();
        for _ in 0..TIMES {
            if let Outcome::Ran { timing, .. } =
                measure_apart(bench, model, &bench.study.profile.target, &genotype)?
            {
                times.push(timing.cpu.median_ms);
            }
        }
        Ok(Self { ratio: median(times).map_or(1.0, |now| now / usual) })
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Measures a member; its time is told at the device's usual speed, the raw one and the speed beside it in the store.
fn remeasure(
    bench: &Workbench,
    model: &Pipeline,
    member: &CandidateRecord,
    speed: &Speed,
    store: &mut CandidateStore,
) -> anyhow::Result<Option<f64>> {
    let outcome = measure_apart(bench, model, &bench.study.profile.target, &member.genotype.parse()?)?;
    let Outcome::Ran { timing, .. } = outcome else { return Ok(None) };
    let value = timing.cpu.median_ms / speed.ratio;
    store.record_measurement(&MeasurementRecord {
        arch_id: member.arch_id.clone(),
        device: member.measured_by.clone(),
        kind: KIND.into(),
        value,
        details: json!({"timing": timing, "speed_ratio": speed.ratio}),
    })?;
    Ok(Some(value))
}

/// Feasible candidates that none dominates, fastest first.
fn pareto(candidates: Vec<CandidateRecord>) -> Vec<CandidateRecord> {
    let mut feasible: Vec<CandidateRecord> =
        candidates.into_iter().filter(|c| c.state == CandidateState::Evaluated).collect();
    feasible.sort_by(|a, b| {
        let by = |index: usize| a.objectives[index].total_cmp(&b.objectives[index]);
        by(1).then(by(0)).then_with(|| a.arch_id.cmp(&b.arch_id))
    });
    let mut best = f64::INFINITY;
    feasible.retain(|candidate| {
        let better = candidate.objectives[0] < best;
        best = best.min(candidate.objectives[0]);
        better
    });
    feasible
}

/// `count` of `total` positions, evenly spread, ends included.
fn spread(total: usize, count: usize) -> Vec<usize> {
    if count >= total {
        return (0..total).collect();
    }
    (0..count).map(|i| i * (total - 1) / (count - 1).max(1)).collect()
}

fn pick(rule: &WinnerRule, members: &[CandidateRecord]) -> anyhow::Result<usize> {
    anyhow::ensure!(!members.is_empty(), "failed to pick a winner: no candidate keeps the limits");
    match rule {
        WinnerRule::Knee => {
            let points: Vec<&[f64]> = members.iter().map(|m| &m.objectives[..]).collect();
            Ok(tnas_evolution::knee(&points)?.map_or(0, |knee| knee.index))
        }
        WinnerRule::Best => Ok(members.len() - 1),
        WinnerRule::Under { latency_ms } => {
            members.iter().rposition(|m| m.objectives[1] <= *latency_ms).with_context(|| {
                let fastest = members[0].objectives[1];
                format!(
                    "failed to pick a winner under {latency_ms} ms: the fastest of the front takes {fastest:.3} ms"
                )
            })
        }
    }
}
