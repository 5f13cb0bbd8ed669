//! Independent runs of graphs at the same time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Does jobs at the same time on the CPU, one after another on other devices; results come in the jobs' order.
///
/// Small networks leave most operations to one thread, so a second job is worth more than a second thread for the
/// first. The number of threads (of rayon's pool) changes which jobs run together, never what they compute. They are
/// dealt out among the jobs that run together: a job's operations never wait for threads that serve another one.
pub fn side_by_side<J: Send, R: Send, E: Send>(
    device: &Device,
    jobs: Vec<J>,
    work: impl Fn(J) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = if on_cpu(device) { rayon::current_num_threads() } else { 1 };
    if threads < 2 || jobs.is_empty() || (jobs.len() == 1 && rayon::current_thread_index().is_some()) {
        return jobs.into_iter().map(work).collect();
    }
    let Some(pools) = pools(threads, jobs.len().min(threads)) else {
        return jobs.into_iter().map(work).collect();
    };
    let jobs: Vec<Mutex<Option<J>>> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    let results: Vec<Mutex<Option<Result<R, E>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let take_jobs = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index).and_then(|slot| held(slot).take()) else { break };
            let result = work(job);
            *held(&results[index]) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for pool in pools.iter() {
            scope.spawn(|| pool.install(take_jobs));
        }
    });
    results.into_iter().filter_map(|slot| held(&slot).take()).collect()
}

/// So many threads in so many pools, made once. None where the system has no more threads: then jobs run in turn.
fn pools(threads: usize, count: usize) -> Option<Arc<Vec<ThreadPool>>> {
    type Pools = BTreeMap<(usize, usize), Arc<Vec<ThreadPool>>>;
    static MADE: Mutex<Pools> = Mutex::new(BTreeMap::new());
    let mut made = held(&MADE);
    if let Some(pools) = made.get(&(threads, count)) {
        return Some(pools.clone());
    }
    let of = |index: usize| threads / count + usize::from(index < threads % count);
    let pools = (0..count).map(|index| ThreadPoolBuilder::new().num_threads(of(index)).build());
    let pools = Arc::new(pools.collect::<Result<Vec<_>, _>>().ok()?);
    made.insert((threads, count), pools.clone());
    Some(pools)
}

fn held<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn on_cpu(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return matches!(device.clone().inner().as_dispatch(), burn::backend::DispatchDevice::Flex(_));
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_device;

    #[test]
    fn results_keep_the_order_of_jobs() {
        let device = open_device("cpu").unwrap();
        let squares = side_by_side(&device, (0..100).collect(), |x: u64| {
            // The first jobs take longest.
            (0..2000 * (100 - x)).for_each(|i| {
                std::hint::black_box(i);
            });
            Ok::<_, ()>(x * x)
        });
        assert_eq!(squares.unwrap(), (0..100).map(|x| x * x).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_is_the_first_by_order() {
        let device = open_device("cpu").unwrap();
        let found = side_by_side(&device, (0..20).collect(), |x| if x % 7 == 6 { Err(x) } else { Ok(x) });
        assert_eq!(found, Err(6));
        assert!(side_by_side(&device, Vec::<u8>::new(), Ok::<_, ()>).unwrap().is_empty());
    }
}
