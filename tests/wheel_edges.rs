//! Every edge of the timing wheels, reached by the public calls and the manual clock alone.
//!
//! A slot of level `l` is 32^l ticks wide, and a level has 64 of them. So the deadlines tried here
//! lie one tick before, at and after `m * 32^l` ticks, for each of the nine levels and each `m` at
//! which a record changes its slot or its level. Lifetimes end at ten years; deadlines beyond are
//! reached from a cache that nobody has called since the clock stood at zero, where the wheel has
//! not moved either.

#![cfg(not(sundown_loom))]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use sundown::{Cache, Expiry, Lifetime, ManualClock, Reaper, RemovalCause};

/// After this, something will never happen.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(1);
const TEN_YEARS_MS: u64 = 3_660 * 86_400_000;
/// Where the manual clock stops, in whole milliseconds.
const LAST_MS: u64 = (1 << 62) / 1_000_000;
const LEVELS: u32 = 9;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The edges of all levels, in ticks of a millisecond, that lie no further away than `most`.
fn edges(most: u64) -> BTreeSet<u64> {
    let multiples = [1_u64, 2, 31, 32, 33, 63, 64, 65];
    let corners = (0..LEVELS).flat_map(|level| multiples.map(|multiple| multiple << (5 * level)));
    corners.flat_map(|at| at - 1..=at + 1).filter(|&at| (1..=most).contains(&at)).collect()
}

fn build(clock: &ManualClock, reaper: Reaper) -> Cache<u64, ()> {
    Cache::builder()
        .max_entries(10_000)
        .shards(1)
        .resolution(TICK)
        .reaper(reaper)
        .clock(clock.clone())
        .build()
        .expect("it builds")
}

/// Both kinds of deadline.
fn lifetimes(length: Duration) -> [Lifetime; 2] {
    [Lifetime::default().live(length), Lifetime::default().idle(length)]
}

/// One session of each kind, alone in its wheel, that ends `edge` ticks after the wheel's start.
struct Trial {
    start: u64,
    edge: u64,
    /// How long before its end the cache looks, each time.
    looks: Vec<u64>,
}

impl Trial {
    fn run(&self) {
        let clock = ManualClock::new();
        let cache = build(&clock, Reaper::Manual);
        clock.advance(ms(self.start));
        assert_eq!(cache.reap(), 0);
        // Later than ten years the wheel must fall asleep first.
        let life = self.edge.min(TEN_YEARS_MS);
        clock.advance(ms(self.edge - life));
        for (key, lifetime) in lifetimes(ms(life)).into_iter().enumerate() {
            cache.insert_for(key as u64, (), lifetime).expect("there is room");
        }
        let context = || format!("{} ticks from {}", self.edge, self.start);
        let mut left = life;
        for &before in self.looks.iter().filter(|&&before| before < life) {
            clock.advance(ms(left - before));
            left = before;
            assert_eq!(cache.reap(), 0, "early by {before} ms: {}", context());
        }
        clock.advance(ms(left) - Duration::from_nanos(1));
        assert_eq!(cache.reap(), 0, "early by 1 ns: {}", context());
        assert!(cache.contains_key(&0) && cache.contains_key(&1), "early: {}", context());
        clock.advance(Duration::from_nanos(1));
        assert!(!cache.contains_key(&0) && !cache.contains_key(&1), "late: {}", context());
        assert_eq!(cache.reap(), 2, "late: {}", context());
        cache.audit().expect("the cache is whole");
    }
}

#[test]
fn no_edge_is_a_nanosecond_early_or_late() {
    let halvings: Vec<u64> = (0..42).rev().map(|power| 1 << power).collect();
    for start in [0, 7, 31, 32, 1_023, 1_000_003] {
        for edge in edges(LAST_MS - start) {
            Trial { start, edge, looks: Vec::new() }.run();
        }
    }
    for start in [0, 1_000_003] {
        for edge in edges(LAST_MS - start) {
            Trial { start, edge, looks: halvings.clone() }.run();
        }
    }
}

/// Moves the clock to a time, unless it is past it.
fn advance_to(clock: &ManualClock, then: Duration) {
    clock.advance(then.saturating_sub(clock.elapsed()));
}

