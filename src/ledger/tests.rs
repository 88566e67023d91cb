//! The ledger against a sorted list, over every level's edges.

use super::*;
use crate::ledger::history::{Word, records, turns};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) const GRAIN_NS: u64 = 10_000_000;
/// What a slot of a level takes.
const SLOT_BYTES: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) name: u32,
    pub(super) deadline_ns: Rc<Cell<u64>>,
    pub(super) used_ms: Rc<Cell<u64>>,
}

pub(super) fn token(name: u32, deadline_ns: u64, used_ms: u64) -> Token {
    Token {
        name,
        deadline_ns: Rc::new(Cell::new(deadline_ns)),
        used_ms: Rc::new(Cell::new(used_ms)),
    }
}

pub(super) fn check(ledger: &Ledger<Token>) {
    ledger
        .check(|token| token.deadline_ns.get(), |token| token.used_ms.get())
        .expect("the invariants hold");
}

/// Takes out all that is due at `now_ns`, as a shard does.
fn reap(ledger: &mut Ledger<Token>, now_ns: u64, exact: bool) -> Vec<u32> {
    let mut reaped = Vec::new();
    ledger.advance(now_ns, exact);
    while let Some(id) = ledger.next_due() {
        let deadline_ns = ledger.get(id).deadline_ns.get();
        if deadline_ns <= now_ns {
            reaped.push(ledger.remove(id).name);
        } else {
            ledger.refile(id, deadline_ns);
        }
    }
    reaped
}

/// A small generator, so that the cases are the same each time.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn every_cascade_edge_is_reaped_in_its_tick_and_not_before() {
    // The finest grain, so that all levels lie before the end of time.
    const GRAIN_NS: u64 = 1_000_000;
    for level in 0..8 {
        for multiple in [1_u64, 2, 31, 32, 33, 63, 64, 65] {
            for delta in [-1_i64, 0, 1] {
                let tick = ((multiple << (5 * level)) as i64 + delta) as u64;
                for start in [0, 7, 31, 32, 1_000_003] {
                    let due_ns = (start + tick) * GRAIN_NS;
                    let mut ledger = Ledger::new(GRAIN_NS, true);
                    reap(&mut ledger, start * GRAIN_NS, false);
                    ledger.insert(token(1, due_ns, 0), due_ns, 0);
                    check(&ledger);
                    let mut wakes = 0;
                    let mut now_ns = start * GRAIN_NS;
                    let reaped = loop {
                        let look_ns = ledger.next_look_ns();
                        assert!(look_ns <= due_ns, "slept through the deadline");
                        now_ns = now_ns.max(look_ns);
                        let reaped = reap(&mut ledger, now_ns, false);
                        check(&ledger);
                        wakes += 1;
                        if !reaped.is_empty() {
                            break reaped;
                        }
                        assert!(wakes < 20, "woke without end at level {level}");
                    };
                    assert_eq!((reaped, now_ns), (vec![1], due_ns));
                }
            }
        }
    }
}

#[test]
fn jump_to_the_end_of_time_finds_everyone() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    for name in 0..60 {
        let due_ns = 1 << name;
        ledger.insert(token(name, due_ns, 0), due_ns, 0);
    }
    check(&ledger);
    assert_eq!(reap(&mut ledger, 1 << 62, false).len(), 60);
    assert_eq!(ledger.len(), 0);
    ledger.trim();
    assert_eq!(ledger.bytes(), 0);
}

#[test]
fn session_due_at_a_slots_start_does_not_wait_for_its_neighbours() {
    let mut ledger = Ledger::new(GRAIN_NS, false);
    // One session at the very start of a slot of level 2, and many spread over the rest of it.
    let start_ns = 5 * 1_024 * GRAIN_NS;
    for name in 0..10_000 {
        ledger.insert(
            token(name, start_ns + u64::from(name) * 1_000_000, 0),
            start_ns + u64::from(name) * 1_000_000,
            0,
        );
    }
    // The reaper looks when it is told to, and refiles 128 at a time.
    let mut now_ns = 0;
    let mut first_reaped_ns = None;
    while first_reaped_ns.is_none() {
        now_ns = ledger.next_look_ns().max(now_ns + 1);
        ledger.advance(now_ns, false);
        for _ in 0..128 {
            let Some(id) = ledger.next_due() else { break };
            let deadline_ns = ledger.get(id).deadline_ns.get();
            if deadline_ns <= now_ns {
                ledger.remove(id);
                first_reaped_ns.get_or_insert(now_ns);
            } else {
                ledger.refile(id, deadline_ns);
            }
        }
    }
    assert_eq!(first_reaped_ns, Some(start_ns));
}

