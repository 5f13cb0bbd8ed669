//! Measured latencies of architectures.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rand::{Rng, RngExt};
use tnas_latency::{
    Fingerprint, Measurement, MeasurementKind, Plan, PlanSettings, Profile, Quality, SpaceBlocks, load_of_others,
    plan,
};
use tnas_network::stream;
use tnas_record::ProfileSummary;
use tnas_space::{Genome, Genotype, SearchSpace};

use super::{
    Inputs, Stage,
    pipeline_parts::{self, Part, parts},
    up_to_date,
};
use crate::{
    measuring::{Measurer, Subjects, Target},
    progress::{Bar, interrupted},
    recorded,
    workbench::Workbench,
};

/// Measures architectures of the space, each in a process of its own, by every runtime that the study names.
pub fn profile(bench: &Workbench) -> anyhow::Result<BTreeMap<String, ProfileSummary>> {
    let settings = &bench.study.profile;
    let subjects = Subjects::open(bench)?;
    let parts = parts(bench, &subjects)?;
    let mut summaries = BTreeMap::new();
    for name in &settings.runtimes {
        let target = Target::new(name, settings)?;
        let from = settings.from.as_ref().filter(|_| *name == settings.target);
        if let Some(from) = from {
            summaries.insert(name.clone(), up_to_date(bench, &Replay { name, from })?);
            continue;
        }
        let fingerprint = match target.fingerprint()? {
            Ok(fingerprint) => fingerprint,
            Err(error) if *name == settings.target => {
                return Err(error).context(format!("failed to measure by {name}, which profile.target asks for"));
            }
            Err(error) => {
                eprintln!("{:>16} {name} is left out, for it failed to {error}", "profile");
                continue;
            }
        };
        let summary = up_to_date(
            bench,
            &Measure { name, target: &target, fingerprint: &fingerprint, subjects: &subjects, parts: &parts },
        )?;
        summaries.insert(name.clone(), summary);
    }
    if !settings.runtimes.contains(&settings.target) {
        summaries.insert(settings.target.clone(), summary(&target_profile(bench)?));
    }
    Ok(summaries)
}

/// Measurements of the plan's architectures by one runtime.
struct Measure<'a> {
    name: &'a str,
    target: &'a Target,
    fingerprint: &'a Fingerprint,
    subjects: &'a Subjects,
    /// Networks of the pipeline besides the denoiser.
    parts: &'a [Part],
}

impl Measure<'_> {
    /// What a measured architecture's times depend on.
    fn purpose(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        // What neither changes what is measured nor how.
        let settings = crate::settings::ProfileSettings {
            target: String::new(),
            runtimes: Vec::new(),
            from: None,
            libraries: BTreeMap::new(),
            ..bench.study.profile.clone()
        };
        Inputs::new()
            .file(&bench.study.space)
            .setting("profile", &settings)?
            .setting("seed", &bench.study.seed)?
            .setting("device", self.fingerprint)?
            .setting("data.frames", &bench.study.data.frames)?
            .setting("clip_shape", &bench.clip_shape())?
            .setting("backbone.config", &self.subjects.model.backbone.config)
    }
}

impl Stage for Measure<'_> {
    type Output = ProfileSummary;

    fn variant(&self) -> String {
        format!("-{}", tnas_latency::slug(self.name))
    }

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        // Parts of the pipeline are added to a profile that was made without them.
        let parts: Vec<&str> = self.parts.iter().map(|part| part.id.as_str()).collect();
        self.purpose(bench)?.setting("parts", &parts)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![bench.run.profile(&self.fingerprint.id())?])
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<ProfileSummary> {
        let path = bench.run.profile(&self.fingerprint.id())?;
        let mut profile = begin(bench, &path, self.fingerprint, self.target, &self.purpose(bench)?.key()?)?;
        record(bench, self.subjects, self.target, &mut profile)?;
        pipeline_parts::record(bench, self.subjects, self.target, self.parts, &mut profile)?;
        profile.finish()?;
        report(bench, &profile);
        check_noise(&profile, bench.study.profile.max_noise)?;
        Ok(summary(&profile))
    }
}

