//! Exact counts on the manual clock, and whose line is told.

use core::panic::Location;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::*;
use crate::cache::tests::reap_all;
use crate::stats::Overstayed;
use crate::{Builder, Cache, Lifetime, ManualClock, OnFull, Reaper};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Arcs = Cache<u32, Arc<u32>>;
type Sessions = Cache<u32, Tracked<u32>>;

fn manual<V>() -> (ManualClock, Builder<u32, V>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().max_entries(10).clock(clock.clone()).reaper(Reaper::Manual);
    (clock, builder.shards(1))
}

fn arcs(after: Duration) -> (ManualClock, Arcs) {
    let (clock, builder) = manual();
    (clock, builder.track_overstays(after).build().expect("the settings are valid"))
}

fn tracked() -> Sessions {
    manual().1.track_overstays(Duration::ZERO).build().expect("the settings are valid")
}

/// File, line, handles.
fn places<V: Handle>(cache: &Cache<u32, V>) -> Vec<(u32, u64)> {
    reap_all(cache);
    let told = cache.overstays();
    assert!(told.holders.iter().all(|holder| holder.site.file() == file!()), "{told:?}");
    let mut places: Vec<_> =
        told.holders.iter().map(|holder| (holder.site.line(), holder.count)).collect();
    places.sort_unstable();
    places
}

#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

#[test]
fn a_session_that_left_is_an_overstay_from_after_on_until_its_last_handle_goes() {
    let (clock, cache) = arcs(MINUTE);
    let session = Arc::new(7);
    cache.insert(1, session.clone()).unwrap();
    clock.advance(10 * SECOND);
    assert_eq!(cache.overstays(), Overstays::default(), "it is in the cache");
    assert!(cache.discard(&1));
    // That it is freed later than it left changes nothing.
    clock.advance(20 * SECOND);
    reap_all(&cache);
    clock.advance(40 * SECOND - Duration::from_millis(1));
    assert_eq!(cache.overstays().count, 0);
    clock.advance(Duration::from_millis(1));
    let told = cache.overstays();
    assert_eq!((told.count, told.weight, told.oldest), (1, 1, MINUTE));
    assert!(told.holders.is_empty(), "an Arc knows no places");
    let figures = cache.stats().overstays;
    assert_eq!((figures.count, figures.weight, figures.oldest), (1, 1, MINUTE));
    let other = session.clone();
    drop(session);
    assert_eq!(cache.overstays().count, 1);
    drop(other);
    assert_eq!(cache.overstays(), Overstays::default());
    assert_eq!(cache.stats().overstays, Overstayed::default());
}