#[test]
fn backlog_knows_the_smallest_key_of_all_that_was_set_aside() {
    let mut slab = Slab::new();
    let mut wheel = Wheel::<DEADLINE>::new(1, 0);
    let mut file = |wheel: &mut Wheel<DEADLINE>, key| {
        let id = slab.insert(());
        wheel.file(&mut slab, id, key);
        wheel.advance(&mut slab, 10, false);
    };
    file(&mut wheel, 10);
    // A key that has passed is filed under the current tick, behind what waits already.
    file(&mut wheel, 5);
    assert_eq!(wheel.lower_bound(), 5);
}

#[test]
fn coldest_is_the_least_last_use_after_lazy_touches() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut ledger = Ledger::new(GRAIN_NS, true);
    let tokens: Vec<_> = (0..2_000_u32)
        .map(|name| {
            let token = token(name, NEVER_NS, u64::from(name) * 37);
            ledger.insert(token.clone(), NEVER_NS, token.used_ms.get());
            token
        })
        .collect();
    let mut live: BTreeMap<u32, Token> =
        tokens.iter().map(|token| (token.name, token.clone())).collect();
    let mut now_ms = 2_000 * 37;
    while !live.is_empty() {
        for _ in 0..3 {
            now_ms += next(&mut state) % 5_000;
            let touched = (next(&mut state) % 2_000) as u32;
            tokens[touched as usize].used_ms.set(now_ms);
        }
        let found = loop {
            let mut bite = 128;
            match ledger.coldest(&mut bite, |token| token.used_ms.get()) {
                Coldest::Found(id, used_ms) => break (id, used_ms),
                Coldest::Unsettled(..) => assert_eq!(bite, 0),
                Coldest::Empty => panic!("the ledger lost somebody"),
            }
        };
        check(&ledger);
        let least_ms = live.values().map(|token| token.used_ms.get()).min().unwrap();
        assert_eq!(found.1, least_ms);
        assert!(ledger.coldest_bound_ms() <= least_ms);
        live.remove(&ledger.remove(found.0).name).expect("it was in");
    }
    assert_eq!(ledger.len(), 0);
}

#[test]
fn first_evictions_long_after_the_clocks_origin_examine_few_records() {
    let mut ledger = Ledger::new(10, true);
    let a_month_ms = 30 * 86_400_000;
    for name in 0..10_000 {
        let used_ms = a_month_ms + u64::from(name) / 10;
        ledger.insert(token(name, NEVER_NS, used_ms), NEVER_NS, used_ms);
    }
    // The very first may happen to lie in front.
    for name in 0..100 {
        let mut bite = 8;
        let coldest = ledger.coldest(&mut bite, |token| token.used_ms.get());
        let Coldest::Found(id, used_ms) = coldest else { panic!("{name}: {coldest:?}") };
        assert_eq!((ledger.get(id).name, used_ms), (name, a_month_ms + u64::from(name) / 10));
        ledger.remove(id);
        check(&ledger);
    }
}

#[test]
fn ties_leave_in_order_of_arrival() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    for name in 0..5 {
        ledger.insert(token(name, NEVER_NS, 7), NEVER_NS, 7);
    }
    for name in 0..5 {
        let mut bite = 8;
        let Coldest::Found(id, 7) = ledger.coldest(&mut bite, |token| token.used_ms.get()) else {
            panic!("the first of five is found at once");
        };
        assert_eq!(ledger.remove(id).name, name);
    }
}

