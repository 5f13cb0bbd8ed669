use std::borrow::Borrow;
use std::cmp::Ordering;

use rand::RngExt;

use crate::crowding::crowding_distances;
use crate::evaluation::Evaluation;
use crate::fronts::non_dominated_fronts;
use crate::variation::Rng;

/// Where each candidate of a pool stands: its front, and how alone it is there.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    front: Vec<usize>,
    crowding: Vec<f64>,
}

impl Ranking {
    /// Ranks a pool.
    pub(crate) fn new<E: Borrow<Evaluation>>(pool: &[E]) -> Self {
        let mut ranking = Self { front: vec![0; pool.len()], crowding: vec![0.0; pool.len()] };
        for (number, members) in non_dominated_fronts(pool).iter().enumerate() {
            let points: Vec<&[f64]> = members.iter().map(|&index| pool[index].borrow().values()).collect();
            for (&index, crowding) in members.iter().zip(crowding_distances(&points)) {
                ranking.front[index] = number;
                ranking.crowding[index] = crowding;
            }
        }
        ranking
    }

    /// Crowded comparison (Deb et al. 2002, §III-B): the earlier front first, then the less crowded.
    pub(crate) fn compare(&self, a: usize, b: usize) -> Ordering {
        self.front[a].cmp(&self.front[b]).then(self.crowding[b].total_cmp(&self.crowding[a]))
    }

    /// The best `count` of the pool, best first; among equals, those that stand earlier in it.
    pub(crate) fn survivors(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.front.len()).collect();
        order.sort_by(|&a, &b| self.compare(a, b));
        order.truncate(count);
        order
    }

    /// Binary tournament: the better of two members drawn at random. The pool must not be empty.
    pub(crate) fn tournament(&self, rng: &mut Rng) -> usize {
        let mut draw = || rng.random_range(0..self.front.len());
        let [a, b] = [draw(), draw()];
        if self.compare(a, b).is_le() { a } else { b }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn pool(values: &[[f64; 2]]) -> Vec<Evaluation> {
        values.iter().map(|values| Evaluation::feasible(values.to_vec()).expect("finite")).collect()
    }

    #[test]
    fn survivors_come_front_by_front_and_then_by_space() {
        // One dominated point, and a front in which index 2 sits between close neighbours.
        let ranking = Ranking::new(&pool(&[[9.0, 9.0], [0.0, 4.0], [1.9, 2.1], [2.0, 2.0], [4.0, 0.0]]));
        assert_eq!(ranking.survivors(4), [1, 4, 3, 2]);
        assert_eq!(ranking.survivors(9), [1, 4, 3, 2, 0]);
    }

    #[test]
    fn the_worst_wins_only_against_itself() {
        let ranking = Ranking::new(&pool(&[[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]));
        let mut rng = Rng::seed_from_u64(7);
        let wins = (0..9_000).filter(|_| ranking.tournament(&mut rng) == 2).count();
        assert!((850..1_150).contains(&wins), "one in nine expected, {wins} of 9000 found");
    }
}
