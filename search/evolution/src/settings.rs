use serde::{Deserialize, Serialize};

use crate::error::{EvolutionError, Result, require_finite};
use crate::stop::HypervolumeStall;

/// The settings of [`Nsga2`](crate::Nsga2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nsga2Settings {
    /// Candidates per generation, and survivors of each.
    pub population: usize,
    /// Generations to evaluate, the first one included.
    pub generations: u32,
    /// The probability that a child has two parents; otherwise it starts as a copy of one.
    pub crossover_rate: f64,
    /// The probability that a child is mutated. A child that equals a parent is mutated in any case.
    pub mutation_rate: f64,
    /// How often a child is drawn again when its genome is known already, before a random genome is tried as often.
    pub duplicate_attempts: u32,
    /// Stop early once the archive has stopped growing; never, if absent.
    pub hypervolume_stall: Option<HypervolumeStall>,
}

impl Default for Nsga2Settings {
    /// Population and crossover rate of Deb et al. 2002, §IV; 20,000 evaluations.
    fn default() -> Self {
        Self {
            population: 100,
            generations: 200,
            crossover_rate: 0.9,
            mutation_rate: 1.0,
            duplicate_attempts: 100,
            hypervolume_stall: None,
        }
    }
}

impl Nsga2Settings {
    /// Refuses what no search can run with.
    pub(crate) fn check(&self) -> Result<()> {
        let rate = |rate: f64| (0.0..=1.0).contains(&rate);
        require("population", self.population as f64, self.population >= 2, "2 or more")?;
        require("generations", self.generations.into(), self.generations >= 1, "1 or more")?;
        require("crossover_rate", self.crossover_rate, rate(self.crossover_rate), "0 to 1")?;
        require("mutation_rate", self.mutation_rate, rate(self.mutation_rate), "0 to 1")?;
        let attempts = self.duplicate_attempts;
        require("duplicate_attempts", attempts.into(), attempts >= 1, "1 or more")?;
        let Some(stall) = &self.hypervolume_stall else { return Ok(()) };
        require("hypervolume_stall.generations", stall.generations.into(), stall.generations >= 1, "1 or more")?;
        let gain = stall.min_gain;
        require("hypervolume_stall.min_gain", gain, gain >= 0.0 && gain.is_finite(), "0 or more")?;
        require_finite("reference point coordinate", &stall.reference_point)
    }
}

fn require(name: &'static str, value: f64, holds: bool, expected: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(EvolutionError::Setting { name, value, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_setting_is_named() {
        let name = |settings: Nsga2Settings| match settings.check() {
            Err(EvolutionError::Setting { name, .. }) => Some(name),
            _ => None,
        };
        let usual = Nsga2Settings::default;
        assert_eq!(name(usual()), None);
        assert_eq!(name(Nsga2Settings { population: 1, ..usual() }), Some("population"));
        assert_eq!(name(Nsga2Settings { generations: 0, ..usual() }), Some("generations"));
        assert_eq!(name(Nsga2Settings { crossover_rate: f64::NAN, ..usual() }), Some("crossover_rate"));
        assert_eq!(name(Nsga2Settings { mutation_rate: 1.5, ..usual() }), Some("mutation_rate"));
        assert_eq!(name(Nsga2Settings { duplicate_attempts: 0, ..usual() }), Some("duplicate_attempts"));
        let stall = HypervolumeStall { generations: 3, min_gain: -0.1, reference_point: vec![1.0] };
        let settings = Nsga2Settings { hypervolume_stall: Some(stall), ..usual() };
        assert_eq!(name(settings), Some("hypervolume_stall.min_gain"));
    }
}
