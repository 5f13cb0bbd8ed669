use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_graph::{HostTensor, Session};

use crate::{
    LatencyError, Quantity,
    clock::{Clock, SystemClock},
};

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasurePolicy {
    /// Timed runs at least …
    pub min_runs: u32,
    /// … and so many seconds of them.
    pub min_seconds: f64,
    /// Timed runs at most.
    pub max_runs: u32,
    /// Seconds after which no further run starts, warm-up included, once there are [`MeasurePolicy::FEWEST_RUNS`].
    pub max_seconds: f64,
    /// The clock by which the warm-up is evaluated.
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
            min_runs: 30,
            min_seconds: 1.0,
            max_runs: 2000,
            max_seconds: 20.0,
            quantity: Quantity::Cpu,
            warmup_window: 5,
            warmup_tolerance: 0.03,
            warmup_max_runs: 50,
        }
    }
}

/// Time of one call by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Timed runs.
    pub runs: u32,
    /// Runs before them.
    pub warmup_runs: u32,
    /// Whether the warm-up ended because the times had settled, and not because it took too long.
    #[serde(default)]
    pub steady: bool,
    /// Processor time of the process, where it is known.
    pub cpu: Option<Spread>,
    /// Wall time.
    pub wall: Spread,
    /// The network that alternated with this one, where one did.
    #[serde(default)]
    pub reference: Option<ReferenceTiming>,
}

/// A network of known cost, alternating with the measured one: a busy machine slows down both, and their ratio stays.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceTiming {
    /// Median processor time of the reference.
    pub cpu_ms: f64,
    /// Median wall time of the reference.
    pub wall_ms: f64,
    /// Median over the runs of their processor time as a multiple of the reference's before and after.
    pub cpu_ratio: f64,
    /// The same of wall time.
    pub wall_ratio: f64,
}

/// Quantiles of the runs. Median, not mean: interruptions skew the tail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// A session with its inputs.
pub struct Subject<'a> {
    /// Ready to run.
    pub session: &'a mut dyn Session,
    /// What it is run on.
    pub inputs: &'a [HostTensor],
}

/// Runs until the median is steady, then times runs by processor time and wall time, where asked in alternation with a
/// reference.
pub fn measure(
    subject: Subject<'_>,
    reference: Option<Subject<'_>>,
    policy: &MeasurePolicy,
) -> Result<Timing, LatencyError> {
    measure_by(&SystemClock::start(), subject, reference, policy)
}

fn measure_by(
    clock: &dyn Clock,
    mut subject: Subject<'_>,
    mut reference: Option<Subject<'_>>,
    policy: &MeasurePolicy,
) -> Result<Timing, LatencyError> {
    policy.check()?;
    let start = clock.read().wall;
    let warm = warm_up(clock, &mut subject, policy)?;
    let reference_warm = reference.as_mut().map(|reference| warm_up(clock, reference, policy)).transpose()?;
    // Small networks run several times in a row, so that both take about as long.
    let in_a_row =
        reference_warm.map_or(1, |other| (other.last_ms / warm.last_ms).round().clamp(1.0, 50.0) as usize);
    let (mut runs, mut between, mut timed_ms) = (Vec::new(), Vec::new(), 0.0);
    while !policy.is_enough(runs.len() as u32, timed_ms, clock.read().wall - start) {
        if let Some(reference) = reference.as_mut().filter(|_| runs.len() % in_a_row == 0) {
            between.push(reference.once(clock)?);
        }
        let clocks = subject.once(clock)?;
        timed_ms += clocks.wall_ms;
        runs.push(clocks);
    }
    if let Some(reference) = &mut reference {
        between.push(reference.once(clock)?);
    }
    let spread = |of: fn(&Clocks) -> f64| Spread::of(&mut runs.iter().map(of).collect::<Vec<_>>());
    Ok(Timing {
        runs: runs.len() as u32,
        warmup_runs: warm.runs,
        steady: warm.steady,
        cpu: Some(spread(|run| run.cpu_ms)),
        wall: spread(|run| run.wall_ms),
        reference: (!between.is_empty()).then(|| ReferenceTiming::new(&runs, &between, in_a_row)),
    })
}

/// What the warm-up saw.
struct Warm {
    runs: u32,
    /// Whether the times settled.
    steady: bool,
    last_ms: f64,
}

/// Runs until warm.
fn warm_up(clock: &dyn Clock, subject: &mut Subject<'_>, policy: &MeasurePolicy) -> Result<Warm, LatencyError> {
    let (start, at_most) = (clock.read().wall, Duration::from_secs_f64(policy.max_seconds / 3.0));
    let mut times = Vec::new();
    for run in 0..policy.warmup_max_runs {
        if run > 0 && (clock.read().wall - start >= at_most || policy.is_steady(&times)) {
            break;
        }
        let Clocks { cpu_ms, wall_ms } = subject.once(clock)?;
        times.push(if policy.quantity == Quantity::Cpu { cpu_ms } else { wall_ms });
    }
    let last_ms = times.last().copied().unwrap_or_default().max(1e-6);
    Ok(Warm { runs: times.len() as u32, steady: policy.is_steady(&times), last_ms })
}

