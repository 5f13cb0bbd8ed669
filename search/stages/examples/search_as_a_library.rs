//! A search over one's own space, with one's own scorer and a table of latencies, without the command line:
//! `cargo run --release -p tnas-stages --example search_as_a_library`.

use tnas_evolution::{Evaluation, Nsga2, Nsga2Settings};
use tnas_record::{Direction, Objective, ObjectiveSet, ObjectiveValues, Scope, Source};
use tnas_space::{Genome, SearchSpace, Slot, SlotInfo, SpaceFile, SpaceRule};
use tnas_stages::search::{CandidateScorer, evolve};

/// Quality lost and milliseconds added by each choice of a slot; deep slots need attention more than shallow ones.
struct Table {
    space: SearchSpace,
    objectives: ObjectiveSet,
    limit_ms: f64,
}

impl Table {
    fn values(&self, genome: &[u16]) -> ObjectiveValues {
        let (mut loss, mut latency_ms) = (1.0, 10.0);
        for (slot, &choice) in self.space.slots().iter().zip(genome) {
            let deep = slot.info.level as f64;
            let (gain, ms) = match slot.choices[usize::from(choice)].to_string().as_str() {
                "none" => (0.0, 0.0),
                text if text.starts_with("conv1d") => (0.04, 1.0),
                _ => (0.03 + 0.02 * deep, 4.0 / (1.0 + deep)),
            };
            loss -= gain;
            latency_ms += ms;
        }
        ObjectiveValues::from([("loss".into(), loss), ("latency_ms".into(), latency_ms)])
    }
}

impl CandidateScorer for Table {
    fn evaluate(&mut self, candidates: &[Genome], _generation: u32) -> anyhow::Result<Vec<Evaluation>> {
        let evaluation = |genome: &Genome| {
            let values = self.values(genome);
            let beyond = values["latency_ms"] / self.limit_ms - 1.0;
            if beyond > 0.0 {
                return Ok(Evaluation::infeasible(beyond)?);
            }
            let vector = self.objectives.vector(&values).map_err(|name| anyhow::anyhow!("no value for {name}"))?;
            Ok(Evaluation::feasible(vector)?)
        };
        candidates.iter().map(evaluation).collect()
    }
}

fn main() -> anyhow::Result<()> {
    for (genotype, values) in front()? {
        println!("{:.3}  {:5.2} ms  {genotype}", values["loss"], values["latency_ms"]);
    }
    Ok(())
}

/// The best trade-offs that the search finds.
pub fn front() -> anyhow::Result<Vec<(String, ObjectiveValues)>> {
    let slots: Vec<SlotInfo> = (0..8)
        .map(|index| SlotInfo { slot: Slot::new(format!("down.{index}")), channels: 64, level: index / 3 })
        .collect();
    let choices = ["none", "conv1d(k=3)", "attn1d(heads=4)"].map(String::from).into();
    let rules = vec![SpaceRule { slots: vec!["*".into()], choices }];
    let space = SearchSpace::new(&slots, &SpaceFile { rules })?;
    let objective = |name: &'static str, unit: &'static str, source| {
        let (label, direction, scope) = (name.into(), Direction::Minimise, Scope::Call);
        Objective { name: name.into(), label, unit: unit.into(), source, direction, scope }
    };
    let objectives = ObjectiveSet::new(vec![
        objective("loss", "", Source::Scored),
        objective("latency_ms", "ms", Source::Measured),
    ])?;
    let mut table = Table { space: space.clone(), objectives: objectives.clone(), limit_ms: 24.0 };
    let settings = Nsga2Settings { population: 40, generations: 40, ..Nsga2Settings::default() };
    let evolution = evolve(Nsga2::new(settings, 1, Vec::new())?, &space, &mut table)?;
    let members = evolution.history().archive().members().iter();
    let row = |genome: &Genome| (space.genotype(genome).to_string(), table.values(genome));
    Ok(members.map(|member| row(&member.genome)).collect())
}