#[test]
fn every_cause_leaves_an_overstay() {
    let expire = |cache: &Arcs, clock: &ManualClock| {
        cache.set_lifetime(&1, Lifetime::default().live(SECOND));
        clock.advance(SECOND);
    };
    let idle = |cache: &Arcs, clock: &ManualClock| {
        cache.set_lifetime(&1, Lifetime::default().idle(SECOND));
        clock.advance(SECOND);
    };
    let evict = |cache: &Arcs, clock: &ManualClock| {
        clock.advance(SECOND);
        (2..12).for_each(|key| cache.insert(key, Arc::new(0)).unwrap());
    };
    type End<'a> = &'a dyn Fn(&Arcs, &ManualClock);
    let causes: [(RemovalCause, End<'_>); 7] = [
        (RemovalCause::Expired, &expire),
        (RemovalCause::Idle, &idle),
        (RemovalCause::Evicted, &evict),
        (RemovalCause::Removed, &|cache, _| assert!(cache.discard(&1))),
        (RemovalCause::Replaced, &|cache, _| cache.insert(1, Arc::new(8)).unwrap()),
        (RemovalCause::Cleared, &|cache, _| cache.clear()),
        (RemovalCause::Closed, &|cache, _| cache.close()),
    ];
    for (cause, end) in causes {
        let (clock, cache) = arcs(Duration::ZERO);
        let session = Arc::new(7);
        cache.insert(1, session.clone()).unwrap();
        end(&cache, &clock);
        reap_all(&cache);
        assert_eq!(cache.overstays().count, 1, "{cause:?}");
        drop(session);
        assert_eq!(cache.overstays().count, 0, "{cause:?}");
    }
}

#[test]
fn a_session_that_is_live_under_another_key_has_not_left() {
    let (_, cache) = arcs(Duration::ZERO);
    let session = Arc::new(7);
    cache.insert(1, session.clone()).unwrap();
    // A save of the same session, an update that weighs it again, a new id.
    cache.insert(1, session.clone()).unwrap();
    assert!(cache.update(&1, Arc::clone).unwrap());
    cache.insert(2, session.clone()).unwrap();
    assert!(cache.discard(&1));
    reap_all(&cache);
    assert_eq!(cache.overstays().count, 0);
    assert!(cache.discard(&2));
    reap_all(&cache);
    assert_eq!(cache.overstays().count, 1, "once, however many entries it had");
    cache.insert(3, session.clone()).unwrap();
    assert_eq!(cache.overstays().count, 0, "it is back");
}

#[test]
fn a_session_that_was_not_put_in_has_not_left() {
    let (clock, builder) = manual();
    let builder = builder
        .on_full(OnFull::Reject)
        .max_weight(20)
        .weigher(|_, value: &Arc<u32>| **value as u64);
    let cache: Arcs = builder.track_overstays(Duration::ZERO).build().unwrap();
    let session = Arc::new(21);
    let back = cache.insert(1, session.clone()).unwrap_err();
    reap_all(&cache);
    assert_eq!(cache.overstays().count, 0);
    drop(back);
    // Nor does a refusal make one of it that had left, or keep it from being one.
    let session = Arc::new(7);
    cache.insert(1, session.clone()).unwrap();
    cache.discard(&1);
    reap_all(&cache);
    clock.advance(SECOND);
    cache.replace(2, session.clone(), Lifetime::default()).unwrap_err();
    assert_eq!(cache.overstays().oldest, SECOND);
    cache.insert(3, Arc::new(1)).unwrap();
    cache.update(&3, |_| Arc::new(30)).unwrap_err();
    cache.clear();
    reap_all(&cache);
    assert_eq!(cache.overstays().count, 1);
}

#[test]
fn weights_add_up_and_the_first_to_leave_is_the_oldest() {
    let (clock, builder) = manual();
    let builder = builder.weigher(|_, value: &Arc<u32>| **value as u64);
    let cache: Arcs = builder.track_overstays(Duration::ZERO).build().unwrap();
    let held: Vec<Arc<u32>> = [3, 4, 5].map(Arc::new).into();
    for (key, session) in held.iter().enumerate() {
        cache.insert(key as u32, session.clone()).unwrap();
        cache.discard(&(key as u32));
        clock.advance(SECOND);
    }
    reap_all(&cache);
    let told = cache.overstays();
    assert_eq!((told.count, told.weight, told.oldest), (3, 12, 3 * SECOND));
    drop(held);
    assert_eq!(cache.overstays().count, 0);
}

#[test]
fn values_are_dropped_by_whom_they_always_were() {
    struct Loud(Arc<Mutex<Vec<&'static str>>>, &'static str);
    impl Drop for Loud {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(self.1);
        }
    }
    let drops = Arc::<Mutex<Vec<&str>>>::default();
    let (_, builder) = manual();
    let cache = builder.track_overstays(Duration::ZERO).build().unwrap();
    let (free, held) =
        (Arc::new(Loud(drops.clone(), "free")), Arc::new(Loud(drops.clone(), "held")));
    cache.insert(1, free).unwrap();
    cache.insert(2, held.clone()).unwrap();
    cache.clear();
    reap_all(&cache);
    assert_eq!(*drops.lock().unwrap(), ["free"]);
    drop(held);
    assert_eq!(*drops.lock().unwrap(), ["free", "held"]);
}

#[test]
fn weak_handles_hold_nothing_but_an_upgraded_one_does() {
    let (_, cache) = arcs(Duration::ZERO);
    cache.insert(1, Arc::new(7)).unwrap();
    let weak: Weak<u32> = cache.read(&1, Arc::downgrade).unwrap();
    let strong = weak.upgrade();
    cache.discard(&1);
    reap_all(&cache);
    assert_eq!(cache.overstays().count, 1);
    drop(strong);
    assert_eq!(cache.overstays().count, 0);

    let cache = tracked();
    cache.insert(1, Tracked::new(7)).unwrap();
    let weak = cache.read(&1, Tracked::downgrade).unwrap();
    let (strong, at) = (weak.upgrade(), line());
    cache.discard(&1);
    assert_eq!(places(&cache), [(at, 1)]);
    drop(strong);
    assert_eq!((places(&cache), weak.upgrade()), (Vec::new(), None));
}

