//! Models of the touch word and the deadlines: who wins between readers and the writer.

use std::time::Duration;

use crate::index::loom_tests::{Desk, FOREVER, Sessions};
use crate::index::*;
use crate::lifetime::Spans;
use crate::platform::clock::{Clock, MILLI_NS, ManualClock, NEVER_NS};
use crate::platform::loom_tests::Depth::Complete;
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::pin;
use crate::removal::RemovalCause;

const IDLE_5: Spans = Spans { live_ns: NEVER_NS, idle_ns: 5 * MILLI_NS };

fn at(now_ns: u64) -> Clock {
    let manual = ManualClock::new();
    manual.advance(Duration::from_nanos(now_ns));
    Clock::from(manual)
}

fn insert(desk: &mut Desk, now_ns: u64, spans: Spans) -> Linked<u32, Canary> {
    let fresh = Fresh::new(1, Canary::new(10), 7, 1);
    fresh.begin(now_ns, spans);
    desk.index.link(&mut desk.writer, fresh).0
}

/// Touches at 10 ms; whether it was there.
fn touch(index: &Sessions) -> bool {
    let clock = at(10 * MILLI_NS);
    let pin = pin();
    let look = (&clock, Use::Touch);
    index.look_up(&pin, 7, |key| *key == 1, look).is_some()
}

/// Ends the scene: frees what is left.
fn clear(mut desk: Desk, linked: Option<Linked<u32, Canary>>, dead: Vec<Unlinked<u32, Canary>>) {
    let rest = linked.map(|linked| desk.unlink(linked));
    for unlinked in dead.into_iter().chain(rest) {
        assert!(unlinked.is_free());
        // SAFETY: the race is over, so no reader is left, and there was no hold.
        drop(unsafe { unlinked.take() });
    }
}

#[test]
fn loom_touch_against_reap_has_one_winner() {
    let seen = Seen::new(["reaped", "touched"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let linked = insert(&mut desk, 6 * MILLI_NS, IDLE_5);
        let index = desk.index.clone();
        // Untouched it is over at 11 ms, touched at 10 ms it lives until 15 ms.
        let (killed, [touched]) =
            race(|| linked.kill_if_due(12 * MILLI_NS), [Box::new(move || touch(&index))]);
        match (killed, touched) {
            (Ok(RemovalCause::Idle), false) => notes.note(0),
            (Err(deadline_ns), true) => {
                assert_eq!(deadline_ns, 15 * MILLI_NS);
                notes.note(1);
            }
            both => panic!("a touch was lost: {both:?}"),
        }
        if killed.is_err() {
            return clear(desk, Some(linked), Vec::new());
        }
        let dead = desk.index.unlink(&mut desk.writer, linked, RemovalCause::Idle);
        clear(desk, None, vec![dead]);
    });
    seen.assert_all();
}

#[test]
fn loom_touch_against_eviction_has_one_winner() {
    let seen = Seen::new(["evicted", "touched"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let linked = insert(&mut desk, 6 * MILLI_NS, FOREVER);
        let index = desk.index.clone();
        // The evictor has read that it was used at 6 ms.
        let evict = || linked.kill_if_unused_since(6, 10 * MILLI_NS);
        let (killed, [touched]) = race(evict, [Box::new(move || touch(&index))]);
        match (killed, touched) {
            (Some(None), false) => notes.note(0),
            (None, true) => notes.note(1),
            both => panic!("a touch was lost: {both:?}"),
        }
        if killed.is_none() {
            return clear(desk, Some(linked), Vec::new());
        }
        let dead = desk.index.unlink(&mut desk.writer, linked, RemovalCause::Evicted);
        clear(desk, None, vec![dead]);
    });
    seen.assert_all();
}

