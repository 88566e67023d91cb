//! A hundred thousand sessions expire in a service that nobody calls, and the heap comes back; with
//! their memory store it does not.

#[path = "shared/heap.rs"]
mod heap;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use heap::SESSIONS;
use sundown::tower_sessions_0_15::SundownStore;
use sundown::{Cache, ManualClock};
use time::OffsetDateTime;
use tower_sessions_0_15::session::{Id, Record};
use tower_sessions_0_15::{MemoryStore, SessionStore};

/// Logs everybody in; each session ends so long from now.
async fn fill(store: &impl SessionStore, left: Duration) -> Id {
    let before = heap::bytes();
    let mut last = Id::default();
    for n in 0..SESSIONS {
        let data = HashMap::from([("user".to_owned(), format!("user {n}").into())]);
        let expiry_date = OffsetDateTime::now_utc() + left;
        let mut record = Record { id: Id::default(), data, expiry_date };
        store.create(&mut record).await.unwrap();
        last = record.id;
    }
    heap::assert_filled(before);
    assert!(store.load(&last).await.unwrap().is_some(), "a session ended early");
    last
}

/// One test, for the heap is one.
#[tokio::test]
async fn the_heap_comes_back_from_sundown_and_not_from_their_memory_store() {
    let clock = ManualClock::new();
    let store =
        SundownStore::new(Cache::builder().max_entries(2 * SESSIONS).clock(clock.clone())).unwrap();
    let (before, hour) = (heap::bytes(), Duration::from_secs(3_600));
    fill(&store, hour).await;
    clock.advance(hour);
    let tick = || clock.advance(Duration::from_millis(10));
    assert!(heap::comes_back(before, heap::PATIENCE, tick), "sundown leaks");
    assert_eq!(store.cache().stats().expired, SESSIONS as u64);
    let (theirs, before) = (MemoryStore::default(), heap::bytes());
    // Each lives long enough to be seen alive, also on a slow machine.
    let left = Duration::from_secs(5);
    let last = fill(&theirs, left).await;
    thread::sleep(left);
    let is_back = heap::comes_back(before, Duration::from_secs(2), || ());
    assert!(theirs.load(&last).await.unwrap().is_none(), "it has not expired");
    assert!(!is_back, "their memory store frees what has expired now: drop this comparison");
}