/// By the reaper's thread, which looks only when the wheel has told it to, and by whole ticks; all
/// edges share one wheel.
#[test]
fn the_reaper_comes_at_the_end_of_the_tick_of_each_edge() {
    for (start, offset) in [(0, 0), (31, 0), (1_000_003, 0), (7, 400_000)] {
        let (clock, inserted) = (ManualClock::new(), ms(start) + Duration::from_nanos(offset));
        let cache = build(&clock, Reaper::Thread);
        clock.advance(inserted);
        let edges = edges(TEN_YEARS_MS);
        for &edge in &edges {
            for (kind, lifetime) in lifetimes(ms(edge)).into_iter().enumerate() {
                cache.insert_for(2 * edge + kind as u64, (), lifetime).expect("there is room");
            }
        }
        let mut left = 2 * edges.len();
        for &edge in &edges {
            let deadline = inserted + ms(edge);
            advance_to(&clock, deadline - Duration::from_nanos(1));
            assert!(cache.contains_key(&(2 * edge)) && cache.len() >= left, "{edge} is early");
            advance_to(&clock, deadline);
            assert!(!cache.contains_key(&(2 * edge)), "{edge} is served late");
            // Until the end of its tick it may stay linked, and no longer.
            let tick_end = deadline.as_nanos().div_ceil(TICK.as_nanos()) as u64;
            advance_to(&clock, ms(tick_end));
            left -= 2;
            let since = Instant::now();
            while cache.len() > left {
                let stats = cache.stats();
                assert!(since.elapsed() < PATIENCE, "{edge} from {start} is late: {stats:?}");
                thread::yield_now();
            }
            assert_eq!(cache.len(), left, "somebody was reaped with {edge}");
        }
        cache.audit().expect("the cache is whole");
    }
}

/// After a jump of any length one look takes out all that is due, and nothing else.
#[test]
fn a_jump_over_any_edges_takes_out_exactly_what_is_due() {
    let jumps = (0..13).map(|power| 10_u64.pow(power)).chain([LAST_MS]);
    for start in [0, 31, 1_000_003] {
        for jump in jumps.clone() {
            let clock = ManualClock::new();
            let cache = build(&clock, Reaper::Manual);
            clock.advance(ms(start));
            let edges = edges(TEN_YEARS_MS);
            for &edge in &edges {
                cache.insert_for(edge, (), lifetimes(ms(edge))[0]).expect("there is room");
            }
            clock.advance(ms(jump));
            let due = edges.iter().filter(|&&edge| edge <= jump).count();
            assert_eq!(cache.reap(), due, "a jump of {jump} ms from {start}");
            for &edge in &edges {
                assert_eq!(cache.contains_key(&edge), edge > jump, "{edge} after {jump} ms");
            }
            cache.audit().expect("the cache is whole");
            clock.advance(Duration::MAX);
            assert_eq!(cache.reap(), edges.len() - due);
            // Readers in other tests of this process may put the end of garbage off.
            let (since, empty) = (Instant::now(), empty_overhead());
            while cache.stats().overhead_bytes > empty {
                assert!(since.elapsed() < PATIENCE, "it keeps a level: {:?}", cache.stats());
                cache.reap();
            }
        }
    }
}

/// What a cache like these holds when nothing is in it, and one session ever was, whose lag it remembers.
fn empty_overhead() -> u64 {
    let clock = ManualClock::new();
    let cache = build(&clock, Reaper::Manual);
    let untouched = cache.stats().overhead_bytes;
    cache.insert_for(0, (), lifetimes(ms(1))[0]).expect("there is room");
    clock.advance(ms(1));
    assert_eq!(cache.reap(), 1);
    let since = Instant::now();
    // It is freed, and its shard settles; the histogram stays, of a few KiB.
    while cache.stats().dropped == 0 || cache.stats().overhead_bytes > untouched + 2_432 {
        assert!(since.elapsed() < PATIENCE, "it does not settle");
        clock.advance(Duration::from_secs(1));
        cache.reap();
    }
    cache.stats().overhead_bytes
}

