//! A hundred thousand sessions expire in a service that nobody calls, and the heap comes back.
//! (actix-session has no memory store to compare with.)

#[path = "../../tower/tests/shared/heap.rs"]
mod heap;

use std::collections::HashMap;
use std::time::Duration;

use actix_session::storage::SessionStore;
use sundown::actix_session_0_11::SundownActixStore;
use sundown::{Cache, ManualClock};

#[actix_web::test]
async fn the_heap_comes_back() {
    let clock = ManualClock::new();
    let builder = Cache::builder().max_entries(2 * heap::SESSIONS).clock(clock.clone());
    let store = SundownActixStore::new(builder).unwrap();
    let before = heap::bytes();
    for n in 0..heap::SESSIONS {
        let state = HashMap::from([("user".to_owned(), format!("\"user {n}\""))]);
        store.save(state, &time::Duration::HOUR).await.unwrap();
    }
    heap::assert_filled(before);
    assert_eq!(store.cache().len(), heap::SESSIONS);
    clock.advance(Duration::from_secs(3_600));
    let tick = || clock.advance(Duration::from_millis(10));
    assert!(heap::comes_back(before, heap::PATIENCE, tick), "sundown leaks");
    assert_eq!(store.cache().stats().expired, heap::SESSIONS as u64);
}
