use rand::seq::SliceRandom;
use tnas_network::stream;
use tnas_space::{Genome, SearchSpace};

/// Samples single paths of a supernet with strict fairness (FairNAS, Chu et al. 2021): each slot goes through a fresh permutation
/// of its n choices every n steps, so that every choice is trained equally often.
#[derive(Clone, Debug)]
pub struct PathSampler {
    seed: u64,
    choices: Vec<usize>,
}

impl PathSampler {
    /// A sampler over a space.
    pub fn new(space: &SearchSpace, seed: u64) -> Self {
        Self { seed, choices: space.slots().iter().map(|slot| slot.choices.len()).collect() }
    }

    /// The path of a draw; a function of the seed and the draw's number alone.
    pub fn path(&self, draw: u64) -> Genome {
        let choice = |(slot, &count): (usize, &usize)| {
            let (cycle, position) = (draw / count as u64, (draw % count as u64) as usize);
            let mut order: Vec<u16> = (0..count as u16).collect();
            order.shuffle(&mut stream(self.seed, &format!("supernet/path/{slot}"), cycle));
            order[position]
        };
        self.choices.iter().enumerate().map(choice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_comes_once_a_cycle() {
        let sampler = PathSampler { seed: 5, choices: vec![3, 4, 1] };
        for cycle in 0..4 {
            let mut seen: Vec<u16> = (cycle * 4..cycle * 4 + 4).map(|draw| sampler.path(draw)[1]).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3]);
        }
        let pairs: std::collections::BTreeSet<_> = (0..48).map(|draw| sampler.path(draw)).collect();
        assert!(pairs.len() > 8, "slots vary against each other: {}", pairs.len());
    }
}