/// The profile that the search reads: of one of the study's runtimes, or imported.
pub fn target_profile(bench: &Workbench) -> anyhow::Result<Profile> {
    let (settings, path) = (&bench.study.profile, target_path(bench)?);
    anyhow::ensure!(
        path.exists(),
        "failed to find a profile of {}: there is no {}; measure it with `profile`, import it with `profile import`, or name \
         one of profile.runtimes ({}) as profile.target",
        settings.target,
        path.display(),
        settings.runtimes.join(", ")
    );
    let profile = Profile::read(&path)?;
    // One recorded on another machine is used through profile.from alone.
    let here = settings.runtimes.contains(&settings.target) && settings.from.is_none();
    if let Some(target) = Target::new(&settings.target, settings).ok().filter(|_| here)
        && let Ok(fingerprint) = target.fingerprint()?
    {
        profile.check_device(&fingerprint)?;
    }
    check_noise(&profile, settings.max_noise)?;
    Ok(profile)
}

/// Where that is kept.
pub fn target_path(bench: &Workbench) -> anyhow::Result<PathBuf> {
    let settings = &bench.study.profile;
    if !settings.runtimes.contains(&settings.target) {
        return bench.run.profile(&tnas_latency::slug(&settings.target));
    }
    // The name of a file does not depend on the library's version: a recorded profile can be used where it is missing.
    bench.run.profile(&Target::new(&settings.target, settings)?.id()?)
}

fn stage_name(runtime: &str) -> String {
    format!("profile-{}", tnas_latency::slug(runtime))
}

/// A recorded profile is an input: taken over as it is, with the device that it was measured on.
struct Replay<'a> {
    name: &'a str,
    from: &'a Path,
}

impl Stage for Replay<'_> {
    type Output = ProfileSummary;

    fn variant(&self) -> String {
        format!("-{}", tnas_latency::slug(self.name))
    }

    fn inputs(&self, _bench: &Workbench) -> anyhow::Result<Inputs> {
        anyhow::ensure!(
            self.from.is_file(),
            "failed to read profile {}: there is no such file; set profile.from to a recorded profile",
            self.from.display()
        );
        Ok(Inputs::new().file(self.from))
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![target_path(bench)?])
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<ProfileSummary> {
        let to = target_path(bench)?;
        let profile = Profile::read(self.from)?;
        check_noise(&profile, bench.study.profile.max_noise)?;
        let bytes = std::fs::read(self.from)?;
        let file = to.strip_prefix(bench.run.root()).unwrap_or(&to).to_string_lossy().into_owned();
        bench.run.write(&file, &bytes)?;
        Ok(summary(&profile))
    }
}

/// Goes on with what an interrupted profile of the same purpose left; any other file is set aside.
fn begin(
    bench: &Workbench,
    path: &Path,
    fingerprint: &Fingerprint,
    target: &Target,
    purpose: &str,
) -> anyhow::Result<Profile> {
    if path.exists() {
        let kept = Profile::read(path).ok().filter(|profile| {
            let same = profile.purpose == purpose && profile.fingerprint.differences(fingerprint).is_empty();
            same && profile
                .quality
                .is_none_or(|quality| too_noisy(&quality, bench.study.profile.max_noise).is_none())
        });
        if kept.is_some() {
            return Ok(Profile::open(path, fingerprint, target.quantity(), purpose)?);
        }
        let aside = path.with_extension("before.jsonl");
        std::fs::rename(path, &aside)?;
        eprintln!("{:>16} is measured anew; the one before is kept as {}", "profile", aside.display());
    }
    Ok(Profile::begin(path, fingerprint, target.quantity(), purpose)?)
}

/// One measurement to make.
struct Job {
    kind: MeasurementKind,
    genotype: Genotype,
    anchor: bool,
    repeat: bool,
    held_out: bool,
}

