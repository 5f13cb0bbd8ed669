use tnas_evolution::{Evaluation, Nsga2, Nsga2Settings, hypervolume};

use crate::problems::{UnitCube, Zdt, bounded, run, unit};

/// Hypervolume of the final population below (1.1, 1.1) after 20,000 evaluations; the middle of three seeds.
fn median_hypervolume(problem: Zdt) -> f64 {
    let mut volumes = [1, 2, 3].map(|seed| {
        let mut search = Nsga2::new(Nsga2Settings::default(), seed, vec![]).expect("valid settings");
        run(&mut search, &UnitCube { dimension: 30 }, |genome| problem.evaluate(genome));
        assert_eq!(search.history().len(), 20_000);
        let survivors = search.population().iter().filter_map(|one| one.evaluation.objectives());
        let points: Vec<&[f64]> = survivors.map(|objectives| objectives.values()).collect();
        hypervolume(&points, &[1.1, 1.1]).expect("finite")
    });
    volumes.sort_by(f64::total_cmp);
    volumes[1]
}

// Goldens: medians of pymoo 0.6.2 over five seeds at the same budget and population. Within 1 %.
#[test]
fn zdt_hypervolumes_match_pymoo() {
    for (problem, pymoo) in [(Zdt::Convex, 0.8680), (Zdt::Hollow, 0.5344), (Zdt::Broken, 1.3261)] {
        let found = median_hypervolume(problem);
        println!("found {found:.4}, pymoo {pymoo:.4}");
        assert!((found / pymoo - 1.0).abs() < 0.01, "{found} against {pymoo}");
    }
}

/// CONSTR (Deb et al. 2002, §VI): x₁ in [0.1, 1], x₂ in [0, 5], f = (x₁, (1 + x₂) / x₁), x₂ + 9x₁ ≥ 6, 9x₁ − x₂ ≥ 1.
fn constrained(genome: &[u32]) -> Evaluation {
    let [x1, x2] = [0.1 + 0.9 * unit(&genome[0]), 5.0 * unit(&genome[1])];
    let violation = (1.0 - (x2 + 9.0 * x1) / 6.0).max(0.0) + (1.0 - (9.0 * x1 - x2)).max(0.0);
    bounded(vec![x1, (1.0 + x2) / x1], violation)
}

/// Its front: the first limit binds up to x₁ = 2/3, then x₂ is zero.
fn constrained_front(x1: f64) -> f64 {
    (7.0 - 9.0 * x1).max(1.0) / x1
}

#[test]
fn limits_are_kept_and_the_front_lies_on_them() {
    let settings = Nsga2Settings { population: 60, generations: 80, ..Nsga2Settings::default() };
    let mut search = Nsga2::new(settings, 5, vec![]).expect("valid settings");
    run(&mut search, &UnitCube { dimension: 2 }, |genome| constrained(genome));

    assert!(search.history().iter().any(|(_, evaluation)| !evaluation.is_feasible()));
    assert!(search.population().iter().all(|one| one.evaluation.is_feasible()));
    let archive = search.history().archive();
    let curve: Vec<[f64; 2]> = (0..=1_000)
        .map(|step| 0.3889 + 0.6111 * f64::from(step) / 1_000.0)
        .map(|x| [x, constrained_front(x)])
        .collect();
    let whole = hypervolume(&curve, &[1.1, 10.0]).expect("finite");
    let found = archive.hypervolume(&[1.1, 10.0]).expect("finite");
    assert!(found > 0.99 * whole && found < 1.001 * whole, "{found} of {whole}");
    for member in archive.members() {
        let [f1, f2] = [member.objectives.values()[0], member.objectives.values()[1]];
        assert!(f2 >= constrained_front(f1) - 1e-9);
    }
}

#[test]
fn without_a_feasible_candidate_the_least_violation_survives() {
    let settings = Nsga2Settings { population: 20, generations: 30, ..Nsga2Settings::default() };
    let mut search = Nsga2::new(settings, 6, vec![]).expect("valid settings");
    // No x is 2 or more: the violation is least at x = 1, wherever the objectives pull.
    run(&mut search, &UnitCube { dimension: 1 }, |genome| {
        let x = unit(&genome[0]);
        bounded(vec![x, x * x], 2.0 - x)
    });
    assert!(search.history().archive().members().is_empty());
    assert!(search.population().iter().all(|one| one.evaluation.violation() < 1.01));
}
