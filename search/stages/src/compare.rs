//! The winner compared with other architectures, trained alike.

mod standing;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use tnas_latency::CandidateCost;
use tnas_network::stream;
use tnas_record::{Comparison, ContenderRow, ObjectiveSet, Verdicts};
use tnas_space::{Choice, Genome, Genotype, SearchSpace, SpaceError};
use tnas_training::{FinetuneSettings, HeldOutLoss, Paired};

use self::standing::{Compared, Ranges, dominates, range_of, standing};
use super::{
    Inputs, Stage,
    finetune::{Material, train_arm, write_pipeline},
    front::Here,
    supernet::held_out,
    up_to_date,
};
use crate::{measuring::Subjects, progress::interrupted, recorded, workbench::Workbench};

/// Times that each arm is measured, the arms alternating.
const ROUNDS: usize = 3;

/// Genotypes tried for each random arm of the winner's size.
const DRAWS: usize = 20_000;

/// Trains the winner and what a researcher would have put in its place, alike: the image model alone, temporal attention
/// everywhere, the hand-made rule of 1-D operators at high and 3-D ones at low resolution, random architectures of the winner's
/// size, and the study's own. Reports which the winner dominates, and by which it is dominated.
pub struct Compare {
    subjects: Subjects,
    /// The winner first.
    arms: Vec<Arm>,
}

impl Compare {
    fn settings(bench: &Workbench) -> FinetuneSettings {
        let (study, asked) = (&bench.study, &bench.study.compare);
        let mut settings = study.finetune.clone();
        settings.training.steps = asked.steps.unwrap_or(settings.training.steps);
        settings
    }
}

impl Stage for Compare {
    type Output = Comparison;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let (study, search) = (&bench.study, &bench.study.search);
        let winner = self.arms.first().map(|arm| arm.genotype.to_string());
        Inputs::of_noised_clips(bench)?
            .file(bench.run.supernet())
            .setting("winner", &winner)?
            .setting("finetune", &Self::settings(bench))?
            .setting("compare", &study.compare)?
            .setting("search.objectives", &search.objectives)?
            .setting("search.flow", &search.flow)?
            .setting("search.batch", &search.batch)?
            .setting("search.compared_clips", &search.compared_clips)?
            .setting("profile.target", &study.profile.target)?
            .setting("profile.threads", &study.profile.threads)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![bench.run.files().compared_model("winner")?.join("unet")])
    }

    fn checkpoints(&self) -> Vec<String> {
        self.arms.iter().map(|arm| format!("compare-{}", arm.name)).collect()
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<Comparison> {
        let (study, asked, settings) = (&bench.study, &bench.study.compare, Self::settings(bench));
        let (model, latents) = (bench.image_model()?, bench.latents()?);
        let clips = held_out(bench, &model, &latents, study.search.compared_clips)?;
        let material = Material { model: &model, latents: &latents, compared: &clips };
        let mut losses = Vec::new();
        for (arm, stage) in self.arms.iter().zip(self.checkpoints()) {
            let trained = train_arm(bench, &material, &settings, &stage, &arm.genotype)?;
            let folder = bench.run.files().compared_model(&arm.name)?;
            let first_frame = settings.first_frame > 0.0;
            write_pipeline(bench, &model, &folder, &trained.weights, &arm.genotype, first_frame)?;
            losses.push(trained.loss);
        }
        let measured = measured(bench, &self.subjects, &self.arms)?;
        let contender = |((arm, loss), measured)| Contender { arm, loss, measured };
        let results: Vec<Contender> = self.arms.iter().zip(&losses).zip(&measured).map(contender).collect();
        let objectives = study.search.objectives.set();
        let figures = figures(&objectives, &results, asked.size_tolerance, settings.training.steps)?;
        print(&figures);
        Ok(figures)
    }
}

/// Compares the winner, where that is not done.
pub fn compare(bench: &Workbench, winner: &Genotype) -> anyhow::Result<Comparison> {
    let subjects = Subjects::open(bench)?;
    let arms = arms(bench, &subjects, winner)?;
    up_to_date(bench, &Compare { subjects, arms })
}

