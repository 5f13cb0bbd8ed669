use tnas_evolution::{Evaluation, HypervolumeStall, Nsga2, Nsga2Settings};

use crate::problems::{UnitCube, Zdt, bounded};

const CUBE: UnitCube = UnitCube { dimension: 6 };

fn search(seed: u64) -> Nsga2<Vec<u32>> {
    let stall = HypervolumeStall { generations: 50, min_gain: 0.0, reference_point: vec![1.1, 1.1] };
    let settings = Nsga2Settings {
        population: 12,
        generations: 15,
        mutation_rate: 0.7,
        hypervolume_stall: Some(stall),
        ..Nsga2Settings::default()
    };
    Nsga2::new(settings, seed, vec![vec![0; 6]]).expect("valid settings")
}

fn evaluate(genome: &[u32]) -> Evaluation {
    let evaluation = Zdt::Broken.evaluate(genome);
    let values = evaluation.objectives().expect("no limits").values().to_vec();
    let violation = 0.1 - values[0];
    bounded(values, violation)
}

fn reloaded(search: &Nsga2<Vec<u32>>) -> Nsga2<Vec<u32>> {
    let text = serde_json::to_string(search).expect("serialises");
    serde_json::from_str(&text).expect("parses")
}

/// Every batch asked for, with `between` applied after each ask and each tell.
fn batches(mut search: Nsga2<Vec<u32>>, between: fn(&Nsga2<Vec<u32>>) -> Nsga2<Vec<u32>>) -> Vec<Vec<Vec<u32>>> {
    let mut batches = Vec::new();
    while let Some(candidates) = search.ask(&CUBE) {
        search = between(&search);
        assert_eq!(search.ask(&CUBE).as_ref(), Some(&candidates));
        let evaluations = candidates.iter().map(|genome| evaluate(genome)).collect();
        search.tell(candidates.clone(), evaluations).expect("fits what was asked");
        search = between(&search);
        batches.push(candidates);
    }
    batches
}

#[test]
fn equal_seeds_give_equal_searches_and_others_do_not() {
    assert_eq!(batches(search(1), Clone::clone), batches(search(1), Clone::clone));
    assert_ne!(batches(search(1), Clone::clone), batches(search(2), Clone::clone));
}

#[test]
fn saving_and_loading_after_every_step_changes_nothing() {
    assert_eq!(batches(search(1), Clone::clone), batches(search(1), reloaded));
}

#[test]
fn a_stored_search_is_the_same_text_again() {
    let mut search = search(3);
    for _ in 0..4 {
        let candidates = search.ask(&CUBE).expect("not finished");
        let text = serde_json::to_string(&search).expect("serialises");
        assert_eq!(serde_json::to_string(&reloaded(&search)).expect("serialises"), text);
        assert_eq!(reloaded(&search), search);
        let evaluations = candidates.iter().map(|genome| evaluate(genome)).collect();
        search.tell(candidates, evaluations).expect("fits what was asked");
    }
}

#[test]
fn the_order_of_evaluations_changes_nothing() {
    let [mut forward, mut backward] = [search(4), search(4)];
    for _ in 0..5 {
        let candidates = forward.ask(&CUBE).expect("not finished");
        let mut reversed = backward.ask(&CUBE).expect("not finished");
        reversed.reverse();
        let evaluations = candidates.iter().map(|genome| evaluate(genome)).collect();
        forward.tell(candidates, evaluations).expect("fits what was asked");
        let evaluations = reversed.iter().map(|genome| evaluate(genome)).collect();
        backward.tell(reversed, evaluations).expect("fits what was asked");
        assert_eq!(forward, backward);
    }
}

#[test]
fn a_stored_search_that_contradicts_itself_is_refused() {
    let mut search = search(5);
    let candidates = search.ask(&CUBE).expect("not finished");
    let evaluations = candidates.iter().map(|genome| evaluate(genome)).collect();
    search.tell(candidates, evaluations).expect("fits what was asked");
    let sound: serde_json::Value = serde_json::to_value(&search).expect("serialises");

    let refusal = |field: &str, value: serde_json::Value| {
        let mut broken = sound.clone();
        broken[field] = value;
        let text = broken.to_string();
        serde_json::from_str::<Nsga2<Vec<u32>>>(&text).expect_err("contradiction").to_string()
    };
    assert!(refusal("history", serde_json::json!([])).contains("never evaluated"));
    assert!(refusal("pending", sound["population"].clone()).contains("evaluated before"));
    assert!(refusal("surprise", serde_json::json!(1)).contains("surprise"));
}
