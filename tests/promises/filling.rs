//! Fills and loads: once for all who ask, and never over what came meanwhile.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use sundown::{Cache, Expiry, Fill, Lifetime, ManualClock, OnFull, Reaper, Reason};

type Few = Cache<u64, u64>;

fn few() -> Few {
    Cache::builder().max_entries(1_000).build().expect("it builds")
}

fn life() -> Lifetime {
    Lifetime::default()
}

fn found(value: u64) -> io::Result<Option<u64>> {
    Ok(Some(value))
}

#[test]
fn fill_is_superseded_by_what_changes_its_key() {
    type Change = fn(&Few);
    let changes: [(&str, Change); 10] = [
        ("retain", |cache| assert_eq!(cache.retain(|_, _| false), 0)),
        ("remove_if", |cache| assert!(!cache.remove_if(&1, |_, _| true))),
        ("insert", |cache| cache.insert(1, 9).expect("it fits")),
        ("insert and discard", |cache| {
            cache.insert(1, 9).expect("it fits");
            cache.discard(&1);
        }),
        ("discard of nothing", |cache| assert!(!cache.discard(&1))),
        ("remove", |cache| assert_eq!(cache.remove(&1), None)),
        ("clear", Cache::clear),
        ("insert_if_absent", |cache| cache.insert_if_absent(1, 9, life()).expect("it is")),
        ("another fill", |cache| {
            cache.begin_fill(&1).complete(9, life()).expect("it comes first");
        }),
        ("close", Cache::close),
    ];
    for (name, change) in changes {
        let cache = few();
        let fill = cache.begin_fill(&1);
        change(&cache);
        let before = cache.peek(&1);
        let superseded = fill.complete(7, life()).expect_err(name);
        let reason = (name == "close").then_some(Reason::Closed);
        assert_eq!((superseded.reason(), superseded.into_inner()), (reason, 7), "{name}");
        assert_eq!(cache.peek(&1), before, "{name}");
        cache.audit().expect("it is whole");
    }
}

#[test]
fn fill_is_not_superseded_by_what_leaves_its_key_alone() {
    let clock = ManualClock::new();
    let builder = Cache::builder().max_entries(2).clock(clock.clone()).reaper(Reaper::Manual);
    let cache: Few = builder.shards(1).build().expect("it builds");
    cache.insert_for(1, 1, life().live(Duration::from_secs(1))).expect("it fits");
    let (fill, given_up) = (cache.begin_fill(&1), cache.begin_fill(&1));
    drop(given_up);
    cache.insert(2, 2).expect("it fits");
    assert!(cache.discard(&2) && !cache.discard(&3));
    clock.advance(Duration::from_secs(1));
    cache.reap();
    (4..8).for_each(|key| cache.insert(key, key).expect("others are evicted"));
    // Its lifetime begins when it is complete.
    assert_eq!(fill.complete(7, life().live(Duration::from_secs(5))).expect("it is in"), 7);
    assert_eq!(cache.expires_in(&1), Some(Expiry::In(Duration::from_secs(5))));
    let text = format!("{:?}", cache.begin_fill(&1));
    assert!(!text.contains('7'), "{text}");
}

#[test]
fn fill_that_has_no_room_says_so_and_a_load_serves_it_all_the_same() {
    let cache: Few = Cache::builder()
        .max_entries(1)
        .max_weight(10)
        .weigher(|_, value| *value)
        .on_full(OnFull::Reject)
        .build()
        .expect("it builds");
    let heavy = cache.begin_fill(&1).complete(11, life()).expect_err("too heavy");
    assert_eq!((heavy.reason(), heavy.into_inner()), (Some(Reason::TooHeavy), 11));
    cache.insert(2, 2).expect("it fits");
    let full = cache.begin_fill(&1).complete(7, life()).expect_err("full");
    assert_eq!(full.reason(), Some(Reason::Full));
    let loaded = cache.get_or_try_insert_with(&1, life(), || found(7)).expect("it loads");
    assert_eq!((loaded, cache.peek(&1)), (Some(7), None));
    assert_eq!((cache.stats().rejections.full, cache.stats().rejections.too_heavy), (2, 1));
}

#[test]
fn a_thousand_who_ask_load_once() {
    let (cache, loads) = (few(), AtomicUsize::new(0));
    let start = Barrier::new(1_000);
    thread::scope(|scope| {
        for _ in 0..1_000 {
            thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, || {
                    start.wait();
                    let load = || {
                        loads.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(50));
                        found(7)
                    };
                    let loaded = cache.get_or_try_insert_with(&1, life(), load);
                    assert_eq!(loaded.expect("it loads"), Some(7));
                })
                .expect("it starts");
        }
    });
    assert_eq!(loads.into_inner(), 1);
}

#[test]
fn loads_of_different_keys_run_side_by_side() {
    let (cache, inside) = (few(), Barrier::new(8));
    thread::scope(|scope| {
        for key in 0..8 {
            let (cache, inside) = (&cache, &inside);
            scope.spawn(move || {
                let load = || {
                    inside.wait();
                    found(key)
                };
                let loaded = cache.get_or_try_insert_with(&key, life(), load).expect("it loads");
                assert_eq!(loaded, Some(key));
            });
        }
    });
}

