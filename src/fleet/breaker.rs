//! Leaves a backend alone that does not answer (F9).

use core::time::Duration;

use super::error::Error;
use crate::platform::clock::{Clock, nanos};
use crate::platform::sync::{AtomicU32, AtomicU64, Ordering};

/// Counts failures in a row, and refuses calls after too many.
#[derive(Debug)]
pub(super) struct Breaker {
    clock: Clock,
    most: u32,
    cool_down_ns: u64,
    failures: AtomicU32,
    /// When the next call may try, while there are too many failures.
    retry_at_ns: AtomicU64,
}

impl Breaker {
    pub(super) fn new((most, cool_down): (u32, Duration)) -> Self {
        Self {
            clock: Clock::monotonic(),
            most,
            cool_down_ns: nanos(cool_down),
            failures: AtomicU32::new(0),
            retry_at_ns: AtomicU64::new(0),
        }
    }

    /// Lets a call through, or refuses it.
    pub(super) fn admit(&self) -> Result<(), Error> {
        if !self.is_open() {
            return Ok(());
        }
        let now_ns = self.clock.exact_ns();
        // Relaxed: one caller wins the exchange; it carries no data.
        let at_ns = self.retry_at_ns.load(Ordering::Relaxed);
        let next_ns = now_ns.saturating_add(self.cool_down_ns);
        let order = Ordering::Relaxed;
        let tries = now_ns >= at_ns
            && self.retry_at_ns.compare_exchange(at_ns, next_ns, order, order).is_ok();
        if tries { Ok(()) } else { Err(Error::BreakerOpen) }
    }

    /// Notes what a call has come to.
    pub(super) fn note<T>(&self, outcome: &Result<T, Error>) {
        match outcome {
            Err(error) if error.is_outage() => self.note_failure(),
            // Relaxed: a count, which a race may lose one of.
            _ => self.failures.store(0, Ordering::Relaxed),
        }
    }

    /// Notes a call that was given up by its timeout.
    pub(super) fn note_failure(&self) {
        let retry_at_ns = self.clock.exact_ns().saturating_add(self.cool_down_ns);
        // Relaxed: a caller that sees the count before the time tries once more.
        self.retry_at_ns.store(retry_at_ns, Ordering::Relaxed);
        let order = Ordering::Relaxed;
        let _old = self.failures.fetch_update(order, order, |failures| failures.checked_add(1));
    }

    pub(super) fn is_open(&self) -> bool {
        // Relaxed: a count that decides nothing but whether a call is made.
        self.failures.load(Ordering::Relaxed) >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_call_tries_after_the_cool_down() {
        let breaker = Breaker::new((2, Duration::from_millis(20)));
        let failure: Result<(), Error> = Err(Error::TimedOut(Duration::ZERO));
        breaker.note(&failure);
        breaker.note(&Ok(()));
        breaker.note(&failure);
        assert!(breaker.admit().is_ok(), "not in a row");
        breaker.note(&failure);
        assert!(matches!(breaker.admit(), Err(Error::BreakerOpen)));
        std::thread::sleep(Duration::from_millis(25));
        assert!(breaker.admit().is_ok() && breaker.admit().is_err(), "one tries");
        breaker.note(&Ok(()));
        assert!(breaker.admit().is_ok());
        breaker.note(&failure);
        breaker.note::<()>(&Err(Error::Conflict));
        assert!(!breaker.is_open());
    }
}
