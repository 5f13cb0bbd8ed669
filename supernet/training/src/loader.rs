use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tnas_network::Parameters;

use crate::{LoopSettings, Observer, TrainError};

/// How batches are loaded beside the training that takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loading {
    /// Steps whose batches may wait in memory.
    pub ahead: usize,
    /// Threads that load.
    pub workers: usize,
}

impl Default for Loading {
    fn default() -> Self {
        Self { ahead: 4, workers: 1 }
    }
}

/// What loading cost a training loop since the process began it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadTimes {
    /// Batches taken.
    pub batches: u64,
    /// Time since the first was asked for.
    pub elapsed: Duration,
    /// Time that training stood still for want of a batch.
    pub waited: Duration,
}

impl LoadTimes {
    /// Fraction of the time that was waited.
    pub fn waited_fraction(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.waited.as_secs_f64() / self.elapsed.as_secs_f64() }
    }
}

/// Batches by step, made ahead of time by threads of their own. What a step gets depends on the step alone.
pub struct Loader<T> {
    stage: String,
    steps: u64,
    ahead: u64,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    /// The step that training is at; none before it begins, for a resumed run begins late.
    at: Option<u64>,
    /// The next that a worker takes up.
    next: u64,
    /// Raised when training goes elsewhere: what was made for other steps is thrown away.
    turn: u64,
    ready: BTreeMap<u64, Result<T, TrainError>>,
    stopped: bool,
    began: Option<Instant>,
    times: LoadTimes,
}

/// Trains with `make`'s batches loaded beside: `train` takes each from the loader. Tells the observer what was waited
/// whenever a checkpoint is written, and at the end.
pub fn beside<T: Send>(
    loading: Loading,
    run: &LoopSettings,
    observer: &mut dyn Observer,
    make: impl Fn(u64) -> Result<T, TrainError> + Sync,
    train: impl FnOnce(&Loader<T>, &mut dyn Observer) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let loader = Loader::new(run, loading.ahead);
    std::thread::scope(|scope| {
        // Ends the workers however training ends.
        let _stop = StopOnDrop(&loader);
        for _ in 0..loading.workers.max(1) {
            let worker = Builder::new().name("loader".into()).spawn_scoped(scope, || loader.work(&make));
            worker.map_err(|source| TrainError::Data(format!("no thread can be had to load them: {source}")))?;
        }
        let mut told = TellsTimes { observer, loader: &loader, last: None };
        let trained = train(&loader, &mut told);
        told.tell();
        trained
    })
}

impl<T: Send> Loader<T> {
    fn new(run: &LoopSettings, ahead: usize) -> Self {
        let state = State {
            at: None,
            next: 0,
            turn: 0,
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
        }
    }

    /// The batch of a step; waits where it is not there yet.
    pub fn take(&self, step: u64) -> Result<T, TrainError> {
        let asked = Instant::now();
        let mut state = self.lock();
        state.began.get_or_insert(asked);
        if state.at != Some(step) {
            state.turn += 1;
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
        state.times.waited += asked.elapsed();
        self.changed.notify_all();
        batch
    }

    fn times(&self) -> LoadTimes {
        let state = self.lock();
        LoadTimes { elapsed: state.began.map_or(Duration::ZERO, |began| began.elapsed()), ..state.times }
    }

    fn work(&self, make: &(impl Fn(u64) -> Result<T, TrainError> + Sync)) {
        while let Some((step, turn)) = self.next_step() {
            let made = match catch_unwind(AssertUnwindSafe(|| make(step))) {
                Ok(made) => made.map_err(|error| self.failed(step, error.into())),
                Err(panic) => Err(self.failed(step, format!("the loader died: {}", said(&*panic)).into())),
            };
            let mut state = self.lock();
            if state.turn == turn {
                state.ready.insert(step, made);
            }
            self.changed.notify_all();
        }
    }

    /// The next step to load, when there is room for it; none when there is no more to do.
    fn next_step(&self) -> Option<(u64, u64)> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if state.at.is_some_and(|at| state.next < (at + self.ahead).min(self.steps)) {
                state.next += 1;
                return Some((state.next - 1, state.turn));
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

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> Cow<'static, str> {
    let text = panic.downcast_ref::<&'static str>().map(|text| Cow::Borrowed(*text));
    text.or_else(|| panic.downcast_ref::<String>().cloned().map(Cow::Owned)).unwrap_or("no word of why".into())
}

struct StopOnDrop<'a, T: Send>(&'a Loader<T>);

impl<T: Send> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

/// An observer that is told of waits too.
struct TellsTimes<'a, T: Send> {
    observer: &'a mut dyn Observer,
    loader: &'a Loader<T>,
    /// Stage and step that were told last.
    last: Option<(String, u64)>,
}