#[test]
fn each_handle_is_told_where_it_was_taken() {
    let cache = tracked();
    let (made, at_new) = (Tracked::new(7), line());
    let before = made.clone();
    cache.insert(1, made).unwrap();
    let (got, at_get) = (cache.get(&1).unwrap(), line());
    let (peeked, at_peek) = (cache.peek(&1), line());
    let (cloned, at_clone) = (got.clone(), line());
    let (again, at_again) = (cloned.clone(), line());
    let (read, at_read) = (cache.read(&1, |session| session.clone()).unwrap(), line());
    let (removed, at_remove) = (cache.remove(&1), line());
    let lines = [at_new, at_get, at_peek, at_clone, at_again, at_read, at_remove];
    assert_eq!(places(&cache), lines.map(|at| (at, 1)));
    drop((got, cloned, removed, before));
    assert_eq!(places(&cache), [at_peek, at_again, at_read].map(|at| (at, 1)));
    drop((peeked, again));
    let many: Vec<_> = (0..5).map(|_| read.clone()).collect();
    assert_eq!(places(&cache), [(at_read, 1), (line() - 1, 5)]);
    drop((many, read));
    assert_eq!(cache.overstays(), Overstays::default());
}

#[test]
fn a_function_that_says_so_is_told_at_its_caller() {
    #[track_caller]
    fn session_of(cache: &Sessions, key: u32) -> Option<Tracked<u32>> {
        cache.get(&key)
    }
    let cache = tracked();
    cache.insert(1, Tracked::new(7)).unwrap();
    let (_session, at) = (session_of(&cache, 1), line());
    cache.discard(&1);
    assert_eq!(places(&cache), [(at, 1)]);
}

#[test]
fn a_listener_that_keeps_what_it_is_given_is_told_where_it_was_set() {
    let kept = Arc::<Mutex<Vec<Tracked<u32>>>>::default();
    let keeper = kept.clone();
    let keep = move |_, session, _| keeper.lock().unwrap().push(session);
    let (_, builder) = manual();
    let builder = builder.track_overstays(Duration::ZERO);
    let (builder, at) = (builder.on_removal(keep), line());
    let cache: Sessions = builder.build().unwrap();
    cache.insert(1, Tracked::new(7)).unwrap();
    cache.discard(&1);
    assert_eq!(places(&cache), [(at, 1)]);
    kept.lock().unwrap().clear();
    assert_eq!(cache.overstays().count, 0);
}

#[test]
fn a_listener_that_panics_leaves_no_overstay() {
    let (_, builder) = manual();
    let builder = builder.on_removal(|_, _: Arc<u32>, _| panic!("planned"));
    let cache: Arcs = builder.track_overstays(Duration::ZERO).build().unwrap();
    cache.insert(1, Arc::new(7)).unwrap();
    cache.discard(&1);
    reap_all(&cache);
    assert_eq!((cache.overstays().count, cache.stats().listener_panics), (0, 1));
}

#[test]
fn places_beyond_the_eighth_are_told_where_the_session_was_made() {
    let cache = tracked();
    let (made, at_new) = (Tracked::new(7), line());
    cache.insert(1, made).unwrap();
    #[rustfmt::skip]
    let held = [
        cache.get(&1),
        cache.get(&1),
        cache.get(&1),
        cache.get(&1),
        cache.get(&1),
        cache.get(&1),
        cache.get(&1),
        cache.get(&1),
        cache.get(&1),
    ];
    cache.discard(&1);
    let places = places(&cache);
    assert_eq!(places.len(), 9);
    assert!(places.contains(&(at_new, 1)) && places.iter().all(|&(_, handles)| handles == 1));
    drop(held);
    assert_eq!(cache.overstays().count, 0);
}

#[test]
fn a_session_in_two_caches_is_each_ones_own() {
    let (hot, cold) = (tracked(), tracked());
    hot.insert(1, Tracked::new(7)).unwrap();
    let (moved, at) = (hot.get(&1).unwrap(), line());
    cold.insert(1, moved).unwrap();
    hot.discard(&1);
    assert_eq!(places(&hot), [(at, 1)]);
    assert_eq!(cold.overstays().count, 0);
    cold.discard(&1);
    reap_all(&cold);
    assert_eq!((hot.overstays().count, cold.overstays().count), (0, 0));
}

