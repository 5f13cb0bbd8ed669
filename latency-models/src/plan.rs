use std::collections::BTreeSet;

use rand::{Rng, seq::SliceRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LatencyError, uncertainty::Uncertainty};

/// Which architectures are measured, and in which order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Candidates to learn from.
    pub train: Vec<usize>,
    /// Candidates to test on: drawn at random, never learned from.
    pub test: Vec<usize>,
    /// The runs in order of time.
    pub runs: Vec<PlannedRun>,
    /// (slot, choice) that occurs less than twice among `train`.
    pub rare: Vec<(usize, u16)>,
}

/// One measurement to make; its position in [`Plan::runs`] is its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRun {
    /// Index of the candidate.
    pub candidate: usize,
    /// The same architecture again and again, to see drift.
    pub anchor: bool,
    /// A second measurement, to see noise.
    pub repeat: bool,
    /// For tests.
    pub held_out: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlanSettings {
    /// Architectures to learn from.
    pub train: usize,
    /// More of them, to test on.
    pub test: usize,
    /// An anchor comes after so many runs.
    pub anchor_every: usize,
    /// This fraction is measured twice …
    pub repeat_fraction: f64,
    /// … but so many at least.
    pub min_repeats: usize,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self { train: 48, test: 24, anchor_every: 20, repeat_fraction: 0.05, min_repeats: 3 }
    }
}

/// How often each choice should be learned from.
const LEAST_SEEN: u32 = 2;

/// Picks from distinct candidates: the cheapest and the dearest, then what shows every choice twice, then always the one
/// of which the others tell least.
///
/// Where there are fewer candidates than asked for, both parts shrink in proportion. `rng` alone decides what is free.
pub fn plan(
    candidates: &[Vec<u16>],
    choices_per_slot: &[usize],
    cost: impl Fn(&[u16]) -> f64,
    settings: &PlanSettings,
    rng: &mut impl Rng,
) -> Result<Plan, LatencyError> {
    check(candidates, choices_per_slot, settings)?;
    let mut by_cost: Vec<usize> = (0..candidates.len()).collect();
    let costs: Vec<f64> = candidates.iter().map(|choices| cost(choices)).collect();
    by_cost.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]).then(a.cmp(&b)));
    let extremes = [by_cost[0], by_cost[by_cost.len() - 1]];
    let mut pool: Vec<usize> = (0..candidates.len()).filter(|index| !extremes.contains(index)).collect();
    pool.shuffle(rng);
    // The test comes first, so that it is a fair draw and not what coverage left over.
    let (train_count, test_count) = train_and_test(candidates.len(), settings);
    let test = pool.split_off(pool.len() - test_count);
    let (train, seen) = pick(candidates, choices_per_slot, &extremes, pool, train_count);
    let anchor = by_cost.iter().copied().filter(|index| train.contains(index)).nth(train.len() / 2);
    let runs = order(&train, &test, anchor.unwrap_or(extremes[0]), settings, rng);
    Ok(Plan { train, test, runs, rare: rare(&seen) })
}

/// So many of the candidates, the most telling first: the cheapest and the dearest, then what shows every choice twice, then
/// always the one of which the others tell least. Indices into the candidates.
pub fn most_telling(candidates: &[Vec<u16>], cost: impl Fn(&[u16]) -> f64, count: usize) -> Vec<usize> {
    let slots = candidates.first().map_or(0, Vec::len);
    let most = |slot: usize| candidates.iter().filter_map(|c| c.get(slot)).max().map_or(0, |&c| usize::from(c) + 1);
    let choices: Vec<usize> = (0..slots).map(most).collect();
    let costs: Vec<f64> = candidates.iter().map(|choices| cost(choices)).collect();
    let by_cost = |a: &usize, b: &usize| costs[*a].total_cmp(&costs[*b]);
    let extremes = [(0..candidates.len()).min_by(by_cost), (0..candidates.len()).max_by(by_cost)];
    let mut extremes: Vec<usize> = extremes.into_iter().flatten().take(count).collect();
    extremes.dedup();
    let pool = (0..candidates.len()).filter(|index| !extremes.contains(index)).collect();
    pick(candidates, &choices, &extremes, pool, count).0
}

/// Goes on from the first ones with what the pool has, most telling first; how often each choice is then seen.
fn pick(
    candidates: &[Vec<u16>],
    choices_per_slot: &[usize],
    first: &[usize],
    mut pool: Vec<usize>,
    count: usize,
) -> (Vec<usize>, Vec<Vec<u32>>) {
    let mut seen: Vec<Vec<u32>> = choices_per_slot.iter().map(|&choices| vec![0; choices]).collect();
    let mut picked = first.to_vec();
    first.iter().for_each(|&index| note(&mut seen, &candidates[index]));
    while picked.len() < count {
        let Some(position) = most_novel(&pool, candidates, &seen) else { break };
        let index = pool.remove(position);
        picked.push(index);
        note(&mut seen, &candidates[index]);
    }
    let mut uncertainty = Uncertainty::new(candidates, &pool);
    picked.iter().for_each(|&index| uncertainty.learn(&candidates[index]));
    while picked.len() < count
        && let Some(index) = uncertainty.most()
    {
        uncertainty.learn(&candidates[index]);
        picked.push(index);
        note(&mut seen, &candidates[index]);
    }
    (picked, seen)
}

