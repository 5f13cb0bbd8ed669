use std::collections::BTreeSet;

use tnas_evolution::{Evaluation, EvolutionError, Nsga2, Nsga2Settings};

use crate::problems::{Choices, feasible, leading_ones_trailing_zeros, run};

const BITS: Choices = Choices { slots: 12, choices: 2 };

fn search(generations: u32) -> Nsga2<Vec<u8>> {
    let settings = Nsga2Settings { population: 20, generations, ..Nsga2Settings::default() };
    Nsga2::new(settings, 1, vec![]).expect("valid settings")
}

#[test]
fn no_genome_is_asked_for_twice() {
    let mut search = search(60);
    let mut seen = BTreeSet::new();
    while let Some(candidates) = search.ask(&BITS) {
        for genome in &candidates {
            assert!(seen.insert(genome.clone()), "{genome:?} a second time");
        }
        let evaluations = candidates.iter().map(|genome| leading_ones_trailing_zeros(genome)).collect();
        search.tell(candidates, evaluations).expect("fits what was asked");
    }
    assert_eq!(seen.len(), 1_200);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut search = search(9);
    let worth = |count: usize| vec![feasible([1.0, 2.0]); count];
    assert_eq!(search.tell(vec![], vec![]), Err(EvolutionError::NothingAsked));
    let asked = search.ask(&BITS).expect("not finished");
    let before = search.clone();

    let counts = EvolutionError::EvaluationCount { asked: 20, candidates: 20, evaluations: 19 };
    assert_eq!(search.tell(asked.clone(), worth(19)), Err(counts));
    let mut twice = asked.clone();
    twice[7] = twice[3].clone();
    assert_eq!(search.tell(twice, worth(20)), Err(EvolutionError::UnknownCandidate { index: 7 }));
    let mut foreign = asked.clone();
    foreign[19] = vec![];
    assert_eq!(search.tell(foreign, worth(20)), Err(EvolutionError::UnknownCandidate { index: 19 }));
    let mut mixed = worth(20);
    mixed[4] = feasible([1.0]);
    assert_eq!(search.tell(asked.clone(), mixed), Err(EvolutionError::ObjectiveCount { expected: 2, found: 1 }));

    assert_eq!(search, before);
    assert_eq!(search.tell(asked, worth(20)), Ok(()));
}

#[test]
fn failed_evaluations_are_outlived() {
    let mut search = search(20);
    run(&mut search, &BITS, |genome| match genome[0] {
        0 => Evaluation::failed(),
        _ => leading_ones_trailing_zeros(genome),
    });
    assert!(search.population().iter().all(|one| one.evaluation.is_feasible()));
}

#[test]
fn revised_objectives_rule_the_archive_the_population_and_the_children() {
    let mut search = search(20);
    run(&mut search, &BITS, |genome| leading_ones_trailing_zeros(genome));
    assert!(search.history().archive().members().len() > 1);

    // The predictor was wrong: all that counts is the number of ones.
    let corrected = |genome: &Vec<u8>| feasible([genome.iter().map(|&bit| f64::from(bit)).sum::<f64>(), 0.0]);
    search.revise(|genome, _| corrected(genome)).expect("two objectives as before");
    assert_eq!(search.history().len(), 400);
    let ones = |evaluation: &Evaluation| evaluation.objectives().map(|objectives| objectives.values()[0]);
    let fewest = ones(&search.population()[0].evaluation);
    assert!(search.history().iter().all(|(_, evaluation)| ones(evaluation) >= fewest));

    search.extend(10);
    run(&mut search, &BITS, corrected);
    assert_eq!(search.history().archive().members()[0].genome, vec![0; 12]);
    assert_eq!(
        search.revise(|_, _| feasible([0.0])),
        Err(EvolutionError::ObjectiveCount { expected: 2, found: 1 })
    );
}
