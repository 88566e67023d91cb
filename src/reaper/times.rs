//! The times of a crew's seats, close together: the leader looks through thousands in microseconds.

use crate::platform::clock::NEVER_NS;
use crate::platform::sync::{AtomicU64, IS_MODEL, OnceLock};

/// Times that are found by number without a lock, however many are added.
#[derive(Debug)]
pub(super) struct Times {
    /// Each twice as long as the one before.
    chunks: [OnceLock<Box<[AtomicU64]>>; CHUNKS],
}

impl Times {
    pub(super) fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    /// Sees to it that there is a time of this number, at first `NEVER_NS`. To be called in the order of
    /// numbers, by one thread at a time.
    pub(super) fn make(&self, number: usize) {
        let (chunk, _) = place(number);
        let times = || (0..FIRST << chunk).map(|_| AtomicU64::new(NEVER_NS)).collect();
        self.chunks[chunk].get_or_init(times);
    }

    /// The time of a number that has been made.
    pub(super) fn get(&self, number: usize) -> &AtomicU64 {
        let (chunk, rest) = place(number);
        &self.chunks[chunk].get().expect("it has been made")[rest]
    }
}

/// The chunk of a number, and its place in there.
fn place(number: usize) -> (usize, usize) {
    let number = number + FIRST;
    let chunk = (number.ilog2() - FIRST.ilog2()) as usize;
    (chunk, number - (FIRST << chunk))
}

/// How many the first chunk has: a power of two. Most processes have a cache or two.
const FIRST: usize = if IS_MODEL { 1 } else { 8 };
/// Over a billion in all.
const CHUNKS: usize = 28;

#[cfg(all(test, not(any(sundown_loom, sundown_shuttle))))]
mod tests {
    use super::*;
    use crate::platform::sync::Ordering;

    #[test]
    fn each_number_has_a_time_of_its_own() {
        let times = Times::new();
        for number in 0..1_000 {
            times.make(number);
            assert_eq!(times.get(number).swap(number as u64, Ordering::Relaxed), NEVER_NS);
        }
        for number in 0..1_000 {
            assert_eq!(times.get(number).load(Ordering::Relaxed), number as u64);
        }
    }
}
