use tnas_evolution::{Item, KnapsackFront, KnapsackSolution};
use tnas_record::{FormatVersion, LocalScore, LocalScores, Objective, ObjectiveValues, Source};
use tnas_space::Genome;
use tnas_training::{HeldOutLoss, Paired};

use super::scorer::Scorer;
use crate::progress::{Bar, interrupted};
use crate::settings::Start;

/// States of the knapsack: more merge sums of nearly one cost.
const MOST_STATES: usize = 4096;

/// A choice at a slot compared with no temporal layers.
struct Alone {
    slot: usize,
    choice: u16,
    /// Change of the held-out loss, paired over clips.
    loss: Paired,
    /// Change of the mean loss.
    loss_change: f64,
    /// Changes of the objectives that are known without scoring, by name; none is below 0.
    costs: ObjectiveValues,
}

impl Scorer<'_> {
    /// First candidates: no temporal layers, and assemblies of the best single choices at several values of each objective other
    /// than the loss, found exactly by the multiple-choice knapsack over scores of each (slot, choice) alone. With
    /// `search.start = "random"`, or without the loss among the objectives, no temporal layers alone.
    pub(super) fn seeds(&self) -> anyhow::Result<Vec<Genome>> {
        let none: Genome = vec![0; self.space.slots().len()];
        let Some(loss) = self.objectives.iter().find(|objective| objective.source == Source::Scored) else {
            return Ok(vec![none]);
        };
        let scores = self.local_scores(&none)?;
        self.write_local_scores(loss, &scores)?;
        let mut seeds = vec![none];
        if self.bench.study.search.start == Start::Local {
            let costs: Vec<&str> = self.costs().map(|objective| &*objective.name).collect();
            let wanted = (self.bench.study.search.population / 2 / costs.len().max(1)).max(1);
            for cost in costs {
                seeds.extend(self.assemblies(&scores, |one| one.costs[cost], wanted)?);
            }
            if seeds.len() == 1 {
                seeds.extend(self.assemblies(&scores, |_| 0.0, wanted)?);
            }
        }
        Ok(seeds)
    }

    /// The objectives that are known without scoring.
    fn costs(&self) -> impl Iterator<Item = &Objective> {
        self.objectives.iter().filter(|objective| objective.source != Source::Scored)
    }

    /// Each choice at each slot alone, slot by slot.
    fn local_scores(&self, none: &Genome) -> anyhow::Result<Vec<Alone>> {
        let base = (self.loss(&self.space.genotype(none))?, self.expected(none)?);
        let total: usize = self.space.slots().iter().map(|slot| slot.choices.len() - 1).sum();
        let mut bar = Bar::new("local scores", total as u64);
        let mut scores = Vec::new();
        for (slot, choices) in self.space.slots().iter().enumerate() {
            for choice in 1..choices.choices.len() as u16 {
                scores.push(self.alone(none, &base, slot, choice)?);
                bar.set(scores.len() as u64, format!("{}", choices.info.slot));
                if interrupted() {
                    anyhow::bail!(crate::Interrupted { stage: "search".into() });
                }
            }
        }
        Ok(scores)
    }

    fn alone(
        &self,
        none: &Genome,
        (base_loss, base): &(HeldOutLoss, ObjectiveValues),
        slot: usize,
        choice: u16,
    ) -> anyhow::Result<Alone> {
        let mut genome = none.clone();
        genome[slot] = choice;
        let inserted = self.loss(&self.space.genotype(&genome))?;
        let expected = self.expected(&genome)?;
        let cost = |objective: &Objective| {
            let name = &*objective.name;
            let change = objective.oriented(expected[name]) - objective.oriented(base[name]);
            (name.to_string(), change.max(0.0))
        };
        let costs = self.costs().map(cost).collect();
        let loss_change = inserted.mean - base_loss.mean;
        Ok(Alone { slot, choice, loss: Paired::new(&inserted, base_loss), loss_change, costs })
    }

    fn write_local_scores(&self, loss: &Objective, scores: &[Alone]) -> anyhow::Result<()> {
        let row = |one: &Alone| {
            let slot = &self.space.slots()[one.slot];
            let mut changes = one.costs.clone();
            changes.insert(loss.to_string(), one.loss_change);
            LocalScore {
                slot: slot.info.slot.to_string(),
                choice: slot.choices[usize::from(one.choice)].to_string(),
                changes,
                standard_error: Some(one.loss.standard_error),
            }
        };
        let (objectives, rows) = (self.objectives.clone(), scores.iter().map(row).collect());
        self.bench.run.write_record(&LocalScores { format_version: FormatVersion, objectives, rows })
    }

    /// About `wanted` of the best trade-offs of the loss with a cost, as far as losses and costs of single choices add up.
    fn assemblies(
        &self,
        scores: &[Alone],
        cost: impl Fn(&Alone) -> f64,
        wanted: usize,
    ) -> anyhow::Result<Vec<Genome>> {
        let nothing = || vec![Item { cost: 0.0, loss: 0.0 }];
        let mut items: Vec<Vec<Item>> = self.space.slots().iter().map(|_| nothing()).collect();
        for one in scores {
            items[one.slot].push(Item { cost: cost(one), loss: one.loss_change });
        }
        let front = KnapsackFront::solve(&items, MOST_STATES)?;
        let solutions = front.solutions();
        let step = solutions.len().div_ceil(wanted).max(1);
        let genome = |solution: &KnapsackSolution| solution.choices.iter().map(|&choice| choice as u16).collect();
        Ok(solutions.iter().step_by(step).map(genome).collect())
    }
}