fn record(bench: &Workbench, subjects: &Subjects, target: &Target, profile: &mut Profile) -> anyhow::Result<()> {
    warn_of_others();
    let jobs = jobs(bench, subjects)?;
    let mut measurer = Measurer::new(bench, subjects, target)?;
    let mut bar = Bar::new(&stage_name(&profile.fingerprint.runtime).replace('-', " "), jobs.len() as u64);
    for (order, job) in (0..).zip(&jobs) {
        if !profile.contains(order) {
            let outcome = measurer.measure(job.kind, &job.genotype)?;
            profile.append(Measurement {
                arch_id: job.genotype.arch_id().to_string(),
                genotype: job.genotype.to_string(),
                kind: job.kind,
                order,
                anchor: job.anchor,
                repeat: job.repeat,
                held_out: job.held_out,
                outcome,
            })?;
        }
        let last = profile.measurements.last().and_then(|m| m.latency_ms(profile.quantity)).unwrap_or_default();
        bar.set(u64::from(order) + 1, format!("{last:.2} ms"));
        if interrupted() {
            anyhow::bail!(crate::Interrupted { stage: "profile".into() });
        }
    }
    Ok(())
}

/// The plan's runs, with the blocks among them where they are asked for.
fn jobs(bench: &Workbench, subjects: &Subjects) -> anyhow::Result<Vec<Job>> {
    let space = &subjects.space;
    let blocks = subjects.blocks()?;
    let (candidates, plan) = planned(bench, space, &blocks, &bench.study.profile.plan())?;
    let whole = plan.runs.iter().map(|run| Job {
        kind: MeasurementKind::Whole,
        genotype: space.genotype(&candidates[run.candidate]),
        anchor: run.anchor,
        repeat: run.repeat,
        held_out: run.held_out,
    });
    let mut jobs: Vec<Job> = whole.collect();
    if bench.study.profile.blocks {
        let mut rng = stream(bench.study.seed, "profile/blocks", 0);
        for genotype in distinct_blocks(space, &blocks) {
            let kind = MeasurementKind::Block;
            let job = Job { kind, genotype, anchor: false, repeat: false, held_out: false };
            jobs.insert(rng.random_range(1..=jobs.len()), job);
        }
    }
    Ok(jobs)
}

/// Each block once: slots of one shape share theirs.
fn distinct_blocks(space: &SearchSpace, blocks: &SpaceBlocks) -> Vec<Genotype> {
    let mut seen = Vec::new();
    let mut genotypes = Vec::new();
    for (slot, row) in blocks.blocks().iter().enumerate() {
        for (choice, block) in row.iter().enumerate().filter(|(_, block)| !block.is_empty()) {
            if !seen.contains(&block) {
                seen.push(block);
                let info = &space.slots()[slot];
                genotypes.push(Genotype::new([(info.info.slot.clone(), info.choices[choice].clone())]));
            }
        }
    }
    genotypes
}

/// Candidates and which of them are measured, by the study's seed.
pub fn planned(
    bench: &Workbench,
    space: &SearchSpace,
    blocks: &SpaceBlocks,
    settings: &PlanSettings,
) -> anyhow::Result<(Vec<Genome>, Plan)> {
    let mut rng = stream(bench.study.seed, "profile/plan", 0);
    let candidates = candidates(space, settings.train + settings.test, &mut rng);
    let choices: Vec<usize> = space.slots().iter().map(|slot| slot.choices.len()).collect();
    let work = |genome: &[u16]| blocks.features("", genome).map_or(0.0, |features| features.macs as f64);
    let plan = plan(&candidates, &choices, work, settings, &mut rng)?;
    if !plan.rare.is_empty() {
        eprintln!(
            "{:>16} {} choices are seen once or never: {} architectures to learn from are few for this space",
            "profile",
            plan.rare.len(),
            plan.train.len()
        );
    }
    Ok((candidates, plan))
}