#[test]
fn loom_touch_against_update_counts_for_the_successor() {
    let seen = Seen::new(["inherited", "made on the successor"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let linked = insert(&mut desk, 6 * MILLI_NS, IDLE_5);
        let index = desk.index.clone();
        let update = || {
            let fresh = Fresh::new(1, Canary::new(11), 7, 1);
            let index = desk.index.clone();
            let heir = index.supersede(
                &mut desk.writer,
                &linked,
                fresh,
                Succession::Inherit,
                9 * MILLI_NS,
            );
            heir.ok().expect("it always succeeds").0
        };
        let (heir, [touched]) = race(update, [Box::new(move || touch(&index))]);
        assert!(touched, "the key was there all the time");
        assert_eq!(heir.used_ms(), 10, "a touch was lost");
        notes.note(usize::from(linked.used_ms() == 6));
        clear(desk, Some(heir), vec![linked.into_superseded(RemovalCause::Replaced)]);
    });
    seen.assert_all();
}

#[test]
fn loom_touch_against_a_replacement_of_what_is_due_has_one_winner() {
    let seen = Seen::new(["replaced", "touched"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let linked = insert(&mut desk, 6 * MILLI_NS, IDLE_5);
        let index = desk.index.clone();
        let replace = || {
            let fresh = Desk::fresh(1, 11, 7);
            let index = desk.index.clone();
            index.supersede(&mut desk.writer, &linked, fresh, Succession::IfDue, 12 * MILLI_NS).ok()
        };
        let (heir, [touched]) = race(replace, [Box::new(move || touch(&index))]);
        assert!(touched, "the key was there all the time");
        let Some((heir, cause)) = heir else {
            assert_eq!(linked.used_ms(), 10, "it stays for being used");
            notes.note(1);
            return clear(desk, Some(linked), Vec::new());
        };
        assert_eq!(cause, Some(RemovalCause::Idle));
        assert_eq!((linked.used_ms(), heir.used_ms()), (6, 10), "a touch was lost");
        notes.note(0);
        clear(desk, Some(heir), vec![linked.into_superseded(RemovalCause::Idle)]);
    });
    seen.assert_all();
}

/// Judges while lifetimes go from `old`, used at 6 ms, to `new`, measured from 10 ms; gives the
/// deadlines seen, at least once each.
fn judge_amid(
    old: Spans,
    new: Spans,
    allowed_ms: [u64; 2],
    between_ms: core::ops::RangeInclusive<u64>,
) {
    let seen = Seen::new(["the old", "the new"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let linked = insert(&mut desk, 6 * MILLI_NS, old);
        let index = desk.index.clone();
        let judge = move || {
            let pin = pin();
            let entry = index.find(&pin, 7, |key| *key == 1).expect("it is in");
            entry.judge().deadline_ns() / MILLI_NS
        };
        let ((), [deadline_ms]) =
            race(|| linked.set_lifetime(new, 10 * MILLI_NS), [Box::new(judge)]);
        assert!(between_ms.contains(&deadline_ms), "N5: over at {deadline_ms} ms");
        for (which, allowed_ms) in allowed_ms.into_iter().enumerate() {
            if deadline_ms == allowed_ms {
                notes.note(which);
            }
        }
        clear(desk, Some(linked), Vec::new());
    });
    seen.assert_all();
}

#[test]
fn loom_judgement_amid_new_lifetimes_is_no_earlier_than_both() {
    // The new idle time with the old last use would end it at 9 ms.
    let old = Spans { live_ns: 14 * MILLI_NS, idle_ns: NEVER_NS };
    let new = Spans { live_ns: NEVER_NS, idle_ns: 3 * MILLI_NS };
    judge_amid(old, new, [20, 13], 13..=20);
}

#[test]
fn loom_judgement_amid_new_lifetimes_is_no_later_than_both() {
    // The old absolute deadline with the new idle time would never end it.
    let old = Spans { live_ns: NEVER_NS, idle_ns: 5 * MILLI_NS };
    let new = Spans { live_ns: 10 * MILLI_NS, idle_ns: NEVER_NS };
    judge_amid(old, new, [11, 20], 11..=20);
}
