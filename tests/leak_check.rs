//! Five leaks as people write them, each found by the check; and what it finds in healthy tests:
//! nothing.
//!
//! `cargo test --features testing --test leak_check`

#![cfg(all(feature = "testing", not(sundown_loom)))]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use sundown::testing::{LeakCheck, Leaks};
use sundown::{Builder, Cache, Lifetime, ManualClock, Reaper, Tracked};

const SOON: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_secs(20);
/// Longer than any test: the check tells of handles however short ago their sessions left.
const AFTER: Duration = Duration::from_secs(3_600);

struct Session {
    next: Mutex<Option<Tracked<Session>>>,
}

type Sessions = Cache<u32, Tracked<Session>>;

fn session() -> Tracked<Session> {
    Tracked::new(Session { next: Mutex::new(None) })
}

fn builder() -> Builder<u32, Tracked<Session>> {
    Cache::builder().max_entries(100).track_overstays(AFTER)
}

fn one() -> (Sessions, LeakCheck) {
    let cache = builder().build().expect("the settings are valid");
    cache.insert(1, session()).expect("there is room");
    let check = LeakCheck::of(&cache);
    (cache, check)
}

#[track_caller]
fn found(check: &LeakCheck) -> Leaks {
    check.freed_within(SOON).expect_err("something is left")
}

#[track_caller]
fn names(leaks: &Leaks, line: u32) {
    let report = leaks.to_string();
    assert!(report.contains(&format!("{}:{line}:", file!())), "{report}");
}

#[test]
fn a_handle_in_a_map_is_found_by_its_line() {
    let (cache, check) = one();
    let mut online = HashMap::new();
    online.insert("ada", cache.get(&1));
    let line = line!() - 1;
    cache.discard(&1);
    let leaks = found(&check);
    assert_eq!((leaks.linked, leaks.overstays.count), (0, 1), "{leaks}");
    names(&leaks, line);
    online.clear();
    check.assert_all_freed(LATEST);
}

#[test]
fn a_handle_in_a_task_is_found_by_its_line() {
    let (cache, check) = one();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (message, never) = tokio::sync::oneshot::channel::<()>();
    let held = cache.get(&1).unwrap();
    let line = line!() - 1;
    let task = runtime.spawn(async move {
        let _ = never.await;
        drop(held);
    });
    cache.clear();
    let leaks = runtime.block_on(check.all_freed_within(SOON)).unwrap_err();
    names(&leaks, line);
    drop(message);
    runtime.block_on(task).unwrap();
    runtime.block_on(check.all_freed_within(LATEST)).unwrap();
}

#[test]
fn a_handle_in_a_listeners_closure_is_found_by_the_line_that_sets_the_listener() {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let keeper = ended.clone();
    let cache = builder().on_removal(move |_, session, _| keeper.lock().unwrap().push(session));
    let line = line!() - 1;
    let cache = cache.build().unwrap();
    let check = LeakCheck::of(&cache);
    cache.insert(1, session()).unwrap();
    // Also if the cache is gone.
    drop(cache);
    names(&found(&check), line);
    ended.lock().unwrap().clear();
    check.assert_all_freed(LATEST);
}

#[test]
fn a_cycle_is_found_by_the_line_that_closed_it() {
    let (cache, check) = one();
    let held = cache.get(&1).unwrap();
    *held.next.lock().unwrap() = Some(held.clone());
    let line = line!() - 1;
    drop(held);
    cache.discard(&1);
    let leaks = found(&check);
    names(&leaks, line);
    assert_eq!(leaks.overstays.holders.len(), 1, "{leaks}");
}

#[test]
fn a_closure_that_never_ends_is_found() {
    let (cache, check) = one();
    let (message, never) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let reader = {
        let cache = cache.clone();
        thread::spawn(move || {
            cache.read(&1, |_| {
                entered.send(()).unwrap();
                let _ = never.recv();
            })
        })
    };
    inside.recv().unwrap();
    cache.discard(&1);
    let leaks = found(&check);
    assert_eq!((leaks.retired.count, leaks.inside_closures), (1, 1), "{leaks}");
    assert!(leaks.to_string().contains("a closure of read"), "{leaks}");
    drop(message);
    reader.join().unwrap();
    check.assert_all_freed(LATEST);
}

