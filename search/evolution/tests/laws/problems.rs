use std::f64::consts::PI;

use rand::RngExt;
use tnas_evolution::{Evaluation, Genome, Nsga2, Rng, Variation};

/// Runs a search to its end.
pub fn run<G: Genome>(search: &mut Nsga2<G>, variation: &dyn Variation<G>, evaluate: impl Fn(&G) -> Evaluation) {
    while let Some(candidates) = search.ask(variation) {
        let evaluations = candidates.iter().map(&evaluate).collect();
        search.tell(candidates, evaluations).expect("fits what was asked");
    }
}

pub fn feasible(values: impl Into<Vec<f64>>) -> Evaluation {
    Evaluation::feasible(values.into()).expect("finite")
}

/// Reals in [0, 1] as fixed-point numbers, so that they have an order.
pub fn unit(gene: &u32) -> f64 {
    f64::from(*gene) / f64::from(u32::MAX)
}

fn gene(x: f64) -> u32 {
    (x.clamp(0.0, 1.0) * f64::from(u32::MAX)).round() as u32
}

/// Points of the unit cube, varied by simulated binary crossover (Deb & Agrawal 1995, η = 15) and polynomial
/// mutation (Deb & Goyal 1996, η = 20, one gene in expectation).
pub struct UnitCube {
    pub dimension: usize,
}

impl UnitCube {
    const CROSSOVER_ETA: f64 = 15.0;
    const MUTATION_ETA: f64 = 20.0;

    fn mutated(x: f64, rng: &mut Rng) -> f64 {
        let power = 1.0 / (Self::MUTATION_ETA + 1.0);
        let u: f64 = rng.random();
        // The bounded form: the step shrinks to what is left on its side.
        if u < 0.5 {
            let left = (1.0 - x).powf(Self::MUTATION_ETA + 1.0);
            x + (2.0 * u + (1.0 - 2.0 * u) * left).powf(power) - 1.0
        } else {
            let left = x.powf(Self::MUTATION_ETA + 1.0);
            x + 1.0 - (2.0 * (1.0 - u) + (2.0 * u - 1.0) * left).powf(power)
        }
    }

    fn crossed(a: f64, b: f64, rng: &mut Rng) -> f64 {
        let power = 1.0 / (Self::CROSSOVER_ETA + 1.0);
        let u: f64 = rng.random();
        let beta = if u <= 0.5 { (2.0 * u).powf(power) } else { (0.5 / (1.0 - u)).powf(power) };
        0.5 * ((1.0 + beta) * a + (1.0 - beta) * b)
    }
}

impl Variation<Vec<u32>> for UnitCube {
    fn sample(&self, rng: &mut Rng) -> Vec<u32> {
        (0..self.dimension).map(|_| rng.random()).collect()
    }

    fn mutate(&self, genome: &Vec<u32>, rng: &mut Rng) -> Vec<u32> {
        let rate = 1.0 / self.dimension as f64;
        let change = |old: &u32| if rng.random_bool(rate) { gene(Self::mutated(unit(old), rng)) } else { *old };
        genome.iter().map(change).collect()
    }

    fn crossover(&self, mother: &Vec<u32>, father: &Vec<u32>, rng: &mut Rng) -> Vec<u32> {
        let swapped = rng.random_bool(0.5);
        let (near, far) = if swapped { (father, mother) } else { (mother, father) };
        let mix = |(a, b): (&u32, &u32)| match [rng.random_bool(0.5), rng.random_bool(0.5)] {
            [false, _] => *a,
            [true, false] => gene(Self::crossed(unit(a), unit(b), rng)),
            [true, true] => gene(Self::crossed(unit(b), unit(a), rng)),
        };
        near.iter().zip(far).map(mix).collect()
    }
}

/// The problems of Zitzler, Deb & Thiele 2000: `f₂ = g · h(f₁, g)`.
#[derive(Clone, Copy)]
pub enum Zdt {
    Convex,
    Hollow,
    Broken,
}

impl Zdt {
    pub fn evaluate(self, genome: &[u32]) -> Evaluation {
        let f1 = unit(&genome[0]);
        let g = 1.0 + 9.0 * genome[1..].iter().map(unit).sum::<f64>() / (genome.len() - 1) as f64;
        let ratio = f1 / g;
        let h = match self {
            Self::Convex => 1.0 - ratio.sqrt(),
            Self::Hollow => 1.0 - ratio * ratio,
            Self::Broken => 1.0 - ratio.sqrt() - ratio * (10.0 * PI * f1).sin(),
        };
        feasible([f1, g * h])
    }
}

/// One choice of `choices` per slot.
pub struct Choices {
    pub slots: usize,
    pub choices: u8,
}

impl Variation<Vec<u8>> for Choices {
    fn sample(&self, rng: &mut Rng) -> Vec<u8> {
        (0..self.slots).map(|_| rng.random_range(0..self.choices)).collect()
    }

    fn mutate(&self, genome: &Vec<u8>, rng: &mut Rng) -> Vec<u8> {
        let mut child = genome.clone();
        child[rng.random_range(0..self.slots)] = rng.random_range(0..self.choices);
        child
    }

    fn crossover(&self, mother: &Vec<u8>, father: &Vec<u8>, rng: &mut Rng) -> Vec<u8> {
        mother.iter().zip(father).map(|(a, b)| if rng.random_bool(0.5) { *a } else { *b }).collect()
    }
}

/// Leading ones against trailing zeros (Laumanns et al. 2002), negated: the front is `1ᵃ0ᵇ`, a + b = n.
pub fn leading_ones_trailing_zeros(genome: &[u8]) -> Evaluation {
    let ones = genome.iter().take_while(|&&bit| bit == 1).count();
    let zeros = genome.iter().rev().take_while(|&&bit| bit == 0).count();
    feasible([-(ones as f64), -(zeros as f64)])
}

/// Feasible, or beyond the limits by so much.
pub fn bounded(values: impl Into<Vec<f64>>, violation: f64) -> Evaluation {
    let beyond = violation > 0.0;
    if beyond { Evaluation::infeasible(violation).expect("finite") } else { feasible(values) }
}
