//! The soak example's own judgement: it finds each fault that it looks for, and nothing else.
//!
//! The modules of `examples/soak` are included here. A soak that passes says as much as its checks
//! can see, so each of them is given something wrong to see. The soak itself runs in `.ci/run`.

#![cfg(not(sundown_loom))]
#![allow(dead_code, reason = "the modules are whole, and only the soak uses all of them")]

#[path = "../examples/soak/board.rs"]
mod board;
#[path = "../examples/soak/checks.rs"]
mod checks;
#[path = "../examples/soak/dice.rs"]
mod dice;
#[path = "../examples/outage/figures.rs"]
mod figures;
#[path = "../examples/soak/house.rs"]
mod house;
#[path = "../examples/soak/options.rs"]
mod options;
#[path = "../examples/outage/picture.rs"]
mod picture;
#[path = "../examples/soak/post.rs"]
mod post;
#[path = "../examples/soak/session.rs"]
mod session;
#[path = "../examples/soak/traffic.rs"]
mod traffic;
#[path = "../examples/outage/way.rs"]
mod way;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;

use crate::board::Board;
use crate::checks::{
    GarbageWatch, Quiet, allowed_first_heap, allowed_first_resident, allowed_heap,
    allowed_resident, over_caps,
};
use crate::house::House;
use crate::options::{Options, Plan};
use crate::post::Post;
use crate::session::{Bounds, Life, NEVER, Session, Witness};
use crate::traffic::{Call, EVERYBODYS, Mood, Opening, Traffic, place_of};
use crate::way::Way;

const SECOND: u64 = 1_000_000_000;

// --- the traffic ----------------------------------------------------------------------------

fn calls(seed: u64, post: usize) -> Vec<(u64, Call)> {
    let mut traffic = Traffic::new(seed, post, 3, SECOND);
    let spells = (0..100).map(|_| traffic.spell()).collect::<Vec<_>>();
    spells
        .iter()
        .flat_map(|spell| (0..100).map(|_| traffic.call(spell.mood)).collect::<Vec<_>>())
        .collect()
}

#[test]
fn seed_and_post_decide_the_traffic() {
    assert_eq!(calls(1, 0), calls(1, 0));
    assert_ne!(calls(1, 0), calls(2, 0));
    assert_ne!(calls(1, 0), calls(1, 1));
    // Nor the same calls of other places.
    let kinds = |calls: Vec<(u64, Call)>| calls.into_iter().map(|(_, call)| call);
    assert!(kinds(calls(1, 0)).ne(kinds(calls(1, 1))));
}

#[test]
fn traffic_has_every_mood_opening_and_call() {
    let mut traffic = Traffic::new(1, 0, 2, SECOND);
    let spells: Vec<_> = (0..2_000).map(|_| traffic.spell()).collect();
    let moods: HashSet<_> = spells.iter().map(|spell| spell.mood).collect();
    let openings: HashSet<_> = spells.iter().map(|spell| spell.opening).collect();
    assert_eq!(moods, HashSet::from([Mood::Browse, Mood::Storm, Mood::Churn]));
    let all = [Opening::Nothing, Opening::ForEach, Opening::Retain, Opening::Clear];
    assert_eq!(openings, HashSet::from(all));
    let kinds: HashSet<_> =
        calls(1, 0).iter().map(|(_, call)| std::mem::discriminant(call)).collect();
    assert_eq!(kinds.len(), 14, "some call of the cache is never made");
}

/// The quiet part waits for the longest life, and only one may set a session's life anew.
#[test]
fn lives_are_within_the_longest_and_set_by_their_owner() {
    let span = |span: u64| span == NEVER || (1_000_000..=SECOND).contains(&span);
    for (key, call) in calls(3, 1) {
        if let Call::Insert(life, _) | Call::SetLifetime(life) = call {
            assert!(span(life.live) && span(life.idle), "{life:?}");
            assert!(life.live != NEVER || life.idle != NEVER, "it never runs out");
        }
        if matches!(call, Call::SetLifetime(_)) {
            assert_eq!(place_of(key), 2, "post 1 owns the second place after everybody's");
        }
        assert!(place_of(key) <= 3 && EVERYBODYS == 0);
    }
}

// --- the judgement of what is shown ---------------------------------------------------------

#[test]
fn a_session_shown_at_its_deadline_is_late_unless_somebody_moves_it() {
    let board = Board::new(2);
    let bounds = Bounds::open(Life { live: NEVER, idle: 10 });
    assert!(!board.is_late(&bounds, 1_000, 7, 0), "it is not in the cache yet");
    bounds.begin(100, Life { live: NEVER, idle: 10 });
    assert!(!board.is_late(&bounds, 109, 7, 0));
    assert!(board.is_late(&bounds, 110, 7, 0));
    let entry = board.enter(1, 7);
    assert!(!board.is_late(&bounds, 110, 7, 0), "another post may just have touched it");
    assert!(board.is_late(&bounds, 110, 7, 1), "a post knows what it does itself");
    assert!(board.is_late(&bounds, 110, 8, 0), "that is another key");
    bounds.used(105);
    drop(entry);
    assert!(!board.is_late(&bounds, 114, 7, 0));
    assert!(board.is_late(&bounds, 115, 7, 0));
}

