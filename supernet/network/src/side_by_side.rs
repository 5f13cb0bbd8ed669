//! Independent runs of graphs at the same time.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use burn::tensor::Device;

/// Does jobs at the same time on the CPU, one after another on other devices; results come in the jobs' order.
///
/// Small networks leave most operations to one thread, so a second job is worth more than a second thread for the
/// first. The number of threads (of rayon's pool) changes which jobs run together, never what they compute. The threads
/// are the system's, not rayon's: one of rayon's, waiting inside an operation, might begin another job.
pub fn side_by_side<J: Send, R: Send, E: Send>(
    device: &Device,
    jobs: Vec<J>,
    work: impl Fn(J) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = if on_cpu(device) { rayon::current_num_threads().min(jobs.len()) } else { 1 };
    if threads < 2 {
        return jobs.into_iter().map(work).collect();
    }
    let jobs: Vec<Mutex<Option<J>>> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    let results: Vec<Mutex<Option<Result<R, E>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index).and_then(|slot| held(slot).take()) else { break };
                    let result = work(job);
                    *held(&results[index]) = Some(result);
                }
            });
        }
    });
    results.into_iter().filter_map(|slot| held(&slot).take()).collect()
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
            std::thread::sleep(std::time::Duration::from_micros(200 - 2 * x));
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
