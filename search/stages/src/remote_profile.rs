//! Measurements that are made on another device.

use std::path::{Path, PathBuf};

use tnas_export::{ModelInfo, to_onnx};
use tnas_latency::{PlanSettings, RemoteProfile, TableRow, slug};
use tnas_record::{ProfileSummary, RemotePlan};
use tnas_space::Genotype;

use super::profile::{check_noise, planned, summary};
use crate::{
    measuring::{Subjects, weights},
    options::{ProfileImportOptions, ProfilePlanOptions},
    progress::Bar,
    workbench::Workbench,
};

/// Writes what is to be measured on another device: the models, and a table to fill.
pub fn plan_remote(bench: &Workbench, args: &ProfilePlanOptions) -> anyhow::Result<RemotePlan> {
    anyhow::ensure!(!slug(&args.device).is_empty(), "failed to plan: --device {:?} has no letters", args.device);
    let folder = folder(bench, &args.device, args.out.as_deref());
    let subjects = Subjects::open(bench)?;
    let test = args.samples / 3;
    let settings = PlanSettings { train: args.samples - test, test, ..bench.study.profile.plan() };
    let (candidates, plan) = planned(bench, &subjects.space, &subjects.blocks()?, &settings)?;
    let mut rows = Vec::new();
    for (order, run) in (0..).zip(&plan.runs) {
        let genotype = subjects.space.genotype(&candidates[run.candidate]);
        let arch_id = genotype.arch_id().to_string();
        rows.push(TableRow::new(order, run, format!("{arch_id}.onnx"), arch_id, genotype.to_string()));
    }
    let table = RemoteProfile::new(&folder);
    table.plan(&args.device, &rows)?;
    let measured: Vec<usize> = plan.train.iter().chain(&plan.test).copied().collect();
    let mut bar = Bar::new("models", measured.len() as u64);
    for (done, &candidate) in (1..).zip(&measured) {
        let genotype = subjects.space.genotype(&candidates[candidate]);
        let name = genotype.arch_id().to_string();
        let graph = subjects.graph(&genotype)?;
        let info = ModelInfo { name: name.clone(), description: genotype.to_string(), ..ModelInfo::default() };
        let bytes = to_onnx(&graph, &weights(&graph), &info)?;
        tnas_weights::write_atomic(folder.join(format!("{name}.onnx")), &bytes)?;
        bar.set(done, name);
    }
    eprintln!(
        "{:>16} {} models, {} lines to fill: {}",
        "plan",
        measured.len(),
        rows.len(),
        table.table().display()
    );
    eprintln!("{:>16} what they depend on, and how to measure: {}", "plan", table.facts().display());
    eprintln!("{:>16} then: tnas profile import STUDY --device {}", "plan", args.device);
    Ok(RemotePlan { folder, architectures: measured.len(), lines: rows.len(), rare: plan.rare.len() })
}

/// Checks a filled table, and takes it over as the device's profile: `profile.target` can then name the device.
pub fn import(bench: &Workbench, args: &ProfileImportOptions) -> anyhow::Result<ProfileSummary> {
    let folder = folder(bench, &args.device, args.from.as_deref());
    let subjects = Subjects::open(bench)?;
    let check = |row: &TableRow| {
        let genotype: Genotype = row.genotype.parse().map_err(|error| format!("genotype: {error}"))?;
        let id = genotype.arch_id().to_string();
        if id != row.arch_id {
            return Err(format!(
                "arch_id {} is not the genotype's, which is {id}: one of them was changed",
                row.arch_id
            ));
        }
        subjects
            .space
            .genome(&genotype)
            .map(drop)
            .map_err(|error| format!("it is of another search space: {error}"))
    };
    let path = bench.run.profile(&slug(&args.device))?;
    let profile = RemoteProfile::new(&folder).import(&path, check)?;
    let floor = profile.noise_floor().map_or("not known: no repeats".into(), |f| format!("{:.1} %", 100.0 * f));
    eprintln!("{:>16} {}: noise floor {floor}", "import", profile.fingerprint.describe());
    check_noise(&profile, bench.study.profile.max_noise)?;
    eprintln!("{:>16} search for it with --set 'profile.target=\"{}\"'", "import", args.device);
    Ok(summary(&profile))
}

fn folder(bench: &Workbench, device: &str, given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| bench.run.path(&format!("measure/{}", slug(device))), PathBuf::from)
}