#[test]
fn bounds_follow_the_later_use_and_the_earlier_deadline() {
    let life = Life { live: 50, idle: 10 };
    let bounds = Bounds::open(life);
    // Somebody may see a session before the call that put it in has returned.
    bounds.used(103);
    bounds.begin(101, life);
    assert_eq!(bounds.until(), 113);
    bounds.used(145);
    assert_eq!(bounds.until(), 151, "the absolute deadline comes first");
    bounds.restart(146, Life { live: NEVER, idle: 2 });
    assert_eq!(bounds.until(), 148);
}

#[test]
fn sessions_are_counted_until_their_destructor() {
    let witness = Arc::new(Witness::default());
    let bounds = Bounds::open(Life { live: 1, idle: NEVER });
    bounds.begin(0, Life { live: 1, idle: NEVER });
    let session = Session::new(7, bounds, 16, &witness);
    assert!(session.is_of(7) && !session.is_of(8));
    let renewed = session.renewed();
    assert_eq!((witness.made(), witness.alive()), (2, 2));
    while session::now() < 2 {}
    drop(session);
    assert_eq!(witness.alive(), 1);
    assert!(witness.take_worst_lag() > Duration::ZERO, "it was over a nanosecond late");
    assert_eq!(witness.take_worst_lag(), Duration::ZERO);
    drop(renewed);
    assert_eq!((witness.made(), witness.alive()), (2, 0));
}

// --- the judgement of a quiet part ----------------------------------------------------------

/// A quiet part after which everything is as it must be.
fn blameless() -> Quiet {
    let mut quiet = Quiet { heap: 1_000, heap_allowed: 1_000, ..Quiet::default() };
    (quiet.resident, quiet.resident_allowed) = (5_000, 5_000);
    quiet.stats.inserted = 28;
    quiet.stats.dropped = 28;
    quiet.audit.inserted = 28;
    quiet.audit.dropped = 28;
    quiet.tally.taken = 28;
    quiet.heard = [1, 2, 3, 4, 5, 6, 7];
    let stats = &mut quiet.stats;
    (stats.expired, stats.idle, stats.evicted, stats.removed) = (1, 2, 3, 4);
    (stats.replaced, stats.cleared, stats.closed) = (5, 6, 7);
    quiet
}