#[test]
fn record_is_in_from_its_insertion_to_its_removal() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    let ids: Vec<_> =
        (0..3).map(|name| ledger.insert(token(name, NEVER_NS, 0), NEVER_NS, 0).0).collect();
    assert!(ids.iter().all(|&id| ledger.contains(id)));
    ledger.remove(ids[1]);
    assert!(ledger.contains(ids[0]) && !ledger.contains(ids[1]) && ledger.contains(ids[2]));
}

#[test]
fn only_what_comes_up_in_its_own_tick_is_due() {
    let mut ledger = Ledger::new(GRAIN_NS, false);
    let (soon_ns, late_ns) = (3 * GRAIN_NS, 5_000 * GRAIN_NS);
    let (soon, _) = ledger.insert(token(0, soon_ns, 0), soon_ns, 0);
    ledger.insert(token(1, late_ns, 0), late_ns, 0);
    assert!(!ledger.is_due_waiting());
    ledger.advance(soon_ns, false);
    assert!(ledger.is_due_waiting() && ledger.next_due() == Some(soon));
    ledger.remove(soon);
    assert!(!ledger.is_due_waiting());
    // The other one's slot is emptied ahead of its time.
    ledger.advance(ledger.next_look_ns(), false);
    assert!(ledger.next_due().is_some() && !ledger.is_due_waiting());
}

#[test]
fn bounds_say_what_is_known() {
    let mut ledger = Ledger::new(GRAIN_NS, true);
    assert_eq!((ledger.coldest_bound_ms(), ledger.earliest_ns()), (u64::MAX, NEVER_NS));
    ledger.insert(token(0, 90_000_000_000, 7_000), 90_000_000_000, 7_000);
    assert_eq!((ledger.coldest_bound_ms(), ledger.earliest_ns()), (7_000, 90_000_000_000));
    ledger.insert(token(1, 80_000_000_000, 9_000), 80_000_000_000, 9_000);
    assert_eq!((ledger.coldest_bound_ms(), ledger.earliest_ns()), (7_000, 80_000_000_000));
}

#[test]
fn check_names_the_invariant_that_is_broken() {
    let broken = |breakage: fn(&mut Ledger<Token>, RecordId)| {
        let mut ledger = Ledger::new(GRAIN_NS, true);
        let id = ledger.insert(token(0, 90 * GRAIN_NS, 700), 90 * GRAIN_NS, 700).0;
        ledger.insert(token(1, NEVER_NS, 800), NEVER_NS, 800);
        check(&ledger);
        breakage(&mut ledger, id);
        let (deadline_ns, used_ms) = (|t: &Token| t.deadline_ns.get(), |t: &Token| t.used_ms.get());
        ledger.check(deadline_ns, used_ms).expect_err("it is broken")[..2].to_string()
    };
    assert_eq!(broken(|ledger, id| ledger.hide_from_eviction(id)), "L1");
    assert_eq!(broken(|ledger, id| assert_eq!(ledger.refile(id, NEVER_NS), NEVER_NS)), "L2");
    assert_eq!(broken(|ledger, id| ledger.get(id).deadline_ns.set(89 * GRAIN_NS)), "W3");
    assert_eq!(broken(|ledger, id| ledger.get(id).used_ms.set(699)), "W3");
}

/// Each part alone: the page that emptied last, a level of deadlines, a level of last uses.
#[test]
fn slack_of_each_part_is_told_and_given_back() {
    let give_back = |ledger: &mut Ledger<Token>, part: &str| {
        assert!(ledger.has_slack(), "{part}");
        let before = ledger.bytes();
        ledger.trim();
        assert!(!ledger.has_slack() && ledger.bytes() < before, "{part}");
    };
    let fresh = |deadline_ns, used_ms| (token(0, deadline_ns, used_ms), deadline_ns, used_ms);
    let one = |keeps_recency, deadline_ns| {
        let mut ledger = Ledger::new(GRAIN_NS, keeps_recency);
        let (token, deadline_ns, used_ms) = fresh(deadline_ns, 0);
        let (id, _) = ledger.insert(token, deadline_ns, used_ms);
        assert!(!ledger.has_slack());
        (ledger, id)
    };
    let (mut ledger, id) = one(false, NEVER_NS);
    ledger.remove(id);
    give_back(&mut ledger, "page");
    let (mut ledger, id) = one(false, 1 << 50);
    ledger.refile(id, NEVER_NS);
    give_back(&mut ledger, "deadlines");
    let (mut ledger, _) = one(true, NEVER_NS);
    let (token, deadline_ns, used_ms) = fresh(NEVER_NS, 1 << 30);
    let (later, _) = ledger.insert(token, deadline_ns, used_ms);
    assert!(!ledger.has_slack());
    ledger.remove(later);
    give_back(&mut ledger, "last uses");
}