#[test]
fn no_span_is_so_long_that_it_counts_at_once() {
    for after in [Duration::MAX, Duration::from_nanos(u64::MAX)] {
        let (clock, cache) = arcs(after);
        let session = Arc::new(7);
        cache.insert(1, session.clone()).unwrap();
        cache.discard(&1);
        reap_all(&cache);
        clock.advance(Duration::MAX);
        assert_eq!(cache.overstays().count, 0);
    }
}

#[test]
fn what_an_arc_points_to_need_not_have_a_size() {
    let builder = Cache::builder().max_entries(10).reaper(Reaper::Manual);
    let cache = builder.track_overstays(Duration::ZERO).build().unwrap();
    let (text, nothing) = (Arc::<str>::from("ada"), Arc::<[u64; 0]>::new([]));
    cache.insert(1, text.clone()).unwrap();
    cache.clear();
    reap_all(&cache);
    assert_eq!(cache.overstays().count, 1);
    drop(text);
    assert_eq!(cache.overstays().count, 0);

    let cache: Cache<u32, Arc<[u64; 0]>> =
        manual().1.track_overstays(Duration::ZERO).build().unwrap();
    let others: Vec<_> = (0..9).map(|_| Arc::new([])).collect();
    cache.insert(9, nothing).unwrap();
    others.iter().zip(0..).for_each(|(other, key)| cache.insert(key, other.clone()).unwrap());
    cache.clear();
    reap_all(&cache);
    assert_eq!(cache.overstays().count, 9, "those of no size are told apart");
}

#[test]
fn a_cache_that_does_not_ask_tells_nothing() {
    let cache: Sessions = manual().1.build().unwrap();
    cache.insert(1, Tracked::new(7)).unwrap();
    let _session = cache.get(&1);
    cache.discard(&1);
    reap_all(&cache);
    assert_eq!(cache.overstays(), Overstays::default());
}

#[test]
fn the_reaper_lets_go_of_what_is_gone_and_of_the_rolls_slack() {
    let (clock, builder) = manual();
    let cache = builder.max_entries(100_000).track_overstays(MINUTE).build().unwrap();
    let watch = cache.watch().unwrap();
    let empty = watch.bytes();
    let sessions: Vec<_> = (0..50_000).map(Arc::new).collect();
    for session in &sessions {
        cache.insert(**session, session.clone()).unwrap();
    }
    let weak = Arc::downgrade(&sessions[0]);
    cache.clear();
    reap_all(&cache);
    drop(sessions);
    assert_eq!(weak.weak_count(), 0, "no handle is left to ask");
    // 50,000 rows, 8,192 of them a second.
    for _ in 0..10 {
        clock.advance(SECOND);
        cache.reap();
    }
    let settled = watch.bytes();
    assert!(settled < empty + 32 * 128 * 64, "{empty}, {settled}");
    assert_eq!(watch.look(u64::MAX), None, "nothing is left to look at");
}

