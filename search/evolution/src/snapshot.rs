//! A search as it is stored.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{EvolutionError, Result, require_count};
use crate::history::History;
use crate::individual::Individual;
use crate::nsga2::Nsga2;
use crate::settings::Nsga2Settings;
use crate::stop::{StallClock, StopReason};
use crate::variation::{Genome, Rng};

/// A search as it is stored: every fact once. The evaluations of survivors are in the history alone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "G: Genome", deserialize = "G: Genome"))]
struct Snapshot<G> {
    settings: Nsga2Settings,
    seeds: Vec<G>,
    rng: Rng,
    generation: u32,
    history: History<G>,
    population: Vec<G>,
    pending: Option<Vec<G>>,
    stall_clock: StallClock,
    stop_reason: Option<StopReason>,
}

impl<G: Genome> Serialize for Nsga2<G> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Snapshot::from(self.clone()).serialize(serializer)
    }
}

impl<'de, G: Genome> Deserialize<'de> for Nsga2<G> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Snapshot::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl<G> From<Nsga2<G>> for Snapshot<G> {
    fn from(search: Nsga2<G>) -> Self {
        Self {
            settings: search.settings,
            seeds: search.seeds,
            rng: search.rng,
            generation: search.generation,
            history: search.history,
            population: search.population.into_iter().map(|individual| individual.genome).collect(),
            pending: search.pending,
            stall_clock: search.stall_clock,
            stop_reason: search.stop_reason,
        }
    }
}

impl<G: Genome> TryFrom<Snapshot<G>> for Nsga2<G> {
    type Error = EvolutionError;

    fn try_from(stored: Snapshot<G>) -> Result<Self> {
        stored.check()?;
        let individual = |genome: G| {
            let evaluation = stored.history.get(&genome).cloned();
            let evaluation = evaluation.ok_or(EvolutionError::Inconsistent("a survivor was never evaluated"))?;
            Ok(Individual { genome, evaluation })
        };
        let population = stored.population.into_iter().map(individual).collect::<Result<_>>()?;
        Ok(Self {
            settings: stored.settings,
            seeds: stored.seeds,
            rng: stored.rng,
            generation: stored.generation,
            history: stored.history,
            population,
            pending: stored.pending,
            stall_clock: stored.stall_clock,
            stop_reason: stored.stop_reason,
        })
    }
}

impl<G: Genome> Snapshot<G> {
    fn check(&self) -> Result<()> {
        self.settings.check()?;
        if let (Some(stall), Some(count)) = (&self.settings.hypervolume_stall, self.history.objective_count()) {
            require_count(stall.reference_point.len(), count)?;
        }
        let mut pending = self.pending.iter().flatten();
        if pending.any(|genome| self.history.contains(genome)) {
            return Err(EvolutionError::Inconsistent("a candidate that is out was evaluated before"));
        }
        Ok(())
    }
}
