use rand::{RngExt, SeedableRng};
use tnas_evolution::{Evaluation, HypervolumeStall, Item, KnapsackFront, Nsga2, Nsga2Settings, Rng, StopReason};

use crate::problems::{Choices, feasible, leading_ones_trailing_zeros, run};

#[test]
fn leading_ones_trailing_zeros_is_solved() {
    let [slots, expected] = [14, 15];
    let settings = Nsga2Settings { population: 30, generations: 120, ..Nsga2Settings::default() };
    let mut search = Nsga2::new(settings, 1, vec![]).expect("valid settings");
    run(&mut search, &Choices { slots, choices: 2 }, |genome| leading_ones_trailing_zeros(genome));
    // 3,600 of 16,384 genomes are seen; the front is 15 of them.
    let front = search.history().archive().members();
    assert_eq!(front.len(), expected);
    assert!(front.iter().all(|member| member.objectives.values().iter().sum::<f64>() == -(slots as f64)));
}

fn slots(count: usize, choices: usize) -> Vec<Vec<Item>> {
    let mut rng = Rng::seed_from_u64(9);
    let mut item = |choice: usize| Item {
        cost: choice as f64 * rng.random_range(0.5..2.0),
        loss: rng.random_range(0.5..1.0) / (1 + choice) as f64,
    };
    (0..count).map(|_| (0..choices).map(&mut item).collect()).collect()
}

fn additive(slots: &[Vec<Item>], genome: &[u8]) -> Evaluation {
    let items = slots.iter().zip(genome).map(|(items, &choice)| items[usize::from(choice)]);
    let total = items.fold([0.0, 0.0], |[cost, loss], item| [cost + item.cost, loss + item.loss]);
    feasible(total)
}

#[test]
fn a_space_used_up_leaves_the_exact_front() {
    let slots = slots(4, 4);
    let settings = Nsga2Settings {
        population: 20,
        generations: 1_000,
        duplicate_attempts: 4_000, // 256 genomes: to miss the last one so often has a chance below 1e-6.
        ..Nsga2Settings::default()
    };
    let mut search = Nsga2::new(settings, 2, vec![]).expect("valid settings");
    run(&mut search, &Choices { slots: 4, choices: 4 }, |genome| additive(&slots, genome));
    assert_eq!(search.stop_reason(), Some(StopReason::SpaceExhausted));
    assert_eq!(search.history().len(), 256);

    let exact = KnapsackFront::solve(&slots, 10_000).expect("valid");
    let exact: Vec<[f64; 2]> = exact.solutions().iter().map(|one| [one.cost, one.loss]).collect();
    let found = search.history().archive().members();
    assert_eq!(found.iter().map(|one| one.objectives.values()).collect::<Vec<_>>(), exact);
}

#[test]
fn a_stalled_hypervolume_stops_the_search_and_more_generations_can_be_allowed() {
    let slots = slots(8, 4);
    let stall = HypervolumeStall { generations: 6, min_gain: 1e-3, reference_point: vec![60.0, 9.0] };
    let settings = Nsga2Settings {
        population: 30,
        generations: 500,
        hypervolume_stall: Some(stall),
        ..Nsga2Settings::default()
    };
    let mut search = Nsga2::new(settings, 3, vec![]).expect("valid settings");
    run(&mut search, &Choices { slots: 8, choices: 4 }, |genome| additive(&slots, genome));
    assert_eq!(search.stop_reason(), Some(StopReason::HypervolumeStalled { generations: 6 }));
    let stopped = search.generation();
    assert!(stopped < 200, "{stopped} generations");

    search.extend(3);
    assert_eq!(search.stop_reason(), None);
    run(&mut search, &Choices { slots: 8, choices: 4 }, |genome| additive(&slots, genome));
    assert_eq!(search.stop_reason(), Some(StopReason::GenerationLimit(stopped + 3)));
}

#[test]
fn knapsack_seeds_are_evaluated_first_and_never_lost() {
    let slots = slots(10, 4);
    let front = KnapsackFront::solve(&slots, 10_000).expect("valid");
    let seed = |choices: &Vec<usize>| choices.iter().map(|&choice| choice as u8).collect::<Vec<u8>>();
    let seeds: Vec<Vec<u8>> = front.solutions().iter().map(|one| seed(&one.choices)).collect();

    let settings = Nsga2Settings { population: 16, generations: 4, ..Nsga2Settings::default() };
    assert!(seeds.len() > settings.population);
    let mut search = Nsga2::new(settings, 4, [&seeds[..], &seeds[..2]].concat()).expect("valid settings");
    let variation = Choices { slots: 10, choices: 4 };
    assert_eq!(search.ask(&variation), Some(seeds.clone()));
    run(&mut search, &variation, |genome| additive(&slots, genome));
    // Nothing beats an exact front.
    let mut archived: Vec<_> = search.history().archive().members().iter().map(|one| one.genome.clone()).collect();
    archived.retain(|genome| seeds.contains(genome));
    assert_eq!(archived.len(), seeds.len());
    assert_eq!(search.population().len(), 16);
}
