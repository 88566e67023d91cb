//! What one slow listener, stuck writer or long queue must not do to everybody else.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use sundown::{Cache, Lifetime, ManualClock, Reaper, WeakCache};

use super::witness::{Lateness, Raise, SOON, alone, control, eventually, is_on_time, patience};

const MS: Duration = Duration::from_millis(1);

fn live(lifetime: Duration) -> Lifetime {
    Lifetime::default().live(lifetime)
}

thread_local! {
    /// What this thread's comparisons of keys wait for.
    static WAITS_FOR: Cell<Option<&'static Barrier>> = const { Cell::new(None) };
}

/// Where a writer is stopped inside `Eq`, and so inside its shard's lock.
struct Barrier {
    is_reached: AtomicBool,
    is_open: AtomicBool,
}

impl Barrier {
    const fn new() -> Self {
        Self { is_reached: AtomicBool::new(false), is_open: AtomicBool::new(false) }
    }

    /// Starts a writer that is stuck until the barrier opens, and waits until it is.
    fn stop_a_writer<V: Send + Sync + 'static>(
        &'static self,
        cache: Cache<Key, V>,
        key: Key,
        value: V,
    ) {
        thread::spawn(move || {
            WAITS_FOR.set(Some(self));
            let _ = cache.insert_if_absent(key, value, Lifetime::default());
        });
        eventually("the writer is inside Eq", || self.is_reached.load(Ordering::SeqCst));
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        if let Some(barrier) = WAITS_FOR.get() {
            barrier.is_reached.store(true, Ordering::SeqCst);
            while !barrier.is_open.load(Ordering::SeqCst) {
                thread::sleep(MS);
            }
        }
        self.0 == other.0
    }
}

impl Eq for Key {}

/// Does something when it is dropped.
struct Trap(Option<Box<dyn Fn() + Send + Sync>>);

impl Drop for Trap {
    fn drop(&mut self) {
        if let Some(spring) = &self.0 {
            spring();
        }
    }
}

/// A thousand sessions of a key came and went while a closure held the first one; their events wait
/// behind its own. Nobody calls when it ends.
#[test]
fn all_that_waited_behind_a_held_session_are_told_of() {
    let _alone = alone();
    const SESSIONS: u64 = 1_000;
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(10)
        .on_removal(move |_, number, _| log.lock().expect("nobody panics").push(number))
        .build()
        .expect("it builds");
    cache.insert(1, 0).expect("it fits");
    cache.read(&1, |_| {
        for number in 1..=SESSIONS {
            cache.insert(1, number).expect("it fits");
        }
        // The reaper has put all but the last one into the queue.
        thread::sleep(100 * MS);
        assert_eq!(cache.stats().retired.count, SESSIONS);
    });
    eventually("all are told of", || told.lock().expect("nobody panics").len() as u64 == SESSIONS);
    assert!(told.lock().expect("nobody panics").is_sorted(), "in the order of their removals");
}

/// One key is replaced faster than its events can be delivered. The other shards have their turn all
/// the same, whichever shard that key is in.
#[test]
fn a_shard_with_garbage_for_ever_leaves_time_for_the_others() {
    let _alone = alone();
    const VICTIMS: u64 = 40;
    for hot in 0..8 {
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        let cache: Cache<u64, ()> = Cache::builder()
            .max_entries(1_000)
            .shards(8)
            .on_removal(move |key, (), _| {
                if key == hot {
                    thread::sleep(3 * MS);
                } else {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            })
            .build()
            .expect("it builds");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _end = Raise(&stop);
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    cache.insert(hot, ()).expect("it fits");
                    thread::sleep(MS / 4);
                }
            });
            thread::sleep(50 * MS);
            for victim in 1_000..1_000 + VICTIMS {
                cache.insert(victim, ()).expect("it fits");
                assert!(cache.discard(&victim));
            }
            // Those in the same shard have their turn after what went before them.
            eventually("most are told of", || told.load(Ordering::SeqCst) > VICTIMS / 2);
        });
    }
}

