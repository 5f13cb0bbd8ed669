//! The Pareto front, measured again, and the winner.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use serde::Serialize;
use tnas_evolution::{Member, Objectives, ParetoArchive};
use tnas_latency::{Accuracy, MeasurementKind, Outcome, Quantity, Timing};
use tnas_record::{FormatVersion, Front, FrontRow, FrontSummary, ObjectiveName, ObjectiveSet, ObjectiveValues};
use tnas_space::Genotype;
use tnas_study::{CandidateRecord, CandidateState, CandidateStore, MeasurementRecord};

use super::{
    Inputs, Stage,
    objectives::{Computation, Measured},
    pipeline_times::PipelineTimes,
    profile::target_profile,
    up_to_date,
};
use crate::{
    measuring::{Measurer, Subjects, Target},
    progress::{Bar, interrupted},
    recorded,
    settings::{Pick, WinnerRule},
    workbench::Workbench,
};

/// What is stored with a measured value: raw times, and the reference's usual time.
#[derive(Serialize)]
struct MeasurementDetails<T> {
    timing: T,
    usual_reference_ms: Option<f64>,
}

/// Measures the front on the device, and picks the winner by the study's rule.
pub struct MeasuredFront;

impl Stage for MeasuredFront {
    type Output = FrontSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let study = &bench.study;
        Inputs::new()
            .file(bench.run.path("search/candidates.json"))
            .setting("winner", &study.winner)?
            .setting("search.remeasure", &study.search.remeasure)?
            .setting("profile.target", &study.profile.target)?
            .setting("profile.threads", &study.profile.threads)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![bench.run.path("front.json")])
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<FrontSummary> {
        let study = &bench.study;
        let subjects = Subjects::open(bench)?;
        let objectives = study.search.objectives.set();
        let mut store = CandidateStore::open(bench.run.path("study.sqlite"))?;
        let members = members(&objectives, store.candidates()?)?;
        let winner = pick(&study.winner, &objectives, &members)?;
        let measured = measure(bench, &subjects, &members, &mut store)?;
        let mut rows = Vec::new();
        for (index, (member, measured)) in members.iter().zip(&measured).enumerate() {
            let genotype: Genotype = member.genotype.parse()?;
            let cost = tnas_graph::cost(&subjects.graph(&genotype)?);
            rows.push(FrontRow {
                arch_id: member.arch_id.clone(),
                genotype: member.genotype.clone(),
                objectives: member.objectives.clone(),
                measured: measured.clone(),
                parameters: cost.parameters,
                macs: cost.macs,
                peak_activation_bytes: cost.peak_activation_bytes,
                winner: index == winner,
            });
        }
        bench.run.write_record(&Front { format_version: FormatVersion, objectives, rows })?;
        let accuracy = accuracy(&members, &measured);
        Ok(FrontSummary {
            members: members.len(),
            measured: measured.iter().filter(|values| !values.is_empty()).count(),
            accuracy: accuracy.iter().map(|(name, found)| (name.clone(), recorded::accuracy(found))).collect(),
            winner: members[winner].arch_id.clone(),
            winner_genotype: members[winner].genotype.clone(),
        })
    }
}

/// Measures the front and picks the winner, where that is not done.
pub fn front(bench: &Workbench) -> anyhow::Result<FrontSummary> {
    up_to_date(bench, &MeasuredFront)
}

/// The winner's genotype.
pub fn winner(bench: &Workbench) -> anyhow::Result<Genotype> {
    let front: FrontSummary = bench.run.figures().context("failed to find the winner: run `search` first")?;
    Ok(front.winner_genotype.parse()?)
}