/// The promise, and how it is broken.
type Breach = (&'static str, fn(&mut Quiet));

#[test]
fn each_breach_is_found_and_named() {
    assert_eq!(blameless().faults(), []);
    let accounts = "every session is accounted for";
    let breaches: [Breach; 17] = [
        ("gone without a call", |quiet| quiet.alive = 1),
        ("freed on time", |quiet| quiet.stats.overdue = 1),
        ("no garbage is left", |quiet| quiet.stats.retired.count = 1),
        ("memory comes back", |quiet| quiet.heap = 1_001),
        ("memory goes back to the system", |quiet| quiet.resident = 5_001),
        (accounts, |quiet| quiet.stats.inserted += 1),
        (accounts, |quiet| quiet.stats.dropped -= 1),
        (accounts, |quiet| quiet.stats.entries = 1),
        (accounts, |quiet| quiet.stats.weight = 1),
        (accounts, |quiet| quiet.stats.rejected += 1),
        (accounts, |quiet| quiet.stats.hits += 1),
        (accounts, |quiet| quiet.stats.misses += 1),
        (accounts, |quiet| quiet.stats.drop_panics = 1),
        (accounts, |quiet| quiet.stats.listener_panics = 1),
        (accounts, |quiet| quiet.audit.retired = 1),
        (accounts, |quiet| quiet.audit.inserted -= 1),
        (accounts, |quiet| quiet.tally.taken += 1),
    ];
    for (number, (promise, breach)) in breaches.into_iter().enumerate() {
        let mut quiet = blameless();
        breach(&mut quiet);
        let faults = quiet.faults();
        assert!(faults.iter().any(|fault| fault.promise == promise), "{number}: {faults:?}");
    }
    for cause in 0..7 {
        let mut quiet = blameless();
        quiet.heard[cause] -= 1;
        assert_eq!(quiet.faults().len(), 1, "an event of cause {cause} is missing");
    }
}

#[test]
fn heap_may_be_five_percent_and_64_kib_above_the_first_and_not_a_byte_more() {
    assert_eq!(allowed_heap(1 << 20), (1 << 20) + 52_428 + 65_536);
    let allowed = allowed_heap(1_000) + 2 * 16_384;
    assert_eq!(allowed_first_heap(1_000, 2), allowed, "a thread keeps up to 16 KiB");
}

#[test]
fn resident_memory_may_keep_a_share_of_the_storm_and_not_all_of_it() {
    const MIB: u64 = 1 << 20;
    let (fresh, storm, minute) = (4 * MIB, 96 * MIB, Duration::from_secs(60));
    let first = allowed_first_resident(fresh, storm);
    assert_eq!(first, (4 + 24) * MIB, "a quarter the first time");
    assert_eq!(allowed_resident(10 * MIB, storm, minute), (10 + 12) * MIB, "then an eighth");
    assert_eq!(allowed_resident(10 * MIB, storm, minute / 12), (10 + 24) * MIB, "rounds of 5 s");
    assert!(fresh + storm > first, "all that was ever freed stays");
    assert_eq!(allowed_first_resident(fresh, MIB), 16 * MIB, "less is not given back");
    assert_eq!(allowed_resident(10 * MIB, MIB, minute), 16 * MIB);
}

#[test]
fn garbage_over_its_bound_is_a_fault_if_it_does_not_pass() {
    let seconds = Duration::from_secs;
    let mut watch = GarbageWatch::default();
    assert_eq!(watch.look(seconds(0), 65_537), None);
    assert_eq!(watch.look(seconds(5), 65_537), None);
    assert_eq!(watch.look(seconds(6), 65_536), None, "it has passed");
    assert_eq!(watch.look(seconds(7), 65_537), None);
    assert_eq!(watch.look(seconds(12), 65_537), None);
    assert!(watch.look(seconds(13), 65_537).is_some());
}

#[test]
fn either_cap_exceeded_by_one_is_a_fault() {
    let mut stats = sundown::Stats::default();
    (stats.entries, stats.weight) = (10, 100);
    assert_eq!(over_caps(&stats), None, "there is no cap");
    (stats.max_entries, stats.max_weight) = (Some(10), Some(100));
    assert_eq!(over_caps(&stats), None);
    stats.entries = 11;
    assert!(over_caps(&stats).is_some());
    (stats.entries, stats.weight) = (10, 101);
    assert!(over_caps(&stats).is_some());
}

// --- the callers and the command line -------------------------------------------------------

#[test]
fn a_post_counts_what_the_cache_counts() {
    let house = House::build(1, Way::Auto).expect("it builds");
    let mut traffic = Traffic::new(5, 0, 1, 3_600 * SECOND);
    for mood in [Mood::Storm, Mood::Browse, Mood::Churn] {
        let opening = if mood == Mood::Churn { Opening::Retain } else { Opening::ForEach };
        let spell = traffic::Spell { mood, calls: 20_000, opening };
        Post::new(&house, 0, &mut traffic).serve(spell, &AtomicBool::new(false));
    }
    let (tally, stats) = (house.tally(), house.cache.stats());
    assert_eq!(tally.calls, 60_000);
    assert_eq!((tally.taken, tally.refused), (stats.inserted, stats.rejected));
    assert_eq!((tally.hits, tally.misses), (stats.hits, stats.misses));
    assert_eq!(house.faults(), []);
    house.cache.close();
    let stats = house.cache.stats();
    let left = [stats.expired, stats.idle, stats.evicted, stats.removed, stats.replaced];
    assert_eq!(house.heard.counts()[..5], left);
    assert!(stats.closed > 0 && stats.replaced > 0 && stats.removed > 0, "{stats:?}");
    assert_eq!(house.alive(), 0);
}

fn plan(words: &str) -> Result<Plan, String> {
    let words = std::iter::once("soak").chain(words.split_whitespace());
    Options::try_parse_from(words).map_err(|error| error.to_string())?.plan()
}

#[test]
fn options_make_a_plan_or_a_clear_complaint() {
    let long = plan("--duration 8h --threads 4").expect("it makes sense");
    assert_eq!((long.rounds, long.threads, long.duration()), (480, 4, Duration::from_secs(28_800)));
    assert!(long.longest_life + long.silence() < long.check_every / 2);
    for (words, name) in [
        ("--duration 1m", "--duration"),
        ("--duration 10000d", "--duration"),
        ("--check-every 1s", "--check-every"),
        ("--check-every 2h", "--check-every"),
        ("--threads 0", "--threads"),
        ("--threads 65", "--threads"),
        ("--seed one", "--seed"),
        ("--give-back twice", "--give-back"),
    ] {
        let complaint = plan(words).expect_err(words);
        assert!(complaint.contains(name), "{words}: {complaint}");
    }
    let elsewhere = plan("--out soak.png").expect("it is looked at when it is needed");
    let complaint = picture::check(&elsewhere.picture, "--out").expect_err("no SVG");
    assert!(complaint.contains(".svg"), "{complaint}");
}