/// One run by both clocks.
#[derive(Clone, Copy)]
struct Clocks {
    cpu_ms: f64,
    wall_ms: f64,
}

impl Subject<'_> {
    fn once(&mut self, clock: &dyn Clock) -> Result<Clocks, LatencyError> {
        let before = clock.read();
        // The result is dropped after the clocks are read.
        let _outputs = self.session.run(self.inputs)?;
        let after = clock.read();
        let ms = |from: Duration, to: Duration| 1e3 * to.saturating_sub(from).as_secs_f64();
        Ok(Clocks { cpu_ms: ms(before.cpu, after.cpu), wall_ms: ms(before.wall, after.wall) })
    }
}

impl ReferenceTiming {
    /// `between` stands before every so many runs in a row, and after the last.
    fn new(runs: &[Clocks], between: &[Clocks], in_a_row: usize) -> Self {
        let median = |mut values: Vec<f64>| Spread::of(&mut values).median_ms;
        let of = |clock: fn(&Clocks) -> f64| median(between.iter().map(clock).collect());
        let ratio = |clock: fn(&Clocks) -> f64| {
            let rows = runs.chunks(in_a_row).zip(between.windows(2));
            let of_row = |(row, pair): (&[Clocks], &[Clocks])| {
                let other = 0.5 * (clock(&pair[0]) + clock(&pair[1]));
                row.iter().map(|run| clock(run) / other).collect::<Vec<_>>()
            };
            median(rows.flat_map(of_row).collect())
        };
        Self {
            cpu_ms: of(|run| run.cpu_ms),
            wall_ms: of(|run| run.wall_ms),
            cpu_ratio: ratio(|run| run.cpu_ms),
            wall_ratio: ratio(|run| run.wall_ms),
        }
    }

    /// Median by a clock.
    pub fn median_ms(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Cpu => self.cpu_ms,
            Quantity::Wall => self.wall_ms,
        }
    }

    /// The measured network as a multiple of it, by a clock.
    pub fn ratio(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Cpu => self.cpu_ratio,
            Quantity::Wall => self.wall_ratio,
        }
    }
}

impl MeasurePolicy {
    /// Runs that a network gets however slow it is.
    pub const FEWEST_RUNS: u32 = 5;

    /// Whether there are runs enough, or no more may be had.
    fn is_enough(&self, runs: u32, timed_ms: f64, elapsed: Duration) -> bool {
        let wanted = runs >= self.min_runs && timed_ms >= 1e3 * self.min_seconds;
        let late = runs >= Self::FEWEST_RUNS.min(self.min_runs) && elapsed.as_secs_f64() >= self.max_seconds;
        wanted || late || runs >= self.max_runs
    }

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
        for (name, seconds) in [("min_seconds", self.min_seconds), ("max_seconds", self.max_seconds)] {
            if !(0.0..=1e6).contains(&seconds) {
                return fail(format!("{name} = {seconds} must be from 0 to 1e6"));
            }
        }
        if self.warmup_window == 0 {
            return fail("warmup_window = 0 must be at least 1".into());
        }
        Ok(())
    }
}

impl Timing {
    /// A time at the device's usual speed, which the reference shows; as it was measured where there is none.
    pub fn reported_ms(&self, quantity: Quantity, usual_reference_ms: Option<f64>) -> Option<f64> {
        match (usual_reference_ms, &self.reference) {
            (Some(usual), Some(reference)) => Some(usual * reference.ratio(quantity)),
            _ => self.median_ms(quantity),
        }
    }

    /// Median by a clock, where that was read.
    pub fn median_ms(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Cpu => self.cpu.map(|cpu| cpu.median_ms),
            Quantity::Wall => Some(self.wall.median_ms),
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
    use std::cell::Cell;

    use tnas_graph::RuntimeError;

    use super::*;
    use crate::clock::Reading;

    /// A clock that stands still until somebody works.
    #[derive(Default)]
    struct TestClock(Cell<Reading>);

    impl Clock for TestClock {
        fn read(&self) -> Reading {
            self.0.get()
        }
    }

    impl TestClock {
        fn pass(&self, cpu_ms: u64, wall_ms: u64) {
            let Reading { cpu, wall } = self.0.get();
            let (cpu, wall) = (cpu + Duration::from_millis(cpu_ms), wall + Duration::from_millis(wall_ms));
            self.0.set(Reading { cpu, wall });
        }
    }

    /// Takes 8 ms of wall time three times, then 4; a quarter of it is processor time.
    struct Cooling<'a> {
        calls: u32,
        clock: &'a TestClock,
    }