/// What is compared.
struct Arm {
    name: String,
    genotype: Genotype,
    /// Work of the whole network.
    cost: CandidateCost,
    random: bool,
}

fn arms(bench: &Workbench, subjects: &Subjects, winner: &Genotype) -> anyhow::Result<Vec<Arm>> {
    let (settings, space) = (&bench.study.compare, &subjects.space);
    let sizes = Sizes::new(subjects)?;
    let size = sizes.of(&space.genome(winner)?);
    let arm = |name: &str, genotype: Genotype| -> anyhow::Result<Arm> {
        let cost = tnas_graph::cost(&subjects.graph(&genotype)?).into();
        Ok(Arm { name: name.into(), genotype, cost, random: false })
    };
    let mut arms = vec![arm("winner", winner.clone())?, arm("none", Genotype::none())?];
    let nearest = |genomes: Vec<Genome>| genomes.into_iter().min_by_key(|genome| sizes.of(genome).abs_diff(size));
    if let Some(genome) = nearest(attention_everywhere(space)) {
        arms.push(arm("attention-everywhere", space.genotype(&genome))?);
    }
    if let Some(genome) = nearest(hand_rule(space)) {
        arms.push(arm("hand-rule", space.genotype(&genome))?);
    }
    for (name, text) in &settings.arms {
        let wrong = |message: String| bench.source.error(&format!("compare.arms.{name}"), message);
        let genotype: Genotype = text.parse().map_err(|error: SpaceError| wrong(error.to_string()))?;
        subjects.model.backbone.check_slots(&genotype).map_err(|error| wrong(error.to_string()))?;
        arms.push(arm(name, genotype)?);
    }
    let near = |genome: &Genome| sizes.of(genome).abs_diff(size) as f64 <= settings.size_tolerance * size as f64;
    let mut rng = stream(bench.study.seed, "compare", 0);
    for index in 0..settings.random {
        let genome = (0..DRAWS).map(|_| space.sample(&mut rng)).find(near).with_context(|| {
            format!(
                "failed to draw an architecture within {} % of the winner's {size} parameters in {DRAWS} tries: raise \
                 compare.size_tolerance, or set compare.random = 0",
                100.0 * settings.size_tolerance
            )
        })?;
        arms.push(Arm { random: true, ..arm(&format!("random-{}", index + 1), space.genotype(&genome))? });
    }
    Ok(arms)
}

/// Parameters of a space's networks: those of its baseline, and what each choice adds to them.
struct Sizes {
    baseline: u64,
    choices: Vec<Vec<i64>>,
}

impl Sizes {
    fn new(subjects: &Subjects) -> anyhow::Result<Self> {
        let space = &subjects.space;
        let of = |genome: &[u16]| -> anyhow::Result<u64> {
            Ok(tnas_graph::cost(&subjects.graph(&space.genotype(genome))?).parameters)
        };
        let mut genome = space.baseline();
        let baseline = of(&genome)?;
        let mut choices = Vec::new();
        for (slot, info) in space.slots().iter().enumerate() {
            let mut sizes = Vec::new();
            for choice in 0..info.choices.len() {
                genome[slot] = choice as u16;
                sizes.push(of(&genome)? as i64 - baseline as i64);
            }
            genome[slot] = info.baseline();
            choices.push(sizes);
        }
        Ok(Self { baseline, choices })
    }

    fn of(&self, genome: &[u16]) -> u64 {
        let added = genome.iter().zip(&self.choices).map(|(&choice, sizes)| sizes[usize::from(choice)]);
        self.baseline.saturating_add_signed(added.sum())
    }
}

/// Whether a choice is one operator of one of these kinds.
fn is_one_of(choice: &Choice, kinds: &[&str]) -> bool {
    matches!(choice.operators(), [one] if kinds.contains(&one.name()))
}

/// All operators of these kinds that any slot offers.
fn offered(space: &SearchSpace, kinds: &[&str]) -> Vec<Choice> {
    let mut found = Vec::new();
    for choice in space.slots().iter().flat_map(|slot| &slot.choices) {
        if is_one_of(choice, kinds) && !found.contains(choice) {
            found.push(choice.clone());
        }
    }
    found
}

