//! The Pareto front, measured again, and the winner.

use anyhow::Context;
use serde_json::{Value, json};
use tnas_latency::{Accuracy, MeasurementKind, Outcome, Quantity, Timing};
use tnas_space::Genotype;
use tnas_study::{CandidateRecord, CandidateState, CandidateStore, MeasurementRecord, hash_path};

use super::{profile::target_profile, staged};
use crate::{
    measuring::{Measurer, Subjects, Target},
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
        let subjects = Subjects::open(bench)?;
        let mut store = CandidateStore::open(bench.run.path("study.sqlite"))?;
        let members = pareto(store.candidates()?);
        let known = store.measurements()?;
        let mut here = Here::open(bench, &subjects)?;
        let count = if here.is_some() { members.len().min(study.search.remeasure) } else { 0 };
        let mut bar = Bar::new("front", count as u64);
        let mut measured: Vec<Option<f64>> = vec![None; members.len()];
        for index in spread(members.len(), count) {
            let member = &members[index];
            let device = member.measured_by.clone();
            let before = known.iter().find(|m| m.arch_id == member.arch_id && m.device == device && m.kind == KIND);
            measured[index] = match before {
                Some(measurement) => Some(measurement.value),
                None => match &mut here {
                    Some(here) => here.measure(member, &mut store)?,
                    None => None,
                },
            };
            bar.set(measured.iter().flatten().count() as u64, member.arch_id.clone());
            if interrupted() {
                anyhow::bail!(crate::Interrupted { stage: "front".into() });
            }
        }
        let winner = pick(&study.winner, &members)?;
        let mut rows = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let genotype: Genotype = member.genotype.parse()?;
            let cost = tnas_graph::cost(&subjects.graph(&genotype)?);
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

/// The target, where it is this machine: an imported device is not at hand.
pub(super) struct Here {
    measurer: Measurer,
    quantity: Quantity,
    /// The reference's usual time when the profile was made: times are told at that speed.
    usual_reference_ms: Option<f64>,
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
        if target.fingerprint()?.is_none() {
            away(&format!("the library of {} was not found", settings.target));
            return Ok(None);
        }
        let profile = target_profile(bench)?;
        let usual_reference_ms = profile.usual_reference_ms();
        let measurer = Measurer::new(bench, subjects, &target)?;
        Ok(Some(Self { measurer, quantity: profile.quantity, usual_reference_ms }))
    }

    /// Measures an architecture; none where it did not run.
    pub fn time(&mut self, genotype: &Genotype) -> anyhow::Result<Option<(f64, Timing)>> {
        let outcome = self.measurer.measure(MeasurementKind::Whole, genotype)?;
        let Outcome::Ran { timing, .. } = outcome else { return Ok(None) };
        let value = timing.reported_ms(self.quantity, self.usual_reference_ms);
        Ok(value.map(|value| (value, timing)))
    }

    /// Measures a member; the raw times stand beside the told one in the store.
    fn measure(&mut self, member: &CandidateRecord, store: &mut CandidateStore) -> anyhow::Result<Option<f64>> {
        let Some((value, timing)) = self.time(&member.genotype.parse()?)? else { return Ok(None) };
        store.record_measurement(&MeasurementRecord {
            arch_id: member.arch_id.clone(),
            device: member.measured_by.clone(),
            kind: KIND.into(),
            value,
            details: json!({"timing": timing, "usual_reference_ms": self.usual_reference_ms}),
        })?;
        Ok(Some(value))
    }
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