#[test]
fn failures_are_their_own_callers_and_the_next_one_loads() {
    let (cache, loads) = (few(), AtomicUsize::new(0));
    let start = Barrier::new(8);
    let outcomes: Vec<Result<Option<u64>, String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let load = || {
                        let number = loads.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(10));
                        match number {
                            0 => panic!("a fault of the loader's"),
                            1 | 2 => Err(format!("number {number}")),
                            _ => Ok(Some(7)),
                        }
                    };
                    // Two types of errors on one key.
                    cache.get_or_try_insert_with(&1, life(), load)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    assert_eq!(outcomes.len(), 7, "one has panicked");
    let errors = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!((errors, loads.into_inner()), (2, 4));
    assert!(outcomes.iter().flatten().all(|value| *value == Some(7)));
}

#[test]
fn nothing_is_not_kept_and_is_loaded_once_for_those_who_wait() {
    let (cache, loads) = (few(), AtomicUsize::new(0));
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let load = || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(50));
                    io::Result::Ok(None)
                };
                assert_eq!(cache.get_or_try_insert_with(&1, life(), load).expect("it loads"), None);
            });
        }
    });
    let first = loads.into_inner();
    assert!(first < 8, "{first}");
    let loaded = cache.get_or_try_insert_with(&1, life(), || found(7)).expect("it loads");
    assert_eq!((loaded, cache.len()), (Some(7), 1));
}

/// A row is written, and the key invalidated, while the one before is looked for in vain.
#[test]
fn nothing_is_not_told_to_who_asks_after_a_change() {
    let cache = few();
    let (is_inside, may_end) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            let load = || {
                is_inside.wait();
                may_end.wait();
                io::Result::Ok(None)
            };
            cache.get_or_try_insert_with(&1, life(), load).expect("it loads")
        });
        is_inside.wait();
        assert!(!cache.discard(&1));
        let later = scope
            .spawn(|| cache.get_or_try_insert_with(&1, life(), || found(7)).expect("it loads"));
        // So that it waits, mostly; what it is told must be right in any case.
        thread::sleep(Duration::from_millis(20));
        may_end.wait();
        assert_eq!(leader.join().expect("it ends"), None);
        assert_eq!(later.join().expect("it ends"), Some(7));
    });
}

#[test]
fn what_came_during_the_load_counts() {
    let cache = few();
    let insert = || {
        cache.insert(1, 9).expect("it fits");
        found(7)
    };
    assert_eq!(cache.get_or_try_insert_with(&1, life(), insert).expect("it loads"), Some(9));
    let discard = || {
        assert!(!cache.discard(&2));
        found(7)
    };
    assert_eq!(cache.get_or_try_insert_with(&2, life(), discard).expect("it loads"), None);
    assert_eq!(cache.len(), 1);
    let again = || cache.get_or_try_insert_with(&3, life(), || found(5));
    assert_eq!(cache.get_or_try_insert_with(&3, life(), again).expect("it loads"), Some(5));
}

/// A future that is pending so many times.
struct Pause(usize);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn cancelled_leaders_hand_over_to_those_who_wait() {
    let (cache, loads) = (few(), Arc::new(AtomicUsize::new(0)));
    let ask = || {
        let (cache, loads) = (cache.clone(), loads.clone());
        Box::pin(async move {
            let load = async {
                loads.fetch_add(1, Ordering::SeqCst);
                Pause(1).await;
                found(7)
            };
            cache.get_or_try_insert_async(&1, life(), load).await.expect("it loads")
        })
    };
    let mut all: Vec<_> = (0..51).map(|_| ask()).collect();
    for _ in 0..50 {
        let mut leader = all.remove(0);
        assert!(poll(&mut leader).is_pending());
        assert!(all.iter_mut().all(|other| poll(other).is_pending()), "one leads");
        drop(leader);
        // Whoever comes first leads next.
    }
    let mut last = all.remove(0);
    while poll(&mut last).is_pending() {}
    assert_eq!(cache.get(&1), Some(7));
    assert!(loads.load(Ordering::SeqCst) <= 51);
}

#[test]
fn tasks_wait_without_a_thread_and_are_woken() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("it starts");
    let (cache, loads) = (few(), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (cache, loads) = (cache.clone(), loads.clone());
            runtime.spawn(async move {
                let load = async {
                    loads.fetch_add(1, Ordering::SeqCst);
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    found(7)
                };
                cache.get_or_try_insert_async(&1, life(), load).await.expect("it loads")
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            assert_eq!(task.await.expect("it ends"), Some(7));
        }
    });
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[test]
fn a_fill_may_be_sent_to_where_it_is_completed() {
    let cache: Cache<String, u64> = Cache::builder().max_entries(10).build().expect("it builds");
    let fill: Fill<String, u64> = cache.begin_fill("id");
    let complete = move || fill.complete(7, life()).expect("it is in");
    assert_eq!(thread::spawn(complete).join().expect("it ends"), 7);
    assert_eq!(cache.get("id"), Some(7));
}