/// Feasible candidates that none dominates, from the worst to the best of the first objective: with loss and latency, the fastest
/// first. Of equally good ones, the one with the first identifier.
fn members(objectives: &ObjectiveSet, candidates: Vec<CandidateRecord>) -> anyhow::Result<Vec<CandidateRecord>> {
    let mut archive = ParetoArchive::default();
    let mut by_id = BTreeMap::new();
    for candidate in candidates.into_iter().filter(|one| one.state == CandidateState::Evaluated) {
        let missing =
            |name: &str| anyhow::anyhow!("failed to find the front: candidate {} has no {name}", candidate.arch_id);
        let vector = objectives.vector(&candidate.objectives).map_err(missing)?;
        archive.insert(candidate.arch_id.clone(), Objectives::new(vector)?)?;
        by_id.insert(candidate.arch_id.clone(), candidate);
    }
    let mut front: Vec<Member<String>> = archive.into();
    front.dedup_by(|later, earlier| later.objectives == earlier.objectives);
    front.sort_by(|a, b| b.objectives.values()[0].total_cmp(&a.objectives.values()[0]));
    Ok(front.into_iter().filter_map(|member| by_id.remove(&member.genome)).collect())
}

/// Measured values of each member, by objective; empty where it was not measured.
fn measure(
    bench: &Workbench,
    subjects: &Subjects,
    members: &[CandidateRecord],
    store: &mut CandidateStore,
) -> anyhow::Result<Vec<ObjectiveValues>> {
    let known = store.measurements()?;
    let mut measured = vec![ObjectiveValues::new(); members.len()];
    let Some(mut here) = Here::open(bench, subjects)? else { return Ok(measured) };
    let count = if here.objectives.is_empty() { 0 } else { members.len().min(bench.study.search.remeasure) };
    let mut bar = Bar::new("front", count as u64);
    for (done, index) in spread(members.len(), count).into_iter().enumerate() {
        let member = &members[index];
        let of_member = |m: &&MeasurementRecord| m.arch_id == member.arch_id && m.device == member.measured_by;
        let own = known.iter().filter(of_member).filter(|m| here.objectives.contains(&m.kind));
        let before: ObjectiveValues = own.rev().map(|m| (m.kind.clone(), m.value)).collect();
        let all_known = here.objectives.iter().all(|name| before.contains_key(name));
        measured[index] = if all_known { before } else { here.measure(member, store)? };
        bar.set(done as u64 + 1, member.arch_id.clone());
        if interrupted() {
            anyhow::bail!(crate::Interrupted { stage: "front".into() });
        }
    }
    Ok(measured)
}

/// How well each measured objective was predicted.
fn accuracy(members: &[CandidateRecord], measured: &[ObjectiveValues]) -> BTreeMap<String, Accuracy> {
    let mut pairs: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (member, measured) in members.iter().zip(measured) {
        for (name, &value) in measured {
            let Some(predicted) = member.objectives.get(name) else { continue };
            let (truth, predictions) = pairs.entry(name).or_default();
            truth.push(value);
            predictions.push(*predicted);
        }
    }
    pairs.into_iter().map(|(name, (truth, predicted))| (name.into(), Accuracy::new(&truth, &predicted))).collect()
}

/// The target, where it is this machine: an imported device is not at hand.
pub(super) struct Here {
    measurer: Measurer,
    quantity: Quantity,
    /// The reference's usual time when the profile was made: times are given at that speed.
    usual_reference_ms: Option<f64>,
    /// The study's objectives that measuring shows.
    pub objectives: Vec<String>,
    pipeline: Option<PipelineTimes>,
}

impl Here {
    /// None, and a line on the terminal, where it cannot be measured.
    pub fn open(bench: &Workbench, subjects: &Subjects) -> anyhow::Result<Option<Self>> {
        let settings = &bench.study.profile;
        let away = |why: &str| eprintln!("{:>16} is not measured again: {why}", "front");
        if !settings.runtimes.contains(&settings.target) {
            away(&format!("{} is not this machine", settings.target));
            return Ok(None);
        }
        let target = Target::new(&settings.target, settings)?;
        if let Err(error) = target.fingerprint()? {
            away(&format!("{} failed to {error}", settings.target));
            return Ok(None);
        }
        let profile = target_profile(bench)?;
        let usual_reference_ms = profile.usual_reference_ms();
        let measurer = Measurer::new(bench, subjects, &target)?;
        let mut objectives = Vec::new();
        for name in bench.study.search.objectives.iter() {
            if Computation::of(name.as_str())?.of_measured.is_some() {
                objectives.push(name.to_string());
            }
        }
        let (quantity, pipeline) = (profile.quantity, PipelineTimes::of(bench)?);
        Ok(Some(Self { measurer, quantity, usual_reference_ms, objectives, pipeline }))
    }

