use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// Where measuring reads the time: the machine's clocks, or a test's.
pub(crate) trait Clock {
    /// The time now.
    fn read(&self) -> Reading;
}

/// Both clocks at one moment, each from a start of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Processor time of this process.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
}

/// The clocks of this machine.
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Wall time starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn read(&self) -> Reading {
        Reading { wall: self.start.elapsed(), cpu: ProcessTime::now().as_duration() }
    }
}
