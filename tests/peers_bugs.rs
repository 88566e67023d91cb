//! Faults that users of other caches and maps have met, each as a test of this one.
//!
//! Only those are here that no other test shows; `tests/README.md` lists all of them, with the test
//! that would fail. The comment above a test names the project and the issue.

#![cfg(not(sundown_loom))]

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Barrier, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, Lifetime, ManualClock, Reaper, WeakCache};

/// After this, something will never happen. Where it is known that something does not, for a bug was
/// planted, nobody need wait so long.
fn patience() -> Duration {
    let seconds = std::env::var("SUNDOWN_PATIENCE_SECONDS").ok();
    let seconds = seconds.map_or(60, |text| text.parse().expect("it is a number of seconds"));
    Duration::from_secs(seconds)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn live(for_ms: u64) -> Lifetime {
    Lifetime::default().live(ms(for_ms))
}

fn eventually(what: &str, happened: impl Fn() -> bool) {
    let (start, patience) = (Instant::now(), patience());
    while !happened() {
        assert!(start.elapsed() < patience, "this never happened: {what}");
        thread::yield_now();
    }
}

/// kubewarden/adm-controller 1950: a cache that looks at a deadline only when the key is asked for
/// again grew to 22 GB, for its keys never came again. Memory must follow the lifetime.
#[test]
fn keys_that_never_come_again_do_not_pile_up() {
    let (clock, token) = (ManualClock::new(), Arc::new(()));
    let cache = Cache::<u64, Arc<()>>::builder()
        .max_entries(1_000_000)
        .time_to_live(ms(100))
        .clock(clock.clone())
        .build()
        .expect("it builds");
    for round in 0..500_u64 {
        for key in 0..20 {
            cache.insert(round * 20 + key, Arc::clone(&token)).expect("there is room");
        }
        clock.advance(ms(10));
        // Ten rounds live, and one is on its way out.
        eventually("the oldest are gone", || Arc::strong_count(&token) <= 1 + 11 * 20);
    }
    assert!(cache.stats().overhead_bytes < 500_000, "{:?}", cache.stats());
}

/// crossbeam 566, moka 125 and 169: garbage waits for every guard in the process, also for one that
/// another crate forgot. It is that crate's default collector; ours is our own.
#[test]
fn a_guard_that_another_crate_forgets_keeps_no_session() {
    let token = Arc::new(());
    let (pinned, is_pinned) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let forgetful = thread::spawn(move || {
        let _guard = crossbeam_epoch::pin();
        pinned.send(()).expect("somebody waits");
        // Until the test is over, however it ends.
        let _ = is_released.recv();
    });
    is_pinned.recv_timeout(patience()).expect("it pins");
    let _guard = crossbeam_epoch::pin();
    for reaper in [Reaper::Manual, Reaper::Thread] {
        let cache = Cache::<u64, Arc<()>>::builder().max_entries(1_000).reaper(reaper);
        let cache = cache.build().expect("it builds");
        for key in 0..1_000 {
            cache.insert(key, Arc::clone(&token)).expect("there is room");
        }
        cache.retain(|key, _| key % 2 == 0);
        eventually("what was removed is dropped", || {
            if reaper == Reaper::Manual {
                cache.reap();
            }
            Arc::strong_count(&token) == 501
        });
        drop(cache);
        assert_eq!(Arc::strong_count(&token), 1, "nothing outlives the cache");
    }
    drop(release);
    forgetful.join().expect("it ends");
}

/// scc 150 and 198, papaya 31: what a thread had removed stayed in that thread's own list until it
/// came back or ended. Here it does neither, and removes too little to fill any batch, also where
/// nothing is left to shrink.
#[test]
fn a_thread_that_removed_and_never_came_back_keeps_no_session() {
    for others in [0, 10, 30, 60, 90] {
        let token = Arc::new(());
        let cache = Cache::<u64, Option<Arc<()>>>::builder().max_entries(100);
        let cache = cache.shards(1).build().expect("it builds");
        for key in 1..=others {
            cache.insert(key, None).expect("there is room");
        }
        cache.insert(0, Some(Arc::clone(&token))).expect("there is room");
        // Old tables, which growth has left behind, bring the reaper; he has been here for them.
        thread::sleep(Duration::from_millis(50));
        let (removed, is_removed) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        let remover = {
            let cache = cache.clone();
            thread::spawn(move || {
                assert!(cache.discard(&0));
                removed.send(()).expect("somebody waits");
                let _ = is_released.recv();
            })
        };
        is_removed.recv_timeout(patience()).expect("it removes");
        eventually("it is dropped without another call", || Arc::strong_count(&token) == 1);
        drop(release);
        remover.join().expect("it ends");
    }
}

type Verb = fn(&Cache<u64, u64>, u64, &dyn Fn());

/// Each verb that runs a closure, on one key.
const VERBS: [(&str, Verb); 5] = [
    ("read", |cache, key, f| {
        cache.read(&key, |_| f());
    }),
    ("update", |cache, key, f| {
        drop(cache.update(&key, |value| {
            f();
            value + 1
        }));
    }),
    ("remove_if", |cache, key, f| {
        cache.remove_if(&key, |_, _| {
            f();
            false
        });
    }),
    ("retain", |cache, key, f| {
        cache.retain(|&other, _| {
            if other == key {
                f();
            }
            true
        });
    }),
    ("for_each", |cache, key, f| {
        cache.for_each(|&other, _| {
            if other == key {
                f();
            }
        });
    }),
];

/// dashmap 369 (and 74, 233 within one thread), caffeine 712, 960 and 1489: two threads, each inside
/// a closure on one key, write the other's key. With a lock around the closure both wait for ever.
#[test]
fn closures_that_write_each_others_keys_do_not_deadlock() {
    for (verb, call) in VERBS {
        for shards in [1, 16] {
            let cache =
                Cache::builder().max_entries(100).shards(shards).build().expect("it builds");
            for key in 0..2 {
                cache.insert(key, 0).expect("there is room");
            }
            let (meet, (done, is_done)) = (Arc::new(Barrier::new(2)), mpsc::channel());
            for key in 0..2_u64 {
                let (cache, meet, done) = (cache.clone(), Arc::clone(&meet), done.clone());
                thread::spawn(move || {
                    let is_first = Mutex::new(true);
                    call(&cache, key, &|| {
                        // An update that lost its race runs its closure again, but not this.
                        let mut is_first = is_first.lock().expect("nobody panics here");
                        if std::mem::take(&mut *is_first) {
                            meet.wait();
                            cache.insert(1 - key, 7).expect("it replaces");
                            let _ = cache.update(&(1 - key), |value| value + 1);
                            cache.touch(&key);
                        }
                    });
                    done.send(()).expect("somebody waits");
                });
            }
            for _ in 0..2 {
                let outcome = is_done.recv_timeout(patience());
                outcome.unwrap_or_else(|_| panic!("deadlock in {verb} over {shards} shards"));
            }
            assert_eq!(cache.len(), 2);
            cache.audit().expect("the cache is whole");
        }
    }
}

/// moka 309: a call that was cancelled midway left a session that no policy knew of, so that it was
/// never evicted. What cuts a call short here is a panic: of the closure, the weigher, the clone.
#[test]
fn what_a_call_cut_short_leaves_can_be_evicted() {
    #[derive(PartialEq, Eq, Hash)]
    struct Key(u64);
    impl Clone for Key {
        fn clone(&self) -> Self {
            resume_unwind(Box::new("planted"))
        }
    }
    let (clock, token) = (ManualClock::new(), Arc::new(()));
    let cache = Cache::<Key, (u64, Arc<()>)>::builder()
        .max_entries(10)
        .max_weight(1_000)
        .weigher(|_, &(weight, _)| {
            if weight == 13 {
                resume_unwind(Box::new("planted"));
            }
            weight
        })
        .clock(clock.clone())
        .reaper(Reaper::Manual)
        .build()
        .expect("it builds");
    let value = |weight| (weight, Arc::clone(&token));
    for round in 0..100 {
        clock.advance(ms(1));
        assert!(cache.insert(Key(round), value(1)).is_ok());
        let cut: [&dyn Fn(); 3] = [
            &|| drop(cache.insert(Key(round), value(13))),
            &|| drop(cache.insert(Key(1_000 + round), value(13))),
            // The key's clone panics before the closure is called.
            &|| drop(cache.update(&Key(round), |_| value(1))),
        ];
        for call in cut {
            assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "it is cut short");
        }
        assert!(cache.contains_key(&Key(round)) && !cache.contains_key(&Key(1_000 + round)));
    }
    for newcomer in 0..10 {
        clock.advance(ms(1));
        assert!(cache.insert(Key(2_000 + newcomer), value(1)).is_ok());
    }
    assert!((0..100).all(|key| !cache.contains_key(&Key(key))), "all others were evicted");
    assert_eq!((cache.len(), cache.weight(), cache.stats().evicted), (10, 10, 100));
    drop(cache);
    assert_eq!(Arc::strong_count(&token), 1);
}

