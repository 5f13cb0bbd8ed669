use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::{Deserialize, Serialize};
use tnas_graph::{HostTensor, Session};

use crate::LatencyError;

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasurePolicy {
    /// Runs at least.
    pub min_runs: usize,
    /// Seconds at most, once the least number of runs is done.
    pub seconds: f64,
}

/// Time of one call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Timed runs.
    pub runs: usize,
    /// Median processor time: what a busy machine does not change.
    pub cpu_ms: f64,
    /// Median wall time.
    pub wall_ms: f64,
    /// Distance of the quartiles of processor time.
    pub iqr_ms: f64,
}

/// Runs until warm, then times runs by processor time and wall time.
pub fn measure(
    session: &mut dyn Session,
    inputs: &[HostTensor],
    policy: &MeasurePolicy,
) -> Result<Timing, LatencyError> {
    let start = Instant::now();
    let budget = Duration::from_secs_f64(policy.seconds);
    warm_up(session, inputs, budget / 3)?;
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    while cpu.len() < policy.min_runs || start.elapsed() < budget {
        let (c, w) = once(session, inputs)?;
        cpu.push(c);
        wall.push(w);
    }
    cpu.sort_by(f64::total_cmp);
    wall.sort_by(f64::total_cmp);
    let at = |sorted: &[f64], share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    Ok(Timing {
        runs: cpu.len(),
        cpu_ms: at(&cpu, 0.5),
        wall_ms: at(&wall, 0.5),
        iqr_ms: at(&cpu, 0.75) - at(&cpu, 0.25),
    })
}

/// Runs until a run is within 5 % of the fastest before it, at most for a while.
fn warm_up(session: &mut dyn Session, inputs: &[HostTensor], at_most: Duration) -> Result<(), LatencyError> {
    let (start, mut fastest) = (Instant::now(), f64::INFINITY);
    for run in 0.. {
        let (cpu, _) = once(session, inputs)?;
        if (run >= 2 && cpu < 1.05 * fastest) || start.elapsed() > at_most {
            break;
        }
        fastest = fastest.min(cpu);
    }
    Ok(())
}

fn once(session: &mut dyn Session, inputs: &[HostTensor]) -> Result<(f64, f64), LatencyError> {
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    session.run(inputs)?;
    Ok((1e3 * cpu.elapsed().as_secs_f64(), 1e3 * wall.elapsed().as_secs_f64()))
}

/// Largest resident memory of this process so far, where the system says.
pub fn peak_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(1024 * kilobytes)
}
