use serde::{Deserialize, Serialize};

/// Why a search asks for nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StopReason {
    /// So many generations were evaluated.
    GenerationLimit(u32),
    /// The archive's hypervolume gained too little for so many generations.
    HypervolumeStalled {
        /// The generations without gain.
        generations: u32,
    },
    /// No attempt to draw a genome that was not evaluated yet succeeded.
    SpaceExhausted,
}

/// When the archive counts as finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HypervolumeStall {
    /// Stop after so many generations in a row that gained too little together. They are counted from the first
    /// feasible candidate below the reference point.
    pub generations: u32,
    /// The relative gain of hypervolume that is not too little.
    pub min_gain: f64,
    /// One coordinate per objective, worse than every candidate of interest.
    pub reference_point: Vec<f64>,
}

/// How long the hypervolume has gained too little.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StallClock {
    best: f64,
    quiet_generations: u32,
}

impl StallClock {
    /// Notes the hypervolume after a generation, and whether the search should stop.
    pub(crate) fn tick(&mut self, hypervolume: f64, rule: &HypervolumeStall) -> Option<StopReason> {
        if hypervolume > self.best * (1.0 + rule.min_gain) {
            *self = Self { best: hypervolume, quiet_generations: 0 };
        } else if self.best > 0.0 {
            self.quiet_generations += 1;
        }
        let stalled = self.quiet_generations >= rule.generations;
        stalled.then_some(StopReason::HypervolumeStalled { generations: self.quiet_generations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_gains_add_up_and_the_clock_waits_for_a_first_point() {
        let rule = HypervolumeStall { generations: 3, min_gain: 0.1, reference_point: vec![1.0] };
        let mut clock = StallClock::default();
        for volume in [0.0, 0.0, 0.0, 0.0, 1.0, 1.05, 1.09, 1.2, 1.2, 1.2] {
            assert_eq!(clock.tick(volume, &rule), None);
        }
        assert_eq!(clock.tick(1.3, &rule), Some(StopReason::HypervolumeStalled { generations: 3 }));
    }
}
