//! One load at a time for each key, and one save: what waits for what (F8).
//!
//! Callers that miss the same key share a *flight*. It takes callers in until the backend is asked; who comes
//! later waits for the next one, which starts when this one has ended. So a caller waits for two loads at most,
//! and what it gets was asked for after it came. A flight whose leader is dropped is taken over by one of those
//! who wait for it.

use core::future::Future;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::sync::{Mutex as Queue, OnceCell, OwnedMutexGuard};

use super::key::Key;
use crate::platform::sync::{Arc, Mutex};

/// The calls of an instance that are under way, by key.
#[derive(Debug)]
pub(super) struct Flights<T> {
    keys: Mutex<HashMap<Key, Slot<T>>>,
}

#[derive(Debug)]
struct Slot<T> {
    /// Calls under way, which keep this slot.
    calls: usize,
    /// Takes callers in.
    open: Option<Arc<OnceCell<T>>>,
    loads: Arc<Queue<()>>,
    saves: Arc<Queue<()>>,
}

/// A call that is under way, until this is dropped.
struct Call<'f, T> {
    flights: &'f Flights<T>,
    key: Key,
}

/// The right to save a session, while the call is under way.
pub(super) struct Turn<'f, T> {
    _guard: OwnedMutexGuard<()>,
    _call: Call<'f, T>,
}

impl<T> Flights<T> {
    pub(super) fn new() -> Self {
        Self { keys: Mutex::new(HashMap::new()) }
    }

    fn begin(&self, key: &Key) -> Call<'_, T> {
        let mut keys = self.keys.lock();
        let slot = keys.entry(*key).or_insert_with(|| Slot {
            calls: 0,
            open: None,
            loads: Arc::default(),
            saves: Arc::default(),
        });
        slot.calls += 1;
        Call { flights: self, key: *key }
    }

    /// Waits until no other save of this key is under way here: each then finds what the one before it left,
    /// and none need be merged.
    pub(super) async fn turn(&self, key: &Key) -> Turn<'_, T> {
        let call = self.begin(key);
        let queue = call.with(|slot| slot.saves.clone());
        Turn { _guard: queue.lock_owned().await, _call: call }
    }
}

impl<T: Clone> Flights<T> {
    /// Gives what a load comes to that begins from now on; one caller makes it for all who wait.
    pub(super) async fn share<F>(&self, key: &Key, load: impl Fn() -> F) -> T
    where
        F: Future<Output = T>,
    {
        let call = self.begin(key);
        let (flight, queue) = call
            .with(|slot| (slot.open.get_or_insert_with(Arc::default).clone(), slot.loads.clone()));
        let outcome = flight.get_or_init(|| async {
            let _turn = queue.lock_owned().await;
            call.with(|slot| {
                let is_open = slot.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, &flight));
                if is_open {
                    slot.open = None;
                }
            });
            load().await
        });
        outcome.await.clone()
    }
}

impl<T> Call<'_, T> {
    fn with<R>(&self, f: impl FnOnce(&mut Slot<T>) -> R) -> R {
        let mut keys = self.flights.keys.lock();
        f(keys.get_mut(&self.key).expect("the call is under way"))
    }
}

impl<T> Drop for Call<'_, T> {
    fn drop(&mut self) {
        let mut keys = self.flights.keys.lock();
        let Entry::Occupied(mut slot) = keys.entry(self.key) else { return };
        slot.get_mut().calls -= 1;
        if slot.get().calls == 0 {
            slot.remove();
        }
        if keys.is_empty() {
            *keys = HashMap::new();
        }
    }
}
