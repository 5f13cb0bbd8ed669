use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};
use tnas_graph::{HostTensor, Session};

use crate::{LatencyError, Quantity};

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasurePolicy {
    /// Timed runs at least, whatever they take.
    pub min_runs: u32,
    /// Timed runs at most.
    pub max_runs: u32,
    /// Seconds after which no further run starts, warm-up included, once `min_runs` are done.
    pub max_seconds: f64,
    /// The clock by which the warm-up is judged.
    pub quantity: Quantity,
    /// Warm-up ends when the medians of two successive windows of so many runs agree …
    pub warmup_window: u32,
    /// … within this share.
    pub warmup_tolerance: f64,
    /// Warm-up runs at most; a third of `max_seconds` ends it too.
    pub warmup_max_runs: u32,
}

impl Default for MeasurePolicy {
    fn default() -> Self {
        Self {
            min_runs: 5,
            max_runs: 200,
            max_seconds: 2.0,
            quantity: Quantity::Cpu,
            warmup_window: 3,
            warmup_tolerance: 0.05,
            warmup_max_runs: 30,
        }
    }
}

/// Time of one call by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Timed runs.
    pub runs: u32,
    /// Runs before them.
    pub warmup_runs: u32,
    /// Processor time of the process.
    pub cpu: Spread,
    /// Wall time.
    pub wall: Spread,
}

/// Quantiles of the runs. Median, not mean: interruptions skew the tail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Half the runs took no longer.
    pub median_ms: f64,
    /// Distance of the quartiles.
    pub iqr_ms: f64,
    /// A tenth of the runs took no longer.
    pub p10_ms: f64,
    /// Nine tenths took no longer.
    pub p90_ms: f64,
}

/// Runs until the median is steady, then times runs by processor time and wall time.
pub fn measure(
    session: &mut dyn Session,
    inputs: &[HostTensor],
    policy: &MeasurePolicy,
) -> Result<Timing, LatencyError> {
    policy.check()?;
    let start = Instant::now();
    let budget = Duration::from_secs_f64(policy.max_seconds);
    let warmup_runs = warm_up(session, inputs, policy)?;
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for run in 0..policy.max_runs {
        if run >= policy.min_runs && start.elapsed() >= budget {
            break;
        }
        let (cpu_ms, wall_ms) = once(session, inputs)?;
        cpu.push(cpu_ms);
        wall.push(wall_ms);
    }
    let runs = cpu.len() as u32;
    Ok(Timing { runs, warmup_runs, cpu: Spread::of(&mut cpu), wall: Spread::of(&mut wall) })
}

/// Runs until warm; the number of runs.
fn warm_up(session: &mut dyn Session, inputs: &[HostTensor], policy: &MeasurePolicy) -> Result<u32, LatencyError> {
    let (start, at_most) = (Instant::now(), Duration::from_secs_f64(policy.max_seconds / 3.0));
    let mut times = Vec::new();
    for run in 0..policy.warmup_max_runs {
        if run > 0 && (start.elapsed() >= at_most || policy.is_steady(&times)) {
            break;
        }
        let (cpu_ms, wall_ms) = once(session, inputs)?;
        times.push(if policy.quantity == Quantity::Cpu { cpu_ms } else { wall_ms });
    }
    Ok(times.len() as u32)
}

fn once(session: &mut dyn Session, inputs: &[HostTensor]) -> Result<(f64, f64), LatencyError> {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    // The result is dropped after the clocks are read.
    let _outputs = session.run(inputs)?;
    Ok((1e3 * cpu.elapsed().as_secs_f64(), 1e3 * wall.elapsed().as_secs_f64()))
}

impl MeasurePolicy {
    /// Whether the last two windows agree.
    fn is_steady(&self, times: &[f64]) -> bool {
        let window = self.warmup_window as usize;
        let Some(start) = times.len().checked_sub(2 * window) else { return false };
        let (before, after) = times[start..].split_at(window);
        let (before, after) =
            (Spread::of(&mut before.to_vec()).median_ms, Spread::of(&mut after.to_vec()).median_ms);
        (after - before).abs() <= self.warmup_tolerance * before
    }