/// The clock stops after 146 years; a cache that gets there goes on, and nothing ends any more.
#[test]
fn at_the_end_of_time_nothing_ends_and_everything_works() {
    let clock = ManualClock::new();
    let cache = build(&clock, Reaper::Manual);
    cache.insert_for(0, (), Lifetime::default().live(ms(5))).expect("there is room");
    clock.advance(Duration::from_nanos((1 << 62) - 5_000_000));
    assert_eq!(cache.reap(), 1);
    cache.insert_for(1, (), Lifetime::default().live(ms(5))).expect("there is room");
    clock.advance(ms(5) - Duration::from_nanos(1));
    assert_eq!((cache.reap(), cache.contains_key(&1)), (0, true));
    clock.advance(Duration::from_nanos(1));
    assert_eq!((cache.reap(), cache.contains_key(&1)), (1, false));
    for (key, length) in [(2, TICK), (3, ms(TEN_YEARS_MS)), (4, Duration::MAX)] {
        for (kind, lifetime) in lifetimes(length).into_iter().enumerate() {
            cache.insert_for(10 * key + kind as u64, (), lifetime).expect("there is room");
        }
    }
    cache.insert(50, ()).expect("there is room");
    for _ in 0..3 {
        clock.advance(Duration::MAX);
        assert_eq!((cache.reap(), cache.len()), (0, 7));
        assert!(cache.touch(&20) && cache.set_lifetime(&21, lifetimes(TICK)[1]));
        assert_eq!(cache.expires_in(&20), Some(Expiry::In(TICK)));
        assert_eq!(cache.expires_in(&50), Some(Expiry::Never));
        cache.audit().expect("the cache is whole");
    }
    assert!(cache.discard(&20));
    cache.close();
    assert_eq!((cache.len(), cache.stats().closed), (0, 6));
}

/// The wheel that turns by last use has the same edges: sessions last used around each of them leave
/// in the order of their last uses, whatever the order in which they came.
#[test]
fn eviction_keeps_its_order_over_every_edge() {
    let edges: Vec<u64> = edges(LAST_MS - 2_000).into_iter().collect();
    let (clock, evicted) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
    let heard = Arc::clone(&evicted);
    let cache = Cache::builder()
        .max_entries(edges.len())
        .shards(1)
        .reaper(Reaper::Manual)
        .clock(clock.clone())
        .on_removal(move |key: usize, (), cause| {
            heard.lock().expect("no test panics with it").push((key, cause));
        })
        .build()
        .expect("it builds");
    for key in 0..edges.len() {
        cache.insert(key, ()).expect("there is room");
    }
    // A permutation, for 7 divides no such number of edges.
    assert!(edges.len() % 7 > 0);
    let order: Vec<usize> = (0..edges.len()).map(|turn| turn * 7 % edges.len()).collect();
    for (&key, &edge) in order.iter().zip(&edges) {
        advance_to(&clock, ms(edge));
        assert!(cache.touch(&key));
    }
    for newcomer in 0..edges.len() {
        clock.advance(TICK);
        cache.insert(1_000_000 + newcomer, ()).expect("the coldest goes");
    }
    let since = Instant::now();
    while cache.stats().retired.count > 0 {
        assert!(since.elapsed() < PATIENCE, "garbage stays");
        cache.reap();
    }
    assert_eq!(cache.stats().evicted_inexact, 0);
    let expected: Vec<_> = order.into_iter().map(|key| (key, RemovalCause::Evicted)).collect();
    assert_eq!(*evicted.lock().expect("no test panics with it"), expected);
}

/// One session lies in an upper slot, filed from afar; the next comes a millisecond later and is
/// filed from nearby, on a lower level. The first must still leave first.
#[test]
fn a_latecomer_beside_an_edge_does_not_overtake() {
    for level in 1..LEVELS {
        let width = 1_u64 << (5 * (level - 1));
        for multiple in [2, 31, 32, 33, 63, 64].map(|multiple| multiple << (5 * level)) {
            if multiple > LAST_MS - 10 {
                continue;
            }
            let clock = ManualClock::new();
            let cache = Cache::builder()
                .max_entries(2)
                .shards(1)
                .reaper(Reaper::Manual)
                .clock(clock.clone())
                .build()
                .expect("it builds");
            let insert_at = |then: u64, key: &'static str| {
                advance_to(&clock, ms(then));
                cache.insert(key, ()).expect("the coldest goes");
            };
            // Its eviction brings the wheel to 40 slots of the lower level before the edge.
            insert_at(multiple - 40 * width, "first");
            insert_at(multiple, "early");
            insert_at(multiple, "evicts the first");
            assert!(!cache.contains_key("first") && cache.discard("evicts the first"));
            insert_at(multiple + 1, "late");
            insert_at(multiple + 2, "evicts the early one");
            let context = || format!("at {multiple}, on level {level}");
            assert!(!cache.contains_key("early"), "overtaken {}", context());
            assert!(cache.contains_key("late"), "evicted {}", context());
            cache.audit().expect("the cache is whole");
        }
    }
}