#[test]
fn a_listener_that_is_stuck_is_found_whoever_reaps() {
    for reaper in [Reaper::Thread, Reaper::Manual] {
        let (message, never) = mpsc::channel::<()>();
        let never = Mutex::new(never);
        let wait = move |_, _, _| _ = never.lock().unwrap().recv();
        let cache = builder().on_removal(wait).reaper(reaper).build().unwrap();
        let check = LeakCheck::of(&cache);
        cache.insert(1, session()).unwrap();
        cache.discard(&1);
        let leaks = found(&check);
        assert!(leaks.is_handing_over && leaks.retired.count == 1, "{leaks}");
        assert!(leaks.to_string().contains("a listener or a destructor"), "{leaks}");
        drop(message);
        check.assert_all_freed(LATEST);
    }
}

#[test]
fn a_cache_that_its_own_listener_keeps_alive_is_found_with_its_sessions_linked() {
    let own = Arc::new(Mutex::new(None));
    let keeper = own.clone();
    let cache = builder().on_removal(move |_, _, _| drop(keeper.lock())).build().unwrap();
    *own.lock().unwrap() = Some(cache.clone());
    cache.insert(1, session()).unwrap();
    let check = LeakCheck::of(&cache);
    drop(cache);
    let leaks = found(&check);
    assert_eq!((leaks.linked, leaks.overstays.count), (1, 0), "{leaks}");
    let last = own.lock().unwrap().take();
    drop(last);
    check.assert_all_freed(LATEST);
}

#[test]
fn nothing_is_found_where_nothing_is_left() {
    let clock = ManualClock::new();
    let cache = builder().clock(clock.clone()).reaper(Reaper::Manual).build().unwrap();
    let check = LeakCheck::of(&cache);
    check.assert_all_freed(Duration::ZERO);
    let minute = Lifetime::default().live(Duration::from_secs(60));
    cache.insert_for(1, session(), minute).unwrap();
    assert_eq!(found(&check).linked, 1);
    clock.advance(Duration::from_secs(60));
    check.assert_all_freed(LATEST);
    drop(cache);
    check.assert_all_freed(Duration::ZERO);
}

#[test]
fn an_arc_is_found_without_a_line_and_only_where_it_is_tracked() {
    let tracking = Cache::builder().max_entries(10).track_overstays(AFTER).build().unwrap();
    let other = Cache::builder().max_entries(10).build().unwrap();
    let held = Arc::new(7);
    for cache in [&tracking, &other] {
        cache.insert(1, held.clone()).unwrap();
        cache.clear();
    }
    let leaks = found(&LeakCheck::of(&tracking));
    assert!(leaks.to_string().contains("keep sessions as sundown::Tracked"), "{leaks}");
    LeakCheck::of(&other).assert_all_freed(LATEST);
    other.insert(1, held.clone()).unwrap();
    let leaks = found(&LeakCheck::of(&other));
    assert!(leaks.to_string().contains("are not looked for"), "{leaks}");
}

#[test]
#[should_panic(expected = "- 1 linked")]
fn the_assertion_panics_with_the_report() {
    let (_cache, check) = one();
    check.assert_all_freed(SOON);
}

/// What is not put in is no overstay, whichever way it was not.
#[test]
fn what_was_loaded_in_vain_is_no_overstay() {
    let cache = Cache::builder()
        .max_entries(10)
        .track_overstays(Duration::ZERO)
        .build()
        .expect("it builds");
    let check = LeakCheck::of(&cache);
    let value = Arc::new("ada");
    let fill = cache.begin_fill("id");
    assert!(!cache.discard("id"));
    fill.complete(value.clone(), Lifetime::default()).expect_err("it comes too late");
    assert!(cache.admits(&"id".to_owned(), &value));
    check.assert_all_freed(Duration::from_secs(10));
    drop(value);
}