/// Numbers of train and test, both reduced where there are not enough candidates; the extremes are train.
fn train_and_test(available: usize, settings: &PlanSettings) -> (usize, usize) {
    let wanted = settings.train + settings.test;
    if wanted <= available {
        return (settings.train, settings.test);
    }
    let test = (settings.test * available / wanted).min(available - 2);
    (available - test, test)
}

/// Position of the first candidate that shows most of what was seen too seldom, if any does.
fn most_novel(pool: &[usize], candidates: &[Vec<u16>], seen: &[Vec<u32>]) -> Option<usize> {
    let gain = |index: usize| -> u32 {
        let counts = candidates[index].iter().zip(seen).map(|(&choice, counts)| counts[usize::from(choice)]);
        counts.map(|count| LEAST_SEEN.saturating_sub(count)).sum()
    };
    let mut best = (0, 0);
    for (position, &index) in pool.iter().enumerate() {
        let gain = gain(index);
        if gain > best.1 {
            best = (position, gain);
        }
    }
    (best.1 > 0).then_some(best.0)
}

fn note(seen: &mut [Vec<u32>], choices: &[u16]) {
    for (counts, &choice) in seen.iter_mut().zip(choices) {
        counts[usize::from(choice)] += 1;
    }
}

/// What was seen too seldom.
fn rare(seen: &[Vec<u32>]) -> Vec<(usize, u16)> {
    let of_slot = |(slot, counts): (usize, &Vec<u32>)| {
        let rare = (0..).zip(counts.clone()).filter(|&(_, count)| count < LEAST_SEEN);
        rare.map(move |(choice, _)| (slot, choice)).collect::<Vec<_>>()
    };
    seen.iter().enumerate().flat_map(of_slot).collect()
}

/// Shuffled, with anchors at the start, after every so many and at the end, and the repeats in the last stretch.
fn order(
    train: &[usize],
    test: &[usize],
    anchor: usize,
    settings: &PlanSettings,
    rng: &mut impl Rng,
) -> Vec<PlannedRun> {
    let mut once: Vec<usize> = train.iter().chain(test).copied().collect();
    once.shuffle(rng);
    let repeats = ((settings.repeat_fraction * once.len() as f64).round() as usize).max(settings.min_repeats);
    let mut again = once.clone();
    again.shuffle(rng);
    again.truncate(repeats);
    let held_out = |candidate: usize| test.contains(&candidate);
    let run = |repeat: bool| {
        move |candidate: usize| PlannedRun { candidate, anchor: false, repeat, held_out: held_out(candidate) }
    };
    let all: Vec<PlannedRun> = once.into_iter().map(run(false)).chain(again.into_iter().map(run(true))).collect();
    let anchor = PlannedRun { candidate: anchor, anchor: true, repeat: false, held_out: false };
    let mut runs = vec![anchor];
    for stretch in all.chunks(settings.anchor_every) {
        runs.extend_from_slice(stretch);
        runs.push(anchor);
    }
    runs
}

fn check(candidates: &[Vec<u16>], choices_per_slot: &[usize], settings: &PlanSettings) -> Result<(), LatencyError> {
    let fail = |message: String| Err(LatencyError::Plan(message));
    if settings.train < 2 || settings.anchor_every == 0 {
        return fail(format!("train = {} (≥ 2), anchor_every = {} (≥ 1)", settings.train, settings.anchor_every));
    }
    if !(0.0..=1.0).contains(&settings.repeat_fraction) {
        return fail(format!("repeat_fraction = {} must be from 0 to 1", settings.repeat_fraction));
    }
    if candidates.len() < 2 {
        return fail(format!("{} candidate(s), at least 2 are needed", candidates.len()));
    }
    let mut seen = BTreeSet::new();
    for (index, choices) in candidates.iter().enumerate() {
        let fits = choices.iter().zip(choices_per_slot).all(|(&choice, &count)| usize::from(choice) < count);
        if choices.len() != choices_per_slot.len() || !fits {
            return fail(format!("candidate {index} is {choices:?}, the slots have {choices_per_slot:?} choices"));
        }
        if !seen.insert(choices) {
            return fail(format!("candidate {index}, {choices:?}, is there twice"));
        }
    }
    Ok(())
}
