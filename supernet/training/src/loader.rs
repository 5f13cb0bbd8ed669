use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use tnas_network::Parameters;

use crate::{LoadTimes, Loading, LoopSettings, Observer, TrainError};

/// Batches by step, prefetched by threads of their own. A step's batch depends on the step alone.
pub(crate) struct Loader<'a, T> {
    stage: String,
    steps: u64,
    ahead: u64,
    state: Mutex<State<T>>,
    changed: Condvar,
    clock: Clock<'a>,
}

/// Time since a moment that stays the same.
pub(crate) type Clock<'a> = &'a (dyn Fn() -> Duration + Sync);

struct State<T> {
    /// The step that training is at; none before it begins, since a resumed run does not begin at 0.
    at: Option<u64>,
    /// The next step that a worker loads.
    next: u64,
    /// Counts jumps of training to another step: batches made before the last jump are dropped.
    jumps: u64,
    ready: BTreeMap<u64, Result<T, TrainError>>,
    stopped: bool,
    began: Option<Duration>,
    times: LoadTimes,
}

/// Runs `train` while threads prefetch the batches that `make` gives by step. Reports the time waited to the observer whenever a
/// checkpoint is written, and at the end.
pub(crate) fn with_prefetch<T: Send>(
    loading: Loading,
    run: &LoopSettings,
    observer: &mut dyn Observer,
    make: impl Fn(u64) -> Result<T, TrainError> + Sync,
    train: impl FnOnce(&Loader<T>, &mut dyn Observer) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let begun = Instant::now();
    prefetch_by(&Loader::new(run, loading.ahead, &|| begun.elapsed()), loading, observer, make, train)
}

fn prefetch_by<T: Send>(
    loader: &Loader<T>,
    loading: Loading,
    observer: &mut dyn Observer,
    make: impl Fn(u64) -> Result<T, TrainError> + Sync,
    train: impl FnOnce(&Loader<T>, &mut dyn Observer) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    std::thread::scope(|scope| {
        // Ends the workers however training ends.
        let _stop = StopOnDrop(loader);
        for _ in 0..loading.workers.max(1) {
            let worker = Builder::new().name("loader".into()).spawn_scoped(scope, || loader.work(&make));
            worker.map_err(|source| TrainError::Data(format!("no thread can be had to load them: {source}")))?;
        }
        let mut reporting = ReportTimes { observer, loader, last: None };
        let trained = train(loader, &mut reporting);
        reporting.report();
        trained
    })
}

impl<'a, T: Send> Loader<'a, T> {
    fn new(run: &LoopSettings, ahead: usize, clock: Clock<'a>) -> Self {
        let state = State {
            at: None,
            next: 0,
            jumps: 0,
            ready: BTreeMap::new(),
            stopped: false,
            began: None,
            times: LoadTimes::default(),
        };
        Self {
            stage: run.stage.clone(),
            steps: run.steps,
            ahead: ahead.max(1) as u64,
            state: Mutex::new(state),
            changed: Condvar::new(),
            clock,
        }
    }