/// At each slot the first of the wanted choices that it offers; its baseline where it offers none of them.
fn genome(space: &SearchSpace, wanted: impl Fn(usize) -> Vec<Choice>) -> Genome {
    let index = |slot: &tnas_space::SlotChoices| {
        let found =
            wanted(slot.info.level).into_iter().find_map(|choice| slot.choices.iter().position(|c| *c == choice));
        found.map_or(slot.baseline(), |found| found as u16)
    };
    space.slots().iter().map(index).collect()
}

/// One kind of temporal attention in every slot (AnimateDiff, arXiv 2307.04725): a genome per variant of it.
fn attention_everywhere(space: &SearchSpace) -> Vec<Genome> {
    let offered = offered(space, &["attn1d"]);
    let first = |choice: &Choice| [std::slice::from_ref(choice), &offered].concat();
    offered.iter().map(|choice| genome(space, |_| first(choice))).collect()
}

/// 1-D operators at the high resolutions, attention over space and time at the lowest: a genome per pair of operators.
fn hand_rule(space: &SearchSpace) -> Vec<Genome> {
    let (flat, deep) = (offered(space, &["attn1d", "conv1d"]), offered(space, &["attn3d"]));
    let lowest = space.slots().iter().map(|slot| slot.info.level).max().unwrap_or(0);
    let pairs = flat.iter().flat_map(|flat| deep.iter().map(move |deep| (flat, deep)));
    pairs
        .map(|(flat, deep)| {
            genome(
                space,
                |level| {
                    if level == lowest { vec![deep.clone(), flat.clone()] } else { vec![flat.clone()] }
                },
            )
        })
        .collect()
}

/// Each arm's measured objectives, arms alternating.
fn measured(bench: &Workbench, subjects: &Subjects, arms: &[Arm]) -> anyhow::Result<Vec<Ranges>> {
    let Some(mut here) = Here::open(bench, subjects)? else { return Ok(vec![Ranges::new(); arms.len()]) };
    let mut values: Vec<BTreeMap<String, Vec<f64>>> = vec![BTreeMap::new(); arms.len()];
    for _ in 0..ROUNDS {
        for (arm, values) in arms.iter().zip(&mut values) {
            for (name, value) in here.values(&arm.genotype)?.map(|(values, _)| values).unwrap_or_default() {
                values.entry(name).or_default().push(value);
            }
            if interrupted() {
                anyhow::bail!(crate::Interrupted { stage: "compare".into() });
            }
        }
    }
    let ranges = |values: BTreeMap<String, Vec<f64>>| {
        values.into_iter().filter_map(|(name, values)| Some((name, range_of(values)?))).collect()
    };
    Ok(values.into_iter().map(ranges).collect())
}

/// An arm with its results.
struct Contender<'a> {
    arm: &'a Arm,
    loss: &'a HeldOutLoss,
    measured: &'a Ranges,
}

impl Contender<'_> {
    fn compared(&self) -> Compared<'_> {
        Compared { cost: &self.arm.cost, loss: self.loss, measured: self.measured }
    }
}

fn figures(
    objectives: &ObjectiveSet,
    results: &[Contender],
    tolerance: f64,
    steps: u64,
) -> anyhow::Result<Comparison> {
    let winner = &results[0];
    let mut random: Vec<&Contender> = results.iter().filter(|one| one.arm.random).collect();
    random.sort_by(|a, b| a.loss.mean.total_cmp(&b.loss.mean));
    // Of two in the middle the better one.
    let median = random.get(random.len().saturating_sub(1) / 2).map(|one| one.arm.name.clone());
    let mut verdicts = Verdicts { dominated_by: Vec::new(), dominates: Vec::new() };
    let mut rows = Vec::new();
    for one in results {
        let size = one.arm.cost.parameters as f64 / winner.arm.cost.parameters as f64;
        let standing = standing(objectives, &winner.compared(), &one.compared())?;
        let same_size = (size - 1.0).abs() <= tolerance;
        // The image model alone has no size to keep; the random ones are represented by the median.
        let counts = (same_size || one.arm.name == "none")
            && (!one.arm.random || median.as_deref() == Some(one.arm.name.as_str()));
        let reversed: Vec<i8> = standing.iter().map(|sign| -sign).collect();
        if counts && dominates(&standing)? {
            verdicts.dominates.push(one.arm.name.clone());
        }
        if counts && dominates(&reversed)? {
            verdicts.dominated_by.push(one.arm.name.clone());
        }
        rows.push(row(objectives, winner, one, (size, same_size), &standing)?);
    }
    Ok(Comparison { steps, size_tolerance: tolerance, rows, random_median: median, verdicts })
}

