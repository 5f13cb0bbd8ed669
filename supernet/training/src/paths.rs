use tnas_space::{Choice, Genome, Genotype, OperatorSpec, SearchSpace, SlotChoices};

use crate::{PathSampler, SupernetSettings};

/// The paths of a supernet that each step trains.
pub(crate) struct Paths<'a> {
    pub space: &'a SearchSpace,
    pub sampler: PathSampler,
    pub teacher: &'a Genotype,
    pub settings: &'a SupernetSettings,
}

impl Paths<'_> {
    /// The teacher's path at its steps; else a sampled path and, by the sandwich rule, the widest (at even steps) or narrowest
    /// path of the same kinds of operators, where that is another one.
    pub fn of_step(&self, step: u64) -> Vec<Genotype> {
        let every = self.settings.teacher_every;
        if every > 0 && step % every == every - 1 {
            return vec![self.teacher.clone()];
        }
        let path = self.sampler.path(step);
        let mut paths = vec![self.space.genotype(&path)];
        if self.settings.sandwich {
            let width = if step.is_multiple_of(2) { PathWidth::Widest } else { PathWidth::Narrowest };
            let extreme = self.space.genotype(&same_kinds(self.space, &path, width));
            if extreme != paths[0] {
                paths.push(extreme);
            }
        }
        paths
    }
}

/// Which of the paths with the same kinds of operators is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathWidth {
    /// The one with the largest arguments.
    Widest,
    /// The one with the smallest arguments.
    Narrowest,
}

/// The path with the same kinds of operators as another one, with the largest or smallest arguments that the space has at each slot.
pub fn same_kinds(space: &SearchSpace, path: &[u16], width: PathWidth) -> Genome {
    let extreme = |(slot, &index): (&SlotChoices, &u16)| {
        let kinds = |choice: &Choice| -> Vec<&str> { choice.operators().iter().map(OperatorSpec::name).collect() };
        let own = kinds(&slot.choices[usize::from(index)]);
        let same = (0..slot.choices.len()).filter(|&other| kinds(&slot.choices[other]) == own);
        let size = |&other: &usize| slot.choices[other].operators().iter().map(OperatorSpec::size).sum::<usize>();
        let found = match width {
            PathWidth::Widest => same.max_by_key(size),
            PathWidth::Narrowest => same.min_by_key(size),
        };
        found.map_or(index, |found| found as u16)
    };
    space.slots().iter().zip(path).map(extreme).collect()
}