impl<T: Send> TellsTimes<'_, T> {
    fn tell(&mut self) {
        if let Some((stage, step)) = &self.last {
            self.observer.loaded(stage, *step, self.loader.times());
        }
    }
}

impl<T: Send> Observer for TellsTimes<'_, T> {
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
        self.tell();
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
        beside(loading, &settings(20), &mut Silent, make, |loader, _| train(loader))
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
    fn no_more_batches_are_made_than_may_wait() {
        let made = AtomicU64::new(0);
        let make = |step| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(step)
        };
        let trained = run(Loading { ahead: 3, workers: 2 }, make, |loader| {
            for step in 0..5 {
                assert_eq!(loader.take(step)?, step);
                std::thread::sleep(Duration::from_millis(20));
                assert!(made.load(Ordering::SeqCst) <= step + 4, "{made:?} at {step}");
            }
            Ok(())
        });
        trained.expect("trained");
    }

    #[test]
    fn a_loader_that_fails_or_dies_ends_training_with_its_word() {
        let broken = |step: u64| if step == 2 { Err(TrainError::Data("a torn clip".into())) } else { Ok(step) };
        let dying = |step: u64| if step == 2 { panic!("out of disks") } else { Ok(step) };
        let all = |loader: &Loader<u64>| (0..20).try_for_each(|step| loader.take(step).map(drop));
        for (make, word) in [(&broken as &(dyn Fn(u64) -> _ + Sync), "a torn clip"), (&dying, "out of disks")] {
            let error = run(Loading::default(), make, all).expect_err("step 2 fails");
            let source = error.source().expect("a cause").to_string();
            assert!(error.to_string().contains("train test") && error.to_string().contains("step 2"), "{error}");
            assert!(source.contains(word), "{source}");
        }
    }

    #[test]
    fn waits_are_measured_and_told() {
        #[derive(Default)]
        struct Told(Vec<(String, u64, LoadTimes)>);
        impl Observer for Told {
            fn step(&mut self, _: &str, _: u64, _: u64, _: &[(&'static str, f64)]) {}
            fn loaded(&mut self, stage: &str, step: u64, times: LoadTimes) {
                self.0.push((stage.to_owned(), step, times));
            }
        }
        let slow = |step| {
            std::thread::sleep(Duration::from_millis(20));
            Ok(step)
        };
        let waited = |make: &(dyn Fn(u64) -> Result<u64, TrainError> + Sync), work: u64| {
            let mut told = Told::default();
            beside(Loading::default(), &settings(10), &mut told, make, |loader, observer| {
                for step in 0..10 {
                    loader.take(step)?;
                    std::thread::sleep(Duration::from_millis(work));
                    observer.step("test", step + 1, 10, &[]);
                }
                Ok(())
            })
            .expect("trained");
            let (stage, step, times) = told.0.pop().expect("told");
            assert_eq!((stage.as_str(), step, times.batches), ("test", 10, 10));
            times.waited_fraction()
        };
        let (starved, fed) = (waited(&slow, 0), waited(&|step| Ok(step), 20));
        assert!(fed < starved, "{fed} and {starved}");
    }
}