    fn check(&self) -> Result<(), LatencyError> {
        let fail = |message: String| Err(LatencyError::Policy(message));
        if self.min_runs == 0 || self.max_runs < self.min_runs {
            return fail(format!("min_runs = {}, max_runs = {}", self.min_runs, self.max_runs));
        }
        if !(self.max_seconds >= 0.0 && self.max_seconds <= 1e6) {
            return fail(format!("max_seconds = {} must be from 0 to 1e6", self.max_seconds));
        }
        if self.warmup_window == 0 {
            return fail("warmup_window = 0 must be at least 1".into());
        }
        Ok(())
    }
}

impl Timing {
    /// Median by a clock.
    pub fn median_ms(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Cpu => self.cpu.median_ms,
            Quantity::Wall => self.wall.median_ms,
        }
    }
}

impl Spread {
    /// Quantiles, interpolated between neighbours; sorts the times. Of none, zeros.
    pub fn of(times_ms: &mut [f64]) -> Self {
        times_ms.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let Some(last) = times_ms.len().checked_sub(1) else { return 0.0 };
            let position = share * last as f64;
            let (low, high) = (position.floor() as usize, position.ceil() as usize);
            times_ms[low] + (position - low as f64) * (times_ms[high] - times_ms[low])
        };
        Self { median_ms: at(0.5), iqr_ms: at(0.75) - at(0.25), p10_ms: at(0.1), p90_ms: at(0.9) }
    }
}

#[cfg(test)]
mod tests {
    use tnas_graph::RuntimeError;

    use super::*;

    /// Slow at first, then steady.
    struct Cooling {
        calls: u32,
    }

    impl Session for Cooling {
        fn run(&mut self, _inputs: &[HostTensor]) -> Result<Vec<HostTensor>, RuntimeError> {
            self.calls += 1;
            let ms = if self.calls <= 3 { 6 } else { 2 };
            std::thread::sleep(Duration::from_millis(ms));
            Ok(Vec::new())
        }
    }

    #[test]
    fn the_slow_first_runs_are_not_timed() {
        let policy = MeasurePolicy {
            quantity: Quantity::Wall,
            warmup_tolerance: 0.4,
            max_runs: 12,
            ..MeasurePolicy::default()
        };
        let timing = measure(&mut Cooling { calls: 0 }, &[], &policy).unwrap();
        assert!(timing.warmup_runs >= 6, "{timing:?}");
        assert_eq!(timing.runs, 12);
        assert!(timing.wall.median_ms >= 2.0, "{timing:?}");
        assert!(timing.cpu.median_ms < timing.wall.median_ms, "sleeping takes no processor time: {timing:?}");
    }

    #[test]
    fn no_time_means_the_least_number_of_runs() {
        let policy = MeasurePolicy { max_seconds: 0.0, min_runs: 2, ..MeasurePolicy::default() };
        let timing = measure(&mut Cooling { calls: 0 }, &[], &policy).unwrap();
        assert_eq!((timing.warmup_runs, timing.runs), (1, 2));
    }

    #[test]
    fn windows_agree_only_once_the_times_settle() {
        let policy = MeasurePolicy::default();
        assert!(!policy.is_steady(&[9.0, 5.0, 3.0, 2.0, 2.0, 2.0]));
        assert!(policy.is_steady(&[9.0, 5.0, 3.0, 2.0, 2.01, 2.0, 2.0, 2.0, 9.0]));
        assert!(!policy.is_steady(&[2.0; 5]), "two windows are needed");
    }

    #[test]
    fn quantiles_of_a_known_list() {
        let spread = Spread::of(&mut [5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(spread, Spread { median_ms: 3.0, iqr_ms: 2.0, p10_ms: 1.4, p90_ms: 4.6 });
    }

    #[test]
    fn impossible_policies_are_refused() {
        for policy in [
            MeasurePolicy { min_runs: 0, ..MeasurePolicy::default() },
            MeasurePolicy { max_runs: 1, ..MeasurePolicy::default() },
            MeasurePolicy { max_seconds: f64::NAN, ..MeasurePolicy::default() },
            MeasurePolicy { warmup_window: 0, ..MeasurePolicy::default() },
        ] {
            assert!(matches!(measure(&mut Cooling { calls: 0 }, &[], &policy), Err(LatencyError::Policy(_))));
        }
    }
}