/// Distinct candidates: every choice of every slot among them, the lightest and the heaviest, and more than enough
/// others, half of them sparse, for the front is made of light architectures.
fn candidates(space: &SearchSpace, wanted: usize, rng: &mut impl Rng) -> Vec<Genome> {
    /// Candidates for one that is measured.
    const SURPLUS: usize = 4;
    let total = (SURPLUS * wanted).max(space.covering().len());
    let mut genomes: Vec<Genome> = space.covering();
    let mut seen: std::collections::BTreeSet<Genome> = genomes.iter().cloned().collect();
    for _ in 0..10 * total {
        if genomes.len() >= total {
            break;
        }
        let mut genome = space.sample(rng);
        if genomes.len().is_multiple_of(2) {
            let keep = rng.random_range(0.1..0.9);
            genome.iter_mut().for_each(|choice| *choice = if rng.random_bool(keep) { *choice } else { 0 });
        }
        if seen.insert(genome.clone()) {
            genomes.push(genome);
        }
    }
    genomes
}

/// Figures of a profile.
pub fn summary(profile: &Profile) -> ProfileSummary {
    let ran = |m: &&Measurement| m.timing().is_some() && !m.repeat && !m.anchor;
    let kind = |kind| profile.measurements.iter().filter(ran).filter(|m| m.kind == kind).count();
    let quality = profile.quality.unwrap_or_else(|| profile.assess());
    ProfileSummary {
        device: profile.fingerprint.describe(),
        clock: recorded::clock(profile.quantity),
        architectures: kind(MeasurementKind::Whole),
        blocks: kind(MeasurementKind::Block),
        failed: profile.measurements.iter().filter(|m| m.timing().is_none()).count(),
        out_of_memory: profile.out_of_memory().len(),
        unsteady: profile.measurements.iter().filter_map(Measurement::timing).filter(|t| !t.steady).count(),
        noise_floor: quality.noise_floor,
        drift_percent: quality.drift_percent,
        raw_drift_percent: quality.raw_drift_percent,
        scatter: quality.scatter,
        taken_by_others: quality.taken_by_others,
    }
}

/// Warns of a busy machine before it is measured …
fn warn_of_others() {
    if let Some(load) = load_of_others().filter(|load| *load > 0.5) {
        eprintln!(
            "{:>16} others keep this machine busy (load {load:.1}): times are corrected by a reference that alternates with them; a quiet \
             machine is better",
            "profile"
        );
    }
}

/// … and how far it disturbed, after.
fn report(bench: &Workbench, profile: &Profile) {
    let Quality { noise_floor, raw_drift_percent, drift_percent, taken_by_others, .. } = profile.assess();
    let floor = noise_floor.map_or("not known".into(), |floor| format!("{:.1} %", 100.0 * floor));
    eprintln!(
        "{:>16} noise floor {floor}; the machine changed by {raw_drift_percent:.0} %, {drift_percent:.0} % relative to the reference",
        "profile"
    );
    if taken_by_others > 0.1 {
        let percent = 100.0 * taken_by_others;
        eprintln!("{:>16} the machine was busy: {percent:.0} % of the time of slow runs went to others", "profile");
    }
    let failed = profile.measurements.iter().filter(|m| m.timing().is_none()).count();
    if failed > 0 {
        eprintln!("{:>16} {failed} architectures did not run: {}", "profile", bench.run.root().display());
    }
}

/// Refuses measurements that are too noisy.
pub fn check_noise(profile: &Profile, max_noise: f64) -> anyhow::Result<()> {
    let quality = profile.quality.unwrap_or_else(|| profile.assess());
    if let Some(reason) = too_noisy(&quality, max_noise) {
        anyhow::bail!(
            "failed to trust the profile of {}: {reason}, allowed are {:.1} %; measure again at a quieter time (the same command \
             does), or allow more with --set profile.max_noise=…",
            profile.fingerprint.describe(),
            100.0 * max_noise
        );
    }
    Ok(())
}

fn too_noisy(quality: &Quality, max_noise: f64) -> Option<String> {
    let floor = quality.noise_floor.filter(|floor| *floor > max_noise);
    let floor = floor.map(|floor| format!("architectures measured twice differ by {:.1} %", 100.0 * floor));
    let jumps = || format!("the device jumped by {:.1} % between anchors", 100.0 * quality.scatter);
    floor.or_else(|| (quality.scatter > max_noise).then(jumps))
}