#[test]
fn level_is_slack_when_over_twice_too_large() {
    let mut ledger = Ledger::new(GRAIN_NS, false);
    let file = |tick| ledger.insert(token(0, tick * GRAIN_NS, 0), tick * GRAIN_NS, 0).0;
    // A vector doubles: nine slots have sixteen places.
    let ids: Vec<_> = (1..=9).map(file).collect();
    ledger.remove(ids[0]);
    assert!(!ledger.has_slack(), "16 is twice 8");
    ledger.remove(ids[1]);
    assert!(ledger.has_slack(), "16 is over twice 7");
    ledger.trim();
    let fitted = ledger.bytes();
    ledger.remove(ids[2]);
    assert!(!ledger.has_slack(), "7 is not over twice 6");
    ledger.trim();
    assert_eq!(ledger.bytes(), fitted - SLOT_BYTES, "and is fitted with the rest");
}

/// What traffic gives back at each ebb it would ask for again.
#[test]
fn many_records_are_fitted_loosely() {
    let mut ledger = Ledger::new(GRAIN_NS, false);
    let mut file = |deadline_ns| ledger.insert(token(0, deadline_ns, 0), deadline_ns, 0).0;
    // Vectors double: 17 slots have 32 places, and 129 pages a directory of 256.
    let slots: Vec<_> = (1..=17).map(|tick| file(tick * GRAIN_NS)).collect();
    let crowd: Vec<_> = (0..4_096).map(|_| file(NEVER_NS)).collect();
    ledger.trim();
    let loose = ledger.bytes();
    slots[..9].iter().for_each(|&id| drop(ledger.remove(id)));
    assert!(!ledger.has_slack(), "32 is 4 times 8");
    ledger.trim();
    assert_eq!(ledger.bytes(), loose);
    ledger.remove(slots[9]);
    assert!(ledger.has_slack(), "32 is over 4 times 7");
    ledger.trim();
    assert_eq!(ledger.bytes(), loose - 25 * SLOT_BYTES);
    crowd[..7].iter().for_each(|&id| drop(ledger.remove(id)));
    ledger.trim();
    assert_eq!(ledger.bytes(), loose - 25 * SLOT_BYTES, "4,096 are many");
    ledger.remove(crowd[7]);
    ledger.trim();
    assert_eq!(ledger.bytes(), loose - 25 * SLOT_BYTES - 127 * size_of::<usize>());
    check(&ledger);
}

/// Crowds of deadlines and last uses on every level that time has, of which few stay.
#[test]
fn loose_fit_leaves_under_a_twentieth_unused() {
    const LEAST_ENTRY_BYTES: usize = 64;
    for times in [4, 32] {
        let mut ledger = Ledger::new(1_000_000, true);
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut file = |n| {
            // As many of each magnitude.
            let at_ms = next(&mut state) >> (21 + n % 40);
            ledger.insert(token(0, at_ms * 1_000_000, at_ms), at_ms * 1_000_000, at_ms).0
        };
        let ids: Vec<_> = (0..times * MANY_RECORDS).map(&mut file).collect();
        ids[MANY_RECORDS..].iter().for_each(|&id| drop(ledger.remove(id)));
        ledger.trim();
        let loose = ledger.bytes();
        ledger.slab.trim(Fit::Exact);
        ledger.deadlines.trim(Fit::Exact);
        ledger.recency.iter_mut().for_each(|recency| recency.trim(Fit::Exact));
        let (exact, entries) = (ledger.bytes(), MANY_RECORDS * LEAST_ENTRY_BYTES);
        assert!(loose > exact, "something is left");
        assert!((loose - exact) * 20 < exact + entries, "{loose} for {exact}");
    }
}

