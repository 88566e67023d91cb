//! One load at a time for each key, however many ask.
//!
//! The first to miss leads; the others wait until its load is over, and then look the key up again. A leader
//! whose load fails, panics or is given up wakes them all: one of them leads next. So an error is its own
//! caller's alone, whatever its type.
//!
//! J1. At most one leader a key at a time. Two keys of one hash wait for each other, and what one load came to is
//!     not told to the other.
//! J2. Who waits is woken when the leader's token is gone, however that went. The flight leaves the list first, so
//!     that who comes later leads; then its end is noted under its lock, and those who wait are woken. One who
//!     found it in the list before takes that lock before it waits, and sees the end or is woken.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::HashMap;

use crate::platform::sync::{Arc, Bell, Mutex, may_wait, moment_in, thread};

/// The loads of a cache that are under way.
pub(super) struct Flights<K> {
    list: Mutex<HashMap<u64, Arc<Flight<K>>>>,
}

impl<K> Default for Flights<K> {
    fn default() -> Self {
        Self { list: Mutex::new(HashMap::new()) }
    }
}

/// A load, and who waits for it.
pub(super) struct Flight<K> {
    pub(super) key: K,
    stage: Mutex<Stage>,
    ended: Bell,
    leader: thread::ThreadId,
}

#[derive(Default)]
struct Stage {
    end: Option<End>,
    wakers: Vec<(u64, Waker)>,
    next: u64,
}

/// What a load came to, for those who have waited for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// They have to look again, and to load for themselves if nothing is there.
    LookAgain,
    /// There is nothing to load.
    Absent,
}

/// What is to be done about a miss.
pub(super) enum Part<'c, K> {
    Lead(Lead<'c, K>),
    Wait(Arc<Flight<K>>),
    /// Load without leading: this thread must not wait, or leads already.
    Alone,
}

impl<K> Flights<K> {
    /// Leads the load of a key, or waits for the one who does.
    pub(super) fn join(&self, hash: u64, key: impl Fn() -> K) -> Part<'_, K> {
        // The key's `clone` is not called under the lock, and mostly there is nobody to wait for.
        let key = key();
        let mut list = self.list.lock();
        if let Some(flight) = list.get(&hash) {
            return Part::Wait(flight.clone());
        }
        let flight = Arc::new(Flight {
            key,
            stage: Mutex::new(Stage::default()),
            ended: Bell::new(),
            leader: thread::current().id(),
        });
        list.insert(hash, flight.clone());
        Part::Lead(Lead { flights: self, hash, flight, end: End::LookAgain })
    }

    /// The same for a caller that waits by blocking its thread.
    pub(super) fn join_blocking(&self, hash: u64, key: impl Fn() -> K) -> Part<'_, K> {
        match self.join(hash, key) {
            Part::Wait(flight) if flight.leader == thread::current().id() || !may_wait() => {
                Part::Alone
            }
            part => part,
        }
    }
}

impl<K> Flight<K> {
    /// Blocks until the load is over.
    pub(super) fn wait(&self) -> End {
        let mut stage = self.stage.lock();
        loop {
            if let Some(end) = stage.end {
                return end;
            }
            // No ring is missed: the end is noted under the lock.
            (stage, _) = self.ended.wait(stage, moment_in(LONG));
        }
    }

    /// The same without a thread, on any executor.
    pub(super) fn over(self: Arc<Self>) -> Over<K> {
        Over { flight: self, number: None }
    }
}

/// The leader's token: the load is over when it is dropped.
pub(super) struct Lead<'c, K> {
    flights: &'c Flights<K>,
    hash: u64,
    flight: Arc<Flight<K>>,
    end: End,
}

impl<K> Lead<'_, K> {
    /// There is nothing to load, and that may be told.
    pub(super) fn found_nothing(mut self) {
        self.end = End::Absent;
    }
}

impl<K> Drop for Lead<'_, K> {
    fn drop(&mut self) {
        let mut list = self.flights.list.lock();
        list.remove(&self.hash);
        if list.is_empty() {
            *list = HashMap::new();
        }
        drop(list);
        let wakers = {
            let mut stage = self.flight.stage.lock();
            stage.end = Some(self.end);
            core::mem::take(&mut stage.wakers)
        };
        self.flight.ended.ring();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

/// Waits until a load is over.
pub(super) struct Over<K> {
    flight: Arc<Flight<K>>,
    /// Of its waker.
    number: Option<u64>,
}

impl<K> Future for Over<K> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End> {
        // Cloned, and dropped, outside the lock: it is the executor's code.
        let waker = context.waker().clone();
        let flight = self.flight.clone();
        let mut stage = flight.stage.lock();
        if let Some(end) = stage.end {
            return Poll::Ready(end);
        }
        let number = self.number.unwrap_or(stage.next);
        let old = match stage.wakers.iter_mut().find(|(other, _)| *other == number) {
            Some((_, old)) => Some(core::mem::replace(old, waker)),
            None => {
                stage.next += 1;
                stage.wakers.push((number, waker));
                None
            }
        };
        drop(stage);
        drop(old);
        self.number = Some(number);
        Poll::Pending
    }
}

impl<K> Drop for Over<K> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut stage = self.flight.stage.lock();
        let at = stage.wakers.iter().position(|(other, _)| *other == number);
        let waker = at.map(|at| stage.wakers.swap_remove(at));
        drop(stage);
        drop(waker);
    }
}

/// An end for a wait that does not need one.
const LONG: Duration = Duration::from_secs(3_600);

#[cfg(all(test, sundown_loom))]
mod loom_tests;