/// A drain is looked up from at each session when others come due, not only after a whole bite.
#[test]
fn a_slow_listener_does_not_keep_the_dead_linked() {
    let _alone = alone();
    const SLOW: u64 = 100;
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    let cache: Cache<u64, ()> = Cache::builder()
        .max_entries(1_000)
        .shards(1)
        .on_removal(move |_, (), _| {
            thread::sleep(20 * MS);
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .expect("it builds");
    for key in 0..SLOW {
        cache.insert(key, ()).expect("it fits");
    }
    cache.insert_for(SLOW, (), live(150 * MS)).expect("it fits");
    // Fewer than make a caller help.
    for key in 0..SLOW {
        assert!(cache.discard(&key));
    }
    eventually("it is unlinked", || cache.stats().expired == 1);
    let told = told.load(Ordering::SeqCst);
    assert!(told < SLOW, "it had to wait for {told} calls of the listener");
}

/// A cache of one shard whose listener takes ten milliseconds until it is told to be quick.
struct Slow {
    cache: Cache<u64, u64>,
    is_quick: Arc<AtomicBool>,
}

impl Slow {
    fn with_sessions(sessions: u64) -> Self {
        let is_quick = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&is_quick);
        let listener = move |_, _, _| {
            if !flag.load(Ordering::SeqCst) {
                thread::sleep(10 * MS);
            }
        };
        let builder = Cache::builder().max_entries(10_000).shards(1).on_removal(listener);
        let cache = builder.build().expect("it builds");
        (0..sessions).for_each(|key| cache.insert(key, 0).expect("it fits"));
        Self { cache, is_quick }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.is_quick.store(true, Ordering::SeqCst);
    }
}

/// How long the longest of some steps took, beside the longest delay of a thread that only naps.
fn longest(steps: impl FnOnce(&mut dyn FnMut(&dyn Fn()))) -> Lateness {
    let is_over = AtomicBool::new(false);
    let mut observed = Duration::ZERO;
    thread::scope(|scope| {
        let napper = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            while !is_over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                thread::sleep(MS);
                worst = worst.max(begun.elapsed() - MS);
            }
            worst
        });
        let end = Raise(&is_over);
        steps(&mut |step| {
            let begun = Instant::now();
            step();
            observed = observed.max(begun.elapsed());
        });
        drop(end);
        Lateness { observed, control: napper.join().expect("it only naps") }
    })
}

/// A caller pays for about a millisecond of the listener, or one call of it: never for a batch.
#[test]
fn a_removal_waits_for_no_batch_of_slow_listeners() {
    let _alone = alone();
    is_on_time("a removal", 60 * MS, || {
        let slow = Slow::with_sessions(4_000);
        longest(|measure| (0..4_000).for_each(|key| measure(&|| assert!(slow.cache.discard(&key)))))
    });
}

/// What goes over all sessions leaves their events to the reaper, and so does who inserts beside it.
#[test]
fn clearing_waits_for_no_slow_listener() {
    let _alone = alone();
    is_on_time("clear, retain and an insertion", 60 * MS, || {
        let slow = Slow::with_sessions(2_000);
        longest(|measure| {
            measure(&|| assert_eq!(slow.cache.retain(|key, _| key % 2 == 0), 1_000));
            measure(&|| slow.cache.clear());
            (0..2_000).for_each(|key| measure(&|| slow.cache.insert(key, 0).expect("it fits")));
        })
    });
}

/// Nor does it run any, though there is no reaper that is at it already.
#[test]
fn clearing_runs_no_listener() {
    let _alone = alone();
    const SESSIONS: u64 = 2_000;
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    let cache = Cache::builder()
        .max_entries(10_000)
        .shards(1)
        .reaper(Reaper::Manual)
        .on_removal(move |_, _, _| _ = count.fetch_add(1, Ordering::SeqCst))
        .build()
        .expect("it builds");
    (0..SESSIONS).for_each(|key| cache.insert(key, ()).expect("it fits"));
    assert_eq!(cache.retain(|key, ()| key % 2 == 0), 1_000);
    cache.clear();
    assert_eq!(told.load(Ordering::SeqCst), 0);
    eventually("all are told of", || {
        cache.reap();
        told.load(Ordering::SeqCst) == SESSIONS
    });
}

/// The last hold of a session lets go of it, and of all that have waited behind it.
#[test]
fn a_reader_runs_no_listener() {
    let _alone = alone();
    is_on_time("the end of a read", 30 * MS, || {
        let slow = Slow::with_sessions(1);
        let mut ended = None;
        slow.cache.read(&0, |_| {
            (0..120).for_each(|value| slow.cache.insert(0, value).expect("it fits"));
            // They are in line behind this one.
            thread::sleep(100 * MS);
            ended = Some(Instant::now());
        });
        let observed = ended.expect("it is in").elapsed();
        let reaped = || slow.cache.stats().dropped == 120;
        slow.is_quick.store(true, Ordering::SeqCst);
        eventually("the reaper frees them", reaped);
        Lateness { observed, control: control(Instant::now() + MS).join().expect("it only sleeps") }
    });
}