#[test]
fn random_deadlines_agree_with_a_sorted_list() {
    let mut state = 0x1234_5678_9abc_def1;
    for round in 0..200 {
        let mut ledger = Ledger::new(GRAIN_NS, true);
        let mut model: BTreeMap<u32, Token> = BTreeMap::new();
        let mut now_ns = 0;
        for step in 0..200_u32 {
            let reach = 1_u64 << (next(&mut state) % 45);
            match next(&mut state) % 6 {
                0..=2 => {
                    let due_ns = now_ns + next(&mut state) % reach;
                    let token = token(step, due_ns, now_ns / 1_000_000);
                    ledger.insert(token.clone(), due_ns, token.used_ms.get());
                    model.insert(step, token);
                }
                3 => {
                    // A touch: the entry's deadline moves, and nobody tells the ledger.
                    if let Some(token) = model.values().nth(next(&mut state) as usize % 8) {
                        token.deadline_ns.set(token.deadline_ns.get() + reach);
                    }
                }
                4 => now_ns += next(&mut state) % reach,
                _ => now_ns = now_ns.max(ledger.next_look_ns().min(now_ns + (1 << 40))),
            }
            let exact = next(&mut state) % 2 == 0;
            let mut reaped = reap(&mut ledger, now_ns, exact);
            reaped.sort_unstable();
            let floor_ns = if exact { now_ns } else { now_ns / GRAIN_NS * GRAIN_NS };
            // By whole ticks a session may be found early in its last tick, once it is due.
            for name in &reaped {
                let token = model.remove(name).expect("it was in");
                assert!(token.deadline_ns.get() <= now_ns, "reaped early in round {round}");
            }
            let late = model.values().any(|token| token.deadline_ns.get() <= floor_ns);
            assert!(!late, "missed a deadline in round {round}, step {step}");
            check(&ledger);
        }
    }
}

proptest! {
    // A failure is kept as a named test, not as a seed.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wheel_agrees_with_a_sorted_map(words in vec(any::<Word>(), 1..200)) {
        let result = turns::run(&words);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }

    #[test]
    fn ledger_agrees_with_a_list(words in vec(any::<Word>(), 1..200)) {
        let result = records::run(&words);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}

/// A history that reaches little proves little.
#[test]
fn the_histories_reach_every_level_and_every_end() {
    let mut state = 0x0bad_5eed_0bad_5eed;
    let mut history = || (0..200).map(|_| (next(&mut state) as u32).to_le_bytes()).collect();
    let (mut wheel, mut ledger) = (turns::Reached::default(), records::Reached::default());
    for _ in 0..300 {
        let words: Vec<Word> = history();
        let reached = turns::run(&words).expect("the wheel agrees with the map");
        wheel.taken += reached.taken;
        wheel.refiled += reached.refiled;
        wheel.on_time += reached.on_time;
        wheel.furthest_ticks = wheel.furthest_ticks.max(reached.furthest_ticks);
        let reached = records::run(&words).expect("the ledger agrees with the list");
        ledger.reaped += reached.reaped;
        ledger.evicted += reached.evicted;
        ledger.unsettled += reached.unsettled;
        ledger.most = ledger.most.max(reached.most);
    }
    assert!(wheel.taken > 1_000 && wheel.refiled > 1_000 && wheel.on_time > 100, "{wheel:?}");
    // The ninth level begins where the ring of the eighth ends.
    assert!(wheel.furthest_ticks >= 64 << (5 * 7), "{wheel:?}");
    assert!(ledger.reaped > 1_000 && ledger.evicted > 1_000, "{ledger:?}");
    assert!(ledger.unsettled > 50 && ledger.most > 128, "{ledger:?}");
}
