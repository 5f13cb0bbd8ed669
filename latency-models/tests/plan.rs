use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tnas_latency::{LatencyError, Plan, PlanSettings, plan};

use crate::device::{CHOICES, Device, SLOTS};

fn candidates(count: usize) -> Vec<Vec<u16>> {
    let drawn = Device { interaction_ms: 0.0, noise: 0.0 }.draw(count, 1).0;
    drawn.into_iter().map(|features| features.choices).collect::<BTreeSet<_>>().into_iter().collect()
}

fn cost(choices: &[u16]) -> f64 {
    choices.iter().copied().map(f64::from).sum()
}

fn planned(candidates: &[Vec<u16>], settings: &PlanSettings, seed: u64) -> Result<Plan, LatencyError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    plan(candidates, &[usize::from(CHOICES); SLOTS], cost, settings, &mut rng)
}

#[test]
fn every_choice_is_learned_from_twice_and_the_extremes_are_there() {
    let candidates = candidates(300);
    let settings = PlanSettings { train: 16, test: 20, ..PlanSettings::default() };
    for seed in 0..5 {
        let plan = planned(&candidates, &settings, seed).unwrap();
        assert_eq!((plan.train.len(), plan.test.len()), (16, 20));
        assert!(plan.rare.is_empty(), "{:?}", plan.rare);
        for slot in 0..SLOTS {
            for choice in 0..CHOICES {
                let seen = plan.train.iter().filter(|&&index| candidates[index].get(slot) == Some(&choice)).count();
                assert!(seen >= 2, "slot {slot}, choice {choice}: {seen}");
            }
        }
        let costs: Vec<f64> = plan.train.iter().map(|&index| cost(&candidates[index])).collect();
        let all: Vec<f64> = candidates.iter().map(|choices| cost(choices)).collect();
        let span = |costs: &[f64]| {
            costs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), &cost| (l.min(cost), m.max(cost)))
        };
        assert_eq!(span(&costs), span(&all));
    }
}

#[test]
fn train_and_test_are_apart_and_each_is_measured_once() {
    let plan = planned(&candidates(300), &PlanSettings::default(), 3).unwrap();
    let chosen: BTreeSet<usize> = plan.train.iter().chain(&plan.test).copied().collect();
    assert_eq!(chosen.len(), plan.train.len() + plan.test.len());
    let mut once: Vec<usize> = plan.runs.iter().filter(|r| !r.anchor && !r.repeat).map(|r| r.candidate).collect();
    once.sort_unstable();
    assert_eq!(once, chosen.into_iter().collect::<Vec<_>>());
}

#[test]
fn anchors_return_and_repeats_come_later() {
    let settings = PlanSettings { train: 60, test: 40, ..PlanSettings::default() };
    let plan = planned(&candidates(300), &settings, 4).unwrap();
    let anchors: Vec<usize> = (0..plan.runs.len()).filter(|&order| plan.runs[order].anchor).collect();
    assert_eq!((anchors.first(), anchors.last()), (Some(&0), Some(&(plan.runs.len() - 1))));
    assert!(anchors.windows(2).all(|pair| pair[1] - pair[0] <= 21));
    assert!(anchors.iter().all(|&order| plan.runs[order].candidate == plan.runs[0].candidate));
    let repeats: Vec<usize> = (0..plan.runs.len()).filter(|&order| plan.runs[order].repeat).collect();
    assert_eq!(repeats.len(), 5);
    for order in repeats {
        let candidate = plan.runs[order].candidate;
        let first = plan.runs.iter().position(|run| run.candidate == candidate && !run.anchor);
        assert!(first.is_some_and(|first| first < order));
    }
}

#[test]
fn the_seed_alone_decides() {
    let candidates = candidates(200);
    let settings = PlanSettings::default();
    let plan = |seed| planned(&candidates, &settings, seed).unwrap();
    assert_eq!(plan(5), plan(5));
    assert_ne!(plan(5), plan(6));
}

#[test]
fn a_small_space_is_shared_out_and_says_what_is_rare() {
    let candidates = vec![vec![0, 0], vec![1, 0], vec![0, 1], vec![1, 1]];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let plan = plan(&candidates, &[2, 3], cost, &PlanSettings::default(), &mut rng).unwrap();
    assert_eq!((plan.train.len(), plan.test.len()), (3, 1));
    assert!(plan.rare.contains(&(1, 2)), "no candidate has it: {:?}", plan.rare);
}

#[test]
fn bad_candidates_are_named() {
    let settings = PlanSettings::default();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for candidates in [
        vec![],
        vec![vec![0, 0]],
        vec![vec![0, 0], vec![0, 2]],
        vec![vec![0, 0], vec![0]],
        vec![vec![0, 0], vec![1, 1], vec![0, 0]],
    ] {
        let found = plan(&candidates, &[2, 2], cost, &settings, &mut rng);
        assert!(matches!(found, Err(LatencyError::Plan(_))), "{candidates:?}");
    }
}