    impl Session for Cooling<'_> {
        fn run(&mut self, _inputs: &[HostTensor]) -> Result<Vec<HostTensor>, RuntimeError> {
            self.calls += 1;
            let wall_ms = if self.calls <= 3 { 8 } else { 4 };
            self.clock.pass(wall_ms / 4, wall_ms);
            Ok(Vec::new())
        }
    }

    fn cooling(clock: &TestClock, calls: u32, policy: &MeasurePolicy) -> Timing {
        let session = &mut Cooling { calls, clock };
        measure_by(clock, Subject { session, inputs: &[] }, None, policy).unwrap()
    }

    #[test]
    fn the_slow_first_runs_are_not_timed() {
        let policy = MeasurePolicy {
            quantity: Quantity::Wall,
            warmup_window: 3,
            min_runs: 12,
            min_seconds: 0.0,
            ..MeasurePolicy::default()
        };
        let timing = cooling(&TestClock::default(), 0, &policy);
        assert_eq!((timing.warmup_runs, timing.runs, timing.steady), (8, 12, true));
        assert_eq!(timing.wall, Spread { median_ms: 4.0, iqr_ms: 0.0, p10_ms: 4.0, p90_ms: 4.0 });
        assert_eq!(timing.cpu.unwrap().median_ms, 1.0, "waiting takes no processor time");
    }

    #[test]
    fn no_time_means_the_least_number_of_runs() {
        let policy = MeasurePolicy { max_seconds: 0.0, min_runs: 2, ..MeasurePolicy::default() };
        let timing = cooling(&TestClock::default(), 0, &policy);
        assert_eq!((timing.warmup_runs, timing.runs), (1, 2));
    }

    #[test]
    fn runs_last_as_long_as_the_policy_says() {
        let policy = MeasurePolicy { min_seconds: 0.2, warmup_max_runs: 1, ..MeasurePolicy::default() };
        assert_eq!(cooling(&TestClock::default(), 9, &policy).runs, 50, "0.2 s of 4 ms");
        let policy = MeasurePolicy { max_seconds: 0.1, ..policy };
        assert_eq!(cooling(&TestClock::default(), 9, &policy).runs, 24, "0.1 s, warm-up included");
    }

    #[test]
    fn thirty_runs_and_a_second_unless_that_takes_too_long() {
        let policy = MeasurePolicy::default();
        let seconds = Duration::from_secs_f64;
        assert!(!policy.is_enough(30, 999.0, seconds(1.2)));
        assert!(!policy.is_enough(29, 1500.0, seconds(1.7)));
        assert!(policy.is_enough(30, 1500.0, seconds(1.7)));
        assert!(!policy.is_enough(4, 40_000.0, seconds(41.0)));
        assert!(policy.is_enough(5, 50_000.0, seconds(51.0)));
    }

    #[test]
    fn a_machine_that_slows_down_changes_times_and_not_ratios() {
        let clocks = |ms: f64| Clocks { cpu_ms: ms, wall_ms: 2.0 * ms };
        let speed = |i: usize| if i < 3 { 1.0 } else { 1.5 };
        let runs: Vec<Clocks> = (0..6).map(|i| clocks(4.0 * speed(i))).collect();
        let between: Vec<Clocks> = (0..7).map(|i| clocks(2.0 * speed(i))).collect();
        let found = ReferenceTiming::new(&runs, &between, 1);
        assert!((found.cpu_ratio - 2.0).abs() < 1e-12 && (found.wall_ratio - 2.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.cpu_ms, found.wall_ms), (3.0, 6.0));
        let small: Vec<Clocks> = (0..5).map(|_| clocks(0.5)).collect();
        assert_eq!(ReferenceTiming::new(&small, &between[..4], 2).cpu_ratio, 0.25);
    }

    #[test]
    fn a_reference_alternates_with_the_network() {
        let policy =
            MeasurePolicy { min_seconds: 0.0, min_runs: 4, warmup_max_runs: 1, ..MeasurePolicy::default() };
        let clock = TestClock::default();
        let (mut session, mut other) = (Cooling { calls: 9, clock: &clock }, Cooling { calls: 9, clock: &clock });
        let reference = Some(Subject { session: &mut other, inputs: &[] });
        let subject = Subject { session: &mut session, inputs: &[] };
        let timing = measure_by(&clock, subject, reference, &policy).unwrap();
        assert_eq!((timing.runs, other.calls - 9), (4, 6), "once to warm up, before each run, and after the last");
        let expected = ReferenceTiming { cpu_ms: 1.0, wall_ms: 4.0, cpu_ratio: 1.0, wall_ratio: 1.0 };
        assert_eq!(timing.reference, Some(expected));
    }

    #[test]
    fn windows_agree_only_once_the_times_settle() {
        let policy = MeasurePolicy { warmup_window: 3, ..MeasurePolicy::default() };
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
            assert!(matches!(policy.check(), Err(LatencyError::Policy(_))), "{policy:?}");
        }
    }
}