#[test]
fn what_threads_put_in_refuse_and_lose_adds_up() {
    let cache: Cache<u64, Tracked<u64>> = Cache::builder()
        .max_entries(40)
        .on_full(OnFull::Reject)
        .track_overstays(Duration::ZERO)
        .build()
        .unwrap();
    let work = |seed: u64| {
        let (mut random, mut held) = (seed, Vec::new());
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let key = random % 64;
            match random >> 60 {
                0..4 => _ = cache.insert(key, Tracked::new(key)),
                4..7 => held.extend(cache.get(&key)),
                7 => held.clear(),
                8 => _ = held.last().map(|other: &Tracked<_>| cache.insert(key, other.clone())),
                9 => _ = cache.update(&key, |session| Tracked::new(**session + 1)),
                10 => _ = cache.update(&key, |session| session.clone()),
                11 => held.extend(cache.remove(&key)),
                12 => _ = cache.overstays(),
                13 if random % 512 == 0 => cache.clear(),
                _ => _ = cache.discard(&key),
            }
        }
        held
    };
    let held: Vec<_> = std::thread::scope(|scope| {
        let threads = [1, 2, 3, 4].map(|seed| scope.spawn(move || work(seed)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let watch = cache.watch().unwrap();
    cache.close();
    while cache.stats().retired.count > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let told = cache.overstays();
    assert_eq!(watch.rows(), (0, told.count as usize), "O1: nothing is kept");
    let handles: u64 = told.holders.iter().map(|holder| holder.count).sum();
    assert_eq!(handles, held.len() as u64, "T1: {told}");
    drop(held);
    assert_eq!((cache.overstays(), watch.rows()), (Overstays::default(), (0, 0)));
}

#[test]
fn the_reapers_thread_lets_go_of_what_is_gone_with_nobody_calling() {
    let builder = Cache::builder().max_entries(1_000).reaper(Reaper::Thread);
    let cache = builder.track_overstays(MINUTE).build().unwrap();
    let watch = cache.watch().unwrap();
    let sessions: Vec<_> = (0..300).map(Arc::new).collect();
    for session in &sessions {
        cache.insert(**session, session.clone()).unwrap();
    }
    let full = watch.bytes();
    cache.clear();
    let is_soon = |is_so: &dyn Fn() -> bool| {
        (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            is_so()
        })
    };
    assert!(is_soon(&|| cache.stats().retired.count == 0) && watch.bytes() > full);
    drop(sessions);
    assert!(is_soon(&|| watch.bytes() <= full), "{} bytes, {full} before", watch.bytes());
}

#[test]
#[allow(clippy::mutable_key_type, reason = "what is compared does not change")]
fn tracked_is_what_an_arc_is() {
    fn is_shared<T: Send + Sync + UnwindSafe + RefUnwindSafe + Unpin>(_: &T) {}
    let session: Tracked<String> = String::from("ada").into();
    is_shared(&session);
    is_shared(&Tracked::downgrade(&session));
    let (equal, same) = (Tracked::new(String::from("ada")), session.clone());
    assert!(session == equal && session <= equal && session.cmp(&equal).is_eq());
    assert!(!Tracked::ptr_eq(&session, &equal) && Tracked::ptr_eq(&session, &same));
    assert_eq!(Tracked::strong_count(&session), 2);
    assert_eq!(format!("{session} {session:?}"), "ada \"ada\"");
    assert_eq!((session.len(), session.as_ref().len()), (3, 3));
    assert_eq!(*Tracked::<String>::default(), "");
    let map = std::collections::BTreeMap::from([(session, 7)]);
    assert_eq!(map.get(&String::from("ada")), Some(&7), "it compares and borrows as its value");
    assert_eq!(size_of::<Tracked<u8>>(), 2 * size_of::<usize>());
}

#[test]
fn an_equality_that_panics_leaves_the_rest_of_the_roll_right() {
    #[derive(PartialOrd, Ord, Clone)]
    struct Key(u32);
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            state.write_u32(0);
        }
    }
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            assert!(self.0 < 9 && other.0 < 9, "planned");
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    let builder = Cache::builder().max_entries(10).reaper(Reaper::Manual);
    let cache = builder.track_overstays(Duration::ZERO).build().unwrap();
    let (one, nine) = (Arc::new(1), Arc::new(9));
    cache.insert(Key(1), one.clone()).unwrap();
    let put = AssertUnwindSafe(|| cache.insert(Key(9), nine.clone()));
    catch_unwind(put).unwrap_err();
    cache.clear();
    crate::cache::tests::reap_all(&cache);
    assert_eq!(cache.overstays().count, 1, "the one that was in");
    drop((one, nine));
    assert_eq!(cache.overstays().count, 0);
}

#[test]
fn a_walk_comes_to_each_row_once_however_many_bites_it_takes() {
    let roll = Roll::<Arc<u32>>::new(0);
    let depart = |session: &Arc<u32>| {
        roll.enter(session);
        let departure = Departure { weight: 2, cause: RemovalCause::Removed, left_ns: 5 };
        let address = roll.part(&mut session.clone(), None);
        roll.leave(address, departure)
    };
    let sessions: Vec<_> = (0..20_000).map(Arc::new).collect();
    let calls = sessions.iter().filter(|session| depart(session)).count();
    assert!(calls <= 32, "the reaper is called for the first of a page, not {calls} times");
    let figures = roll.figures(9);
    assert_eq!((figures.count, figures.weight), (20_000, 40_000));
    assert_eq!(figures.oldest, Duration::from_nanos(4));
    drop(sessions);
    assert_eq!((roll.figures(9).count, roll.rows()), (0, (0, 0)), "a look takes the rows out");
}