/// The figure that an operator looks at.
#[test]
fn what_waits_for_a_stuck_listener_or_destructor_has_an_age() {
    let _alone = alone();
    let is_open = Arc::<AtomicBool>::default();
    let wait = |is_open: &Arc<AtomicBool>| {
        let is_open = Arc::clone(is_open);
        move || eventually("it opens", || is_open.load(Ordering::SeqCst))
    };
    let stuck_listener = {
        let wait = wait(&is_open);
        let builder = Cache::builder().max_entries(10).on_removal(move |_, _: Trap, _| wait());
        builder.build().expect("it builds")
    };
    let stuck_destructor = Cache::builder().max_entries(10).build().expect("it builds");
    for (cache, trap) in
        [(&stuck_listener, Trap(None)), (&stuck_destructor, Trap(Some(Box::new(wait(&is_open)))))]
    {
        assert!(cache.insert(1, trap).is_ok() && cache.discard(&1));
        let age = || cache.stats().retired.oldest;
        eventually("it grows old", || age() > 300 * MS);
        assert_eq!(cache.stats().retired.count, 1);
    }
    is_open.store(true, Ordering::SeqCst);
    for cache in [stuck_listener, stuck_destructor] {
        eventually("it is gone", || cache.stats().retired == sundown::Retired::default());
    }
}

/// A writer gets stuck in the very shard that the reaper is draining; another shard's session is due.
#[test]
fn a_stuck_writer_keeps_the_reaper_from_no_other_shard() {
    let _alone = alone();
    static BARRIER: Barrier = Barrier::new();
    let barrier = &BARRIER;
    let cache: Cache<Key, Trap> =
        Cache::builder().max_entries(1_000).shards(64).build().expect("it builds");
    let weak: OnceLock<WeakCache<Key, Trap>> = OnceLock::from(cache.downgrade());
    let spring = move || {
        let cache = weak.get().and_then(WeakCache::upgrade).expect("a handle is left");
        barrier.stop_a_writer(cache, Key(2), Trap(None));
    };
    assert!(cache.insert(Key(2), Trap(Some(Box::new(spring)))).is_ok());
    let freed = Arc::new(AtomicU64::new(0));
    for key in 100..164 {
        let freed = Arc::clone(&freed);
        let count = move || {
            freed.fetch_add(1, Ordering::SeqCst);
        };
        let lifetime = live(200 * MS);
        assert!(cache.insert_for(Key(key), Trap(Some(Box::new(count))), lifetime).is_ok());
    }
    // The new one is what the writer's key is compared with; the old one springs the trap.
    assert!(cache.insert(Key(2), Trap(None)).is_ok());
    let start = Instant::now();
    while freed.load(Ordering::SeqCst) < 32 && start.elapsed() < patience() {
        thread::sleep(MS);
    }
    let freed = freed.load(Ordering::SeqCst);
    let is_stuck = barrier.is_reached.load(Ordering::SeqCst);
    barrier.open();
    assert!(is_stuck, "nobody was stuck");
    assert!(freed >= 32, "{freed} of 64 were freed, most of them in other shards");
}

/// A manual clock stands still while the reaper waits for a lock in vain: it must come again.
#[test]
fn a_lock_held_for_long_puts_no_reaper_to_sleep() {
    let _alone = alone();
    static BARRIER: Barrier = Barrier::new();
    let (barrier, clock) = (&BARRIER, ManualClock::new());
    let cache: Cache<Key, Trap> =
        Cache::builder().max_entries(10).shards(1).clock(clock.clone()).build().expect("it builds");
    assert!(cache.insert(Key(1), Trap(None)).is_ok());
    assert!(cache.insert_for(Key(2), Trap(None), live(50 * MS)).is_ok());
    barrier.stop_a_writer(cache.clone(), Key(1), Trap(None));
    clock.advance(Duration::from_secs(1));
    // The reaper gives up waiting for the lock, more than once.
    thread::sleep(50 * MS);
    barrier.open();
    eventually("it is unlinked", || cache.stats().expired == 1);
}