/// Which sessions a user has, as an application would keep it beside the cache.
#[derive(Default)]
struct Index(Mutex<BTreeMap<u32, BTreeSet<u64>>>);

impl Index {
    fn with<R>(&self, f: impl FnOnce(&mut BTreeMap<u32, BTreeSet<u64>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, user: u32, serial: u64) {
        self.with(|users| users.entry(user).or_default().insert(serial));
    }

    /// Called by the listener; each session must be in there, once.
    fn remove(&self, user: u32, serial: u64) {
        self.with(|users| {
            let sessions = users.get_mut(&user).expect("the user has sessions");
            assert!(sessions.remove(&serial), "session {serial} of user {user} went twice");
            if sessions.is_empty() {
                users.remove(&user);
            }
        });
    }

    fn len(&self) -> usize {
        self.with(|users| users.values().map(BTreeSet::len).sum())
    }
}

/// spring-session 2166 and 2230: the index from users to sessions kept what had expired or been
/// renamed. One that goes by the listener's events ends with exactly what lives.
#[test]
fn an_index_kept_by_the_listener_holds_exactly_what_lives() {
    let (clock, index) = (ManualClock::new(), Arc::new(Index::default()));
    let kept = Arc::clone(&index);
    let cache = Cache::<u64, (u32, u64)>::builder()
        .max_entries(50)
        .time_to_idle(ms(60))
        .reaper(Reaper::Manual)
        .clock(clock.clone())
        .on_removal(move |_, (user, serial), _| kept.remove(user, serial))
        .build()
        .expect("it builds");
    let settle = || {
        eventually("garbage is gone", || {
            cache.reap();
            cache.stats().retired.count == 0
        });
        assert_eq!(index.len(), cache.len());
        cache.for_each(|_, (user, serial)| {
            assert!(index.with(|users| users[user].contains(serial)), "{serial} is missing");
        });
    };
    let mut random = 1_u64;
    for serial in 0..20_000_u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (key, user) = (random % 100, (random >> 8) as u32 % 10);
        match random >> 60 {
            0..=8 => {
                index.add(user, serial);
                let lifetime = live(random >> 16 & 127);
                cache.insert_for(key, (user, serial), lifetime).expect("somebody is evicted");
            }
            9 | 10 => {
                // The session goes to another user, as after a log-in.
                let mut is_added = false;
                let updated = cache.update(&key, |_| {
                    assert!(!std::mem::replace(&mut is_added, true), "nobody is in the way");
                    index.add(user, serial);
                    (user, serial)
                });
                assert_eq!(updated.expect("it weighs the same"), is_added);
            }
            11 => drop(cache.discard(&key)),
            12 => drop(cache.touch(&key)),
            13 => clock.advance(ms(random >> 32 & 15)),
            14 if serial % 50 == 0 => cache.clear(),
            14 => drop(cache.retain(|_, &(other, _)| other != user)),
            _ => settle(),
        }
    }
    settle();
    let weak: WeakCache<_, _> = cache.downgrade();
    drop(cache);
    assert!(weak.upgrade().is_none());
    assert_eq!(index.len(), 0, "the drop of the cache tells of the rest");
    assert_eq!(Arc::strong_count(&index), 1, "and lets go of the listener");
}