    /// The batch of a step; waits until it is loaded.
    pub fn take(&self, step: u64) -> Result<T, TrainError> {
        let asked = (self.clock)();
        let mut state = self.lock();
        state.began.get_or_insert(asked);
        if state.at != Some(step) {
            state.jumps += 1;
            state.ready.clear();
            state.next = step;
        }
        state.at = Some(step);
        self.changed.notify_all();
        let batch = loop {
            if let Some(batch) = state.ready.remove(&step) {
                break batch;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.at = Some(step + 1);
        state.times.batches += 1;
        state.times.waited += (self.clock)().saturating_sub(asked);
        self.changed.notify_all();
        batch
    }

    fn times(&self) -> LoadTimes {
        let state = self.lock();
        LoadTimes {
            elapsed: state.began.map_or(Duration::ZERO, |began| (self.clock)().saturating_sub(began)),
            ..state.times
        }
    }

    fn work(&self, make: &(impl Fn(u64) -> Result<T, TrainError> + Sync)) {
        while let Some((step, jumps)) = self.next_step() {
            let made = match catch_unwind(AssertUnwindSafe(|| make(step))) {
                Ok(made) => made.map_err(|error| self.failed(step, error.into())),
                Err(panic) => {
                    Err(self.failed(step, format!("the loader panicked: {}", panic_message(&*panic)).into()))
                }
            };
            let mut state = self.lock();
            if state.jumps == jumps {
                state.ready.insert(step, made);
            }
            self.changed.notify_all();
        }
    }

    /// The next step to load, once there is room for its batch; none once training has ended.
    fn next_step(&self) -> Option<(u64, u64)> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if state.at.is_some_and(|at| state.next < (at + self.ahead).min(self.steps)) {
                state.next += 1;
                return Some((state.next - 1, state.jumps));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn failed(&self, step: u64, source: Box<dyn Error + Send + Sync>) -> TrainError {
        TrainError::Loading { stage: self.stage.clone(), step, source }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A worker holds the lock over no code that may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> Cow<'static, str> {
    let text = panic.downcast_ref::<&'static str>().map(|text| Cow::Borrowed(*text));
    text.or_else(|| panic.downcast_ref::<String>().cloned().map(Cow::Owned)).unwrap_or("without a message".into())
}

struct StopOnDrop<'a, 'c, T: Send>(&'a Loader<'c, T>);

impl<T: Send> Drop for StopOnDrop<'_, '_, T> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

/// An observer to which the loader's times are reported too.
struct ReportTimes<'a, 'c, T: Send> {
    observer: &'a mut dyn Observer,
    loader: &'a Loader<'c, T>,
    /// Stage and step that were reported last.
    last: Option<(String, u64)>,
}

impl<T: Send> ReportTimes<'_, '_, T> {
    fn report(&mut self) {
        if let Some((stage, step)) = &self.last {
            self.observer.loaded(stage, *step, self.loader.times());
        }
    }
}

impl<T: Send> Observer for ReportTimes<'_, '_, T> {
    fn step(&mut self, stage: &str, step: u64, steps: u64, figures: &[(&'static str, f64)]) {
        self.last = Some((stage.to_owned(), step));
        self.observer.step(stage, step, steps, figures);
    }

    fn resumed(&mut self, stage: &str, step: u64) {
        self.observer.resumed(stage, step);
    }

    fn rolled_back(&mut self, stage: &str, step: u64, rate: f64) {
        self.observer.rolled_back(stage, step, rate);
    }

    fn preview_due(&self, step: u64, steps: u64) -> bool {
        self.observer.preview_due(step, steps)
    }

    fn preview(&mut self, stage: &str, step: u64, weights: &Parameters) {
        self.observer.preview(stage, step, weights);
    }

    fn before_checkpoint(&mut self) {
        self.report();
        self.observer.before_checkpoint();
    }

    fn interrupted(&self) -> bool {
        self.observer.interrupted()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::Silent;

    fn settings(steps: u64) -> LoopSettings {
        LoopSettings { stage: "test".into(), steps, checkpoint: None, checkpoint_every: 100 }
    }

    fn run(
        loading: Loading,
        make: impl Fn(u64) -> Result<u64, TrainError> + Sync,
        train: impl FnOnce(&Loader<u64>) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        with_prefetch(loading, &settings(20), &mut Silent, make, |loader, _| train(loader))
    }

    impl<T: Send> Loader<'_, T> {
        /// Waits until this many batches are ready; returns the next step that would be loaded.
        fn next_once_ready(&self, batches: usize) -> u64 {
            let mut state = self.lock();
            while state.ready.len() < batches {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.next
        }
    }

    #[test]
    fn every_step_gets_its_own_batch_wherever_training_goes() {
        for (ahead, workers) in [(1, 1), (4, 1), (3, 3), (100, 2), (0, 0)] {
            let trained = run(
                Loading { ahead, workers },
                |step| Ok(100 + step),
                |loader| {
                    // A resumed run, a run rolled back, one that skips.
                    for step in [7, 8, 9, 3, 4, 5, 6, 15, 16, 17, 18, 19] {
                        assert_eq!(loader.take(step)?, 100 + step);
                    }
                    Ok(())
                },
            );
            trained.expect("trained");
        }
    }

    #[test]
    fn as_many_batches_are_made_as_may_wait() {
        let made = AtomicU64::new(0);
        let make = |step| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(step)
        };
        let trained = run(Loading { ahead: 3, workers: 2 }, make, |loader| {
            for step in 0..5 {
                assert_eq!(loader.take(step)?, step);
                assert_eq!(loader.next_once_ready(3), step + 4);
                assert_eq!(made.load(Ordering::SeqCst), step + 4);
            }
            Ok(())
        });
        trained.expect("trained");
    }

    #[test]
    fn a_loader_that_fails_or_panics_ends_training_with_its_message() {
        let broken = |step: u64| if step == 2 { Err(TrainError::Data("a torn clip".into())) } else { Ok(step) };
        let panicking = |step: u64| if step == 2 { panic!("out of disks") } else { Ok(step) };
        let all = |loader: &Loader<u64>| (0..20).try_for_each(|step| loader.take(step).map(drop));
        for (make, word) in [(&broken as &(dyn Fn(u64) -> _ + Sync), "a torn clip"), (&panicking, "out of disks")] {
            let error = run(Loading::default(), make, all).expect_err("step 2 fails");
            let source = error.source().expect("a cause").to_string();
            assert!(error.to_string().contains("train test") && error.to_string().contains("step 2"), "{error}");
            assert!(source.contains(word), "{source}");
        }
    }

    /// Only the training thread reads the clock, which moves on by a second whenever it is read: every batch is waited for for
    /// a second, and nothing else takes time but what training adds.
    #[test]
    fn waits_are_measured_and_reported() {
        #[derive(Default)]
        struct Reported(Vec<(String, u64, LoadTimes)>);
        impl Observer for Reported {
            fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}
            fn loaded(&mut self, stage: &str, step: u64, times: LoadTimes) {
                self.0.push((stage.to_owned(), step, times));
            }
        }
        for training in [0, 8] {
            let seconds = AtomicU64::new(0);
            let clock = || Duration::from_secs(seconds.fetch_add(1, Ordering::SeqCst));
            let loader = Loader::new(&settings(10), 4, &clock);
            let mut reported = Reported::default();
            prefetch_by(&loader, Loading::default(), &mut reported, Ok, |loader, observer| {
                for step in 0..10 {
                    loader.take(step)?;
                    seconds.fetch_add(training, Ordering::SeqCst);
                    observer.step("test", step + 1, 10, &[]);
                }
                Ok(())
            })
            .expect("trained");
            let (stage, step, times) = reported.0.pop().expect("reported");
            assert_eq!((stage.as_str(), step, times.batches), ("test", 10, 10));
            assert_eq!(times.waited, Duration::from_secs(10));
            assert_eq!(times.elapsed, Duration::from_secs(10 * (2 + training)));
        }
    }
}