/// Two caches: what a listener of one calls on the other is done, and `close` waits for nobody.
#[test]
fn a_listener_may_reap_and_close_another_cache() {
    let _alone = alone();
    const SESSIONS: u64 = 500;
    let (dropped, clock) = (Arc::new(AtomicU64::new(0)), ManualClock::new());
    let other: Cache<u64, Trap> = Cache::builder()
        .max_entries(10_000)
        .time_to_live(5 * MS)
        .clock(clock.clone())
        .reaper(Reaper::Manual)
        .build()
        .expect("it builds");
    let fill = || {
        for key in 0..SESSIONS {
            let dropped = Arc::clone(&dropped);
            let count = move || {
                dropped.fetch_add(1, Ordering::SeqCst);
            };
            assert!(other.insert(key, Trap(Some(Box::new(count)))).is_ok());
        }
    };
    let (called, seen) = (other.clone(), Arc::clone(&dropped));
    let cache: Cache<u64, ()> = Cache::builder()
        .max_entries(10)
        .reaper(Reaper::Manual)
        .on_removal(move |key, (), _| {
            // Other threads' pins may put it off.
            eventually("everything is freed from inside the listener", || {
                if key == 1 {
                    called.reap();
                } else {
                    called.close()
                }
                seen.load(Ordering::SeqCst) == SESSIONS * key
            });
        })
        .build()
        .expect("it builds");
    for key in 1..=2 {
        fill();
        clock.advance(if key == 1 { 10 * MS } else { MS });
        cache.insert(key, ()).expect("it fits");
        assert!(cache.discard(&key));
        eventually("the listener has run", || {
            cache.reap();
            cache.stats().dropped == key
        });
    }
    assert_eq!((cache.stats().listener_panics, other.stats().expired), (0, SESSIONS));
    assert_eq!(other.stats().closed, SESSIONS);
}

/// A listener that inserts into another cache does not run that one's listener, which may be slow:
/// its own cache's reaper would wait for it.
#[test]
fn a_listener_does_not_do_another_caches_work() {
    let _alone = alone();
    thread_local! {
        static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    }
    let (told, inside) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, nested) = (Arc::clone(&told), Arc::clone(&inside));
    let other: Cache<u64, u64> = Cache::builder()
        .max_entries(10)
        .shards(1)
        .reaper(Reaper::Manual)
        .on_removal(move |_, _, _| {
            count.fetch_add(1, Ordering::SeqCst);
            nested.fetch_add(u64::from(IS_INSIDE.get()), Ordering::SeqCst);
        })
        .build()
        .expect("it builds");
    let into = other.clone();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_entries(10)
        .shards(1)
        .on_removal(move |_, number, _| {
            IS_INSIDE.set(true);
            into.insert(1, number).expect("it fits");
            IS_INSIDE.set(false);
        })
        .build()
        .expect("it builds");
    for number in 0..2_000 {
        cache.insert(1, number).expect("it fits");
    }
    drop(cache);
    assert_eq!(other.stats().inserted, 2_000);
    eventually("all are told of", || {
        other.reap();
        told.load(Ordering::SeqCst) == 1_999
    });
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

/// Sessions that were used are filed anew before their slot begins, by the tens of thousands. A
/// listener that never comes to its end must not keep the reaper from it, or the dead among them
/// stay linked.
#[test]
fn a_saturated_listener_does_not_keep_the_wheel_from_turning() {
    let _alone = alone();
    const BULK: u64 = 60_000;
    const DEAD: u64 = 100;
    is_on_time("unlinking the unused", SOON, || {
        let stop = Arc::new(AtomicBool::new(false));
        let is_quick = Arc::clone(&stop);
        let cache: Cache<u64, ()> = Cache::builder()
            .max_entries(200_000)
            .shards(1)
            .time_to_idle(Duration::from_secs(2))
            .on_removal(move |key, (), _| {
                if key >= 1 << 32 && !is_quick.load(Ordering::SeqCst) {
                    thread::sleep(20 * MS);
                }
            })
            .build()
            .expect("it builds");
        for key in 0..BULK + DEAD {
            cache.insert(key, ()).expect("it fits");
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        thread::scope(|scope| {
            let _end = Raise(&stop);
            scope.spawn(|| {
                for key in (1_u64 << 32..).take_while(|_| !stop.load(Ordering::SeqCst)) {
                    cache.insert(key, ()).expect("it fits");
                    cache.discard(&key);
                    thread::sleep(3 * MS);
                }
            });
            thread::sleep(500 * MS);
            assert!((0..BULK).all(|key| cache.touch(&key)), "they have two seconds");
            let control = control(deadline).join().expect("it only sleeps");
            // By time, whatever has become of their events.
            eventually("they are unlinked", || cache.stats().idle >= DEAD);
            Lateness { observed: deadline.elapsed(), control }
        })
    });
}
