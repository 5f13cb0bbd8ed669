use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes that may be kept so that they need not be made again, shared by all who keep something.
#[derive(Clone, Debug)]
pub struct Memory(Arc<AtomicU64>);

/// Things by number that are made when asked for, and kept while there is memory for them.
#[derive(Debug)]
pub struct Kept<T> {
    memory: Memory,
    /// Bytes taken out of it.
    held: AtomicU64,
    items: Vec<OnceLock<Arc<T>>>,
}

impl Memory {
    /// So many bytes.
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// Takes bytes out of what is left, if they are.
    fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl<T> Kept<T> {
    /// Nothing kept so far of `count` things.
    pub fn new(count: usize, memory: Memory) -> Self {
        Self { memory, held: AtomicU64::new(0), items: (0..count).map(|_| OnceLock::new()).collect() }
    }

    /// Thing number `index`, made by `make`. What it is does not depend on whether it was kept.
    pub fn get<E>(&self, index: usize, bytes: u64, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let place = self.items.get(index);
        if let Some(item) = place.and_then(OnceLock::get) {
            return Ok(item.clone());
        }
        let item = Arc::new(make()?);
        if let Some(place) = place
            && self.memory.take(bytes)
        {
            match place.set(item.clone()) {
                Ok(()) => drop(self.held.fetch_add(bytes, Ordering::Relaxed)),
                // Another thread made it meanwhile.
                Err(_) => self.memory.give_back(bytes),
            }
        }
        Ok(item)
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        self.memory.give_back(self.held.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_has_no_room_is_made_again() {
        let kept = Kept::new(3, Memory::new(20));
        let made = Cell::new(0);
        for round in 1..=3 {
            for index in 0..3 {
                let item = kept.get(index, 10, || {
                    made.set(made.get() + 1);
                    Ok::<_, Infallible>(index)
                });
                assert_eq!(item.map(|item| *item), Ok(index));
            }
            assert_eq!(made.get(), 3 + (round - 1));
        }
        let memory = kept.memory.clone();
        assert!(!memory.take(1));
        drop(kept);
        assert!(memory.take(20) && !memory.take(1));
    }
}