    /// Measures an architecture: values of the study's objectives by name, with the times that they are from; none where it did
    /// not run.
    pub fn values(&mut self, genotype: &Genotype) -> anyhow::Result<Option<(ObjectiveValues, Timing)>> {
        let outcome = self.measurer.measure(MeasurementKind::Whole, genotype)?;
        let Outcome::Ran { timing, peak_memory_bytes } = outcome else { return Ok(None) };
        let Some(latency_ms) = timing.reported_ms(self.quantity, self.usual_reference_ms) else { return Ok(None) };
        let measured = Measured { latency_ms, peak_memory_bytes, pipeline: self.pipeline };
        let mut values = ObjectiveValues::new();
        for name in &self.objectives {
            let value = Computation::of(name)?.of_measured.and_then(|of_measured| of_measured(&measured));
            values.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(Some((values, timing)))
    }

    /// Measures a member; the raw times are in the store with each value.
    fn measure(&mut self, member: &CandidateRecord, store: &mut CandidateStore) -> anyhow::Result<ObjectiveValues> {
        let Some((values, timing)) = self.values(&member.genotype.parse()?)? else {
            return Ok(ObjectiveValues::new());
        };
        for (name, &value) in &values {
            store.record_measurement(&MeasurementRecord {
                arch_id: member.arch_id.clone(),
                device: member.measured_by.clone(),
                kind: name.clone(),
                value,
                details: serde_json::to_value(MeasurementDetails {
                    timing,
                    usual_reference_ms: self.usual_reference_ms,
                })?,
            })?;
        }
        Ok(values)
    }
}

/// `count` of `total` positions, evenly spread, ends included.
fn spread(total: usize, count: usize) -> Vec<usize> {
    if count >= total {
        return (0..total).collect();
    }
    (0..count).map(|i| i * (total - 1) / (count - 1).max(1)).collect()
}

/// The place of the member that a rule picks.
fn pick(rule: &WinnerRule, objectives: &ObjectiveSet, members: &[CandidateRecord]) -> anyhow::Result<usize> {
    anyhow::ensure!(!members.is_empty(), "failed to pick a winner: no candidate keeps the limits");
    let kept: Vec<usize> = (0..members.len()).filter(|&place| keeps(rule, &members[place])).collect();
    anyhow::ensure!(!kept.is_empty(), "failed to pick a winner: {}", nearest(rule, members).join("; "));
    if rule.pick == Pick::Knee {
        let points: Vec<Vec<f64>> =
            kept.iter().filter_map(|&place| objectives.vector(&members[place].objectives).ok()).collect();
        return Ok(tnas_evolution::knee(&points)?.map_or(kept[0], |knee| kept[knee.index]));
    }
    let of = rule.of.map_or(objectives.first(), |name| name.objective());
    let value = |place: &usize| members[*place].value(&of.name).map_or(f64::INFINITY, |value| of.oriented(value));
    let best = kept.iter().min_by(|a, b| value(a).total_cmp(&value(b)));
    Ok(best.copied().unwrap_or(kept[0]))
}

/// Whether a member is within all bounds of a rule.
fn keeps(rule: &WinnerRule, member: &CandidateRecord) -> bool {
    let within = |name: ObjectiveName, bound| {
        member.value(name.as_str()).is_some_and(|value| name.objective().keeps(value, bound))
    };
    rule.bounds.iter().all(|(name, bound)| within(name, bound))
}

/// What comes nearest to each bound.
fn nearest(rule: &WinnerRule, members: &[CandidateRecord]) -> Vec<String> {
    let described = |(name, bound): (ObjectiveName, f64)| {
        let objective = name.objective();
        let values = members.iter().filter_map(|member| member.value(name.as_str()));
        let best = values.map(|value| objective.oriented(value)).reduce(f64::min);
        let best = best.map_or("unknown".into(), |best| format!("{:.4}", objective.oriented(best)));
        format!("{name} of {bound} is asked for, the best of the front is {best}")
    };
    rule.bounds.iter().map(described).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(arch_id: &str, values: &[(&str, f64)]) -> CandidateRecord {
        CandidateRecord {
            arch_id: arch_id.into(),
            genotype: "none".into(),
            generation: 0,
            order_in_generation: 0,
            objectives: values.iter().map(|&(name, value)| (name.into(), value)).collect(),
            metrics: [("parameters", 100.0 * arch_id.len() as f64)].into_iter().collect(),
            state: CandidateState::Evaluated,
            measured_by: "here".into(),
        }
    }

    fn two(arch_id: &str, loss: f64, latency_ms: f64) -> CandidateRecord {
        candidate(arch_id, &[("loss", loss), ("latency_ms", latency_ms)])
    }

    fn ids(members: &[CandidateRecord]) -> Vec<&str> {
        members.iter().map(|member| member.arch_id.as_str()).collect()
    }

    fn rule(text: &str) -> WinnerRule {
        serde_json::from_str(text).expect("a rule")
    }

    #[test]
    fn a_front_runs_from_the_fastest_to_the_best_and_holds_equals_once() {
        let all = vec![
            two("d", 0.2, 40.0),
            two("b", 0.3, 30.0),
            two("a", 0.3, 30.0),
            two("c", 0.3, 35.0),
            two("e", 0.5, 20.0),
        ];
        let members = members(&ObjectiveSet::default(), all).expect("complete");
        assert_eq!(ids(&members), ["e", "a", "d"]);
    }

    #[test]
    fn an_objective_that_a_front_ignores_changes_nothing_in_it() {
        let values = [("a", 0.2, 40.0), ("b", 0.3, 30.0), ("c", 0.3, 35.0), ("d", 0.5, 20.0)];
        let plain = values.iter().map(|&(id, loss, ms)| two(id, loss, ms)).collect();
        let more = values
            .iter()
            .zip([4.0, 1.0, 0.0, 2.0])
            .map(|(&(id, loss, ms), macs)| candidate(id, &[("loss", loss), ("latency_ms", ms), ("macs", macs)]));
        let two_objectives = ObjectiveSet::default();
        let front = members(&two_objectives, plain).expect("complete");
        let ignoring = members(&two_objectives, more.clone().collect()).expect("complete");
        assert_eq!(ids(&front), ids(&ignoring));
        let names: tnas_record::ObjectiveNames =
            serde_json::from_str(r#"["loss", "latency_ms", "macs"]"#).expect("known");
        let wider = members(&names.set(), more.collect()).expect("complete");
        assert_eq!(ids(&wider), ["d", "b", "c", "a"]);
    }

    #[test]
    fn rules_pick_by_name() {
        let objectives = ObjectiveSet::default();
        let all = [("aaa", 0.5, 20.0), ("bb", 0.22, 28.0), ("c", 0.2, 40.0)];
        let front: Vec<CandidateRecord> = all.iter().map(|&(id, loss, ms)| two(id, loss, ms)).collect();
        let picked = |text: &str| pick(&rule(text), &objectives, &front).map(|place| all[place].0);
        assert_eq!(picked(r#"{"rule": "knee"}"#).expect("a knee"), "bb");
        assert_eq!(picked(r#"{"rule": "best"}"#).expect("a best"), "c");
        assert_eq!(picked(r#"{"rule": "best", "of": "latency_ms"}"#).expect("a best"), "aaa");
        assert_eq!(picked(r#"{"rule": "under", "latency_ms": 28}"#).expect("within"), "bb");
        assert_eq!(picked(r#"{"rule": "under", "of": "latency_ms", "loss": 0.3}"#).expect("within"), "bb");
        assert_eq!(picked(r#"{"rule": "under", "parameters": 100}"#).expect("within"), "c");
        let message = picked(r#"{"rule": "under", "latency_ms": 10}"#).expect_err("beyond").to_string();
        assert!(message.contains("latency_ms of 10") && message.contains("20.0000"), "{message}");
    }
}