fn row(
    objectives: &ObjectiveSet,
    winner: &Contender,
    one: &Contender,
    (size, same_size): (f64, bool),
    standing: &[i8],
) -> anyhow::Result<ContenderRow> {
    let paired = Paired::new(winner.loss, one.loss)?;
    let standing: BTreeMap<String, i8> =
        objectives.iter().map(|objective| objective.name.to_string()).zip(standing.iter().copied()).collect();
    Ok(ContenderRow {
        arm: one.arm.name.clone(),
        genotype: one.arm.genotype.to_string(),
        parameters: one.arm.cost.parameters,
        size,
        same_size,
        held_out_loss: one.loss.mean,
        bands: recorded::bands(&one.loss.bands),
        winner_minus_this: paired.difference,
        standard_error: paired.standard_error,
        clips: paired.clips,
        measured: one.measured.clone(),
        winner_is: standing,
    })
}

/// The rows and the verdict on the terminal.
fn print(figures: &Comparison) {
    for row in &figures.rows {
        let median = |(name, range): (&String, &tnas_record::MeasuredRange)| format!("{name} {:.2}", range.median);
        let medians: Vec<String> = row.measured.iter().map(median).collect();
        eprintln!(
            "{:>24}  loss {:.4}  winner − this {:>8.4} ± {}  {}  {} parameters",
            row.arm,
            row.held_out_loss,
            row.winner_minus_this,
            row.standard_error.map_or("unknown".into(), |error| format!("{error:.4}")),
            if medians.is_empty() { "not measured".into() } else { medians.join("  ") },
            row.parameters
        );
    }
    let Verdicts { dominates, dominated_by } = &figures.verdicts;
    for (names, words) in [(dominates, "the winner dominates"), (dominated_by, "it is dominated by")] {
        eprintln!("{words}: {}", if names.is_empty() { "none".into() } else { names.join(", ") });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_made_arms_put_each_operator_where_the_rule_says() {
        use tnas_models::{Backbone, UNetConfig};
        use tnas_space::{SpaceFile, SpaceRule};
        let config = r#"{"in_channels": 3, "out_channels": 3, "block_out_channels": [8, 16], "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "attention_head_dim": 2,
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 8, "norm_num_groups": 4}"#;
        let backbone = Backbone::new(UNetConfig::from_json(config).expect("a config"));
        let rule = |slots: &str, choices: &[&str]| SpaceRule {
            slots: vec![slots.into()],
            choices: choices.iter().map(|&choice| choice.into()).collect(),
        };
        let rules = vec![
            rule("mid.0.r", &["none", "conv1d(k=3)", "attn1d(heads=2)", "attn3d(heads=2)"]),
            rule("down.*", &["none", "conv1d(k=3)", "attn1d(heads=1)", "attn1d(heads=2)"]),
        ];
        let space = SearchSpace::new(&backbone.slots(), &SpaceFile { rules }).expect("a space");
        let everywhere = attention_everywhere(&space);
        assert_eq!(everywhere.len(), 2);
        for genome in &everywhere {
            let genotype = space.genotype(genome);
            let open = space.slots().iter().filter(|slot| slot.choices.len() > 1).count();
            assert_eq!(genotype.insertions().count(), open, "{genotype}");
            assert!(genotype.insertions().all(|(_, choice)| is_one_of(choice, &["attn1d"])));
        }
        let by_hand = hand_rule(&space);
        assert_eq!(by_hand.len(), 3);
        for genome in &by_hand {
            let genotype = space.genotype(genome);
            let deep = genotype.insertions().filter(|(_, choice)| is_one_of(choice, &["attn3d"]));
            assert!(deep.map(|(slot, _)| slot.to_string()).eq(["mid.0.r".to_string()]), "{genotype}");
        }
    }
}
