//! Models of an entry's life, on the real index, entries, garbage and collector.
//!
//! The oracle for use after free is a `loom::cell::UnsafeCell` in each value: readers read it, the
//! destructor writes it. The oracle for leaks is a `Track` beside it. Each model also asserts, over
//! all its executions, that what it is about has really happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::alloc::Track;
use loom::cell::UnsafeCell;
use loom::thread;

use super::*;
use crate::index::{Entry, Fresh, Index, Linked, Look, Succession, Use, Writer};
use crate::lifetime::Spans;
use crate::platform::clock::{Clock, ManualClock, NEVER_NS};
use crate::platform::sync::{pin, turn_epoch};
use crate::removal::RemovalCause;

/// A value that notices if it is read after, or while, it is dropped.
struct Canary {
    name: UnsafeCell<u32>,
    _track: Track<()>,
}

impl Canary {
    fn new(name: u32) -> Self {
        Self { name: UnsafeCell::new(name), _track: Track::new(()) }
    }

    fn name(&self) -> u32 {
        // SAFETY: nobody writes while the value lives; that is what the model checks.
        self.name.with(|name| unsafe { *name })
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // SAFETY: `&mut self`; that nobody reads any more is what the model checks.
        self.name.with_mut(|name| unsafe { *name = 0 });
    }
}

const FOREVER: Spans = Spans { live_ns: NEVER_NS, idle_ns: NEVER_NS };
const MILLI_NS: u64 = 1_000_000;

fn link(index: &Index<u32, Canary>, writer: &mut Writer, name: u32) -> Linked<u32, Canary> {
    let fresh = Fresh::new(1, Canary::new(name), 7, 1);
    fresh.begin(0, FOREVER);
    let (linked, old_table) = index.link(writer, fresh);
    assert!(old_table.is_none(), "the first table holds seven");
    linked
}

fn supersede(
    index: &Index<u32, Canary>,
    writer: &mut Writer,
    old: Linked<u32, Canary>,
    name: u32,
) -> (Linked<u32, Canary>, Unlinked<u32, Canary>) {
    let fresh = Fresh::new(1, Canary::new(name), 7, 1);
    fresh.begin(0, FOREVER);
    let superseded = index.supersede(writer, &old, fresh, Succession::Always, 0);
    let (heir, _) = superseded.ok().expect("always succeeds");
    (heir, old.into_superseded(RemovalCause::Replaced))
}

fn get(index: &Index<u32, Canary>) -> Option<u32> {
    let clock = Clock::monotonic();
    let pin = pin();
    let look = (&clock, Use::Peek);
    index.look_up(&pin, 7, |key| *key == 1, look).map(|entry| entry.value().name())
}

/// Frees what is ripe, as a drainer does; tells how many entries that were.
fn drain(garbage: &mut Garbage<u32, Canary>, readers: Readers) -> usize {
    garbage.seal();
    Ticket::defer();
    turn_epoch();
    turn_epoch();
    let mut freed = 0;
    assert!(garbage.try_start_draining());
    while let Some(mut ripe) = garbage.take_ripe(8, readers) {
        ripe.free_tables();
        while ripe.next_removed().is_some() {
            freed += 1;
        }
        garbage.put_back(ripe);
        garbage.stop_draining();
        assert!(garbage.try_start_draining());
        if readers == Readers::Possible && !garbage.needs_draining() {
            garbage.stop_draining();
            break;
        }
    }
    freed
}

fn finish(
    index: &Index<u32, Canary>,
    writer: &mut Writer,
    mut garbage: Garbage<u32, Canary>,
    last: Option<Linked<u32, Canary>>,
) {
    if let Some(last) = last {
        last.kill(0);
        garbage.push(index.unlink(writer, last, RemovalCause::Closed), 0);
    }
    if let Some(table) = index.fit(writer) {
        garbage.push_table(table, 0);
    }
    garbage.is_draining = false;
    drain(&mut garbage, Readers::Gone);
    assert_eq!(garbage.check(garbage.taken), Ok(0));
}

#[test]
fn loom_read_against_replace_sees_one_of_the_two_and_nothing_freed() {
    let freed_early = Arc::new(AtomicUsize::new(0));
    let (seen_old, seen_new) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (early, old, new) = (freed_early.clone(), seen_old.clone(), seen_new.clone());
    loom::model(move || {
        let (index, mut writer) = Index::new(8);
        let index = Arc::new(index);
        let linked = link(&index, &mut writer, 10);
        let reader = {
            let (index, old, new) = (index.clone(), old.clone(), new.clone());
            thread::spawn(move || match get(&index) {
                Some(10) => old.fetch_add(1, Relaxed),
                Some(11) => new.fetch_add(1, Relaxed),
                other => panic!("a key that is replaced is never missing: {other:?}"),
            })
        };
        let mut garbage = Garbage::new(false);
        let (heir, unlinked) = supersede(&index, &mut writer, linked, 11);
        garbage.push(unlinked, 0);
        early.fetch_add(drain(&mut garbage, Readers::Possible), Relaxed);
        reader.join().expect("the reader does not panic");
        finish(&index, &mut writer, garbage, Some(heir));
    });
    assert!(freed_early.load(Relaxed) > 0, "grace never ended while the reader was about");
    assert!(seen_old.load(Relaxed) > 0 && seen_new.load(Relaxed) > 0);
}

#[test]
fn loom_read_against_remove_and_reuse_of_the_lane() {
    let misses = Arc::new(AtomicUsize::new(0));
    let count = misses.clone();
    loom::model(move || {
        let (index, mut writer) = Index::new(8);
        let index = Arc::new(index);
        let linked = link(&index, &mut writer, 10);
        let reader = {
            let (index, count) = (index.clone(), count.clone());
            thread::spawn(move || {
                if get(&index).is_none() {
                    count.fetch_add(1, Relaxed);
                }
            })
        };
        let mut garbage = Garbage::new(false);
        linked.kill(0);
        garbage.push(index.unlink(&mut writer, linked, RemovalCause::Removed), 0);
        let again = link(&index, &mut writer, 12);
        drain(&mut garbage, Readers::Possible);
        reader.join().expect("the reader does not panic");
        finish(&index, &mut writer, garbage, Some(again));
    });
    assert!(misses.load(Relaxed) > 0, "the reader never came between");
}

#[test]
fn loom_read_against_a_table_that_is_replaced_and_freed() {
    loom::model(|| {
        let (index, mut writer) = Index::new(8);
        let index = Arc::new(index);
        let linked = link(&index, &mut writer, 10);
        let reader = {
            let index = index.clone();
            thread::spawn(move || assert_eq!(get(&index), Some(10)))
        };
        let mut garbage = Garbage::new(false);
        let table = index.rebuild_for_test(&mut writer, 8).expect("there was a table");
        garbage.push_table(table, 0);
        drain(&mut garbage, Readers::Possible);
        reader.join().expect("the reader does not panic");
        finish(&index, &mut writer, garbage, Some(linked));
    });
}

#[test]
fn loom_touch_that_was_returned_keeps_the_session_alive() {
    let outcomes = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counts = outcomes.clone();
    loom::model(move || {
        let manual = ManualClock::new();
        let (index, mut writer) = Index::new(8);
        let index = Arc::new(index);
        let fresh = Fresh::new(1, Canary::new(10), 7, 1);
        fresh.begin(6 * MILLI_NS, Spans { live_ns: NEVER_NS, idle_ns: 5 * MILLI_NS });
        let (linked, _) = index.link(&mut writer, fresh);
        manual.advance(std::time::Duration::from_millis(10));
        let reader = {
            let (index, clock) = (index.clone(), Clock::from(manual));
            thread::spawn(move || {
                let pin = pin();
                let entry: Option<&Entry<u32, Canary>> = index.find(&pin, 7, |key| *key == 1);
                entry.map(|entry| entry.look(&clock, Use::Touch))
            })
        };
        // Untouched it is over at 11 ms, touched at 10 ms it lives until 15 ms.
        let killed = linked.kill_if_due(12 * MILLI_NS);
        let look = reader.join().expect("the reader does not panic");
        match (killed, look) {
            (Ok(RemovalCause::Idle), Some(Look::Dead)) => counts[0].fetch_add(1, Relaxed),
            (Err(deadline_ns), Some(Look::Live)) => {
                assert_eq!(deadline_ns, 15 * MILLI_NS);
                counts[1].fetch_add(1, Relaxed)
            }
            both => panic!("a touch was lost: {both:?}"),
        };
        let mut garbage = Garbage::new(false);
        let last = if killed.is_ok() {
            garbage.push(index.unlink(&mut writer, linked, RemovalCause::Idle), 0);
            None
        } else {
            Some(linked)
        };
        finish(&index, &mut writer, garbage, last);
    });
    assert!(outcomes.iter().all(|count| count.load(Relaxed) > 0), "only one outcome was reached");
}

#[test]
fn loom_held_entry_is_freed_once_and_after_its_hold() {
    let reports = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counts = reports.clone();
    loom::model(move || {
        let (index, mut writer) = Index::new(8);
        let index = Arc::new(index);
        let linked = link(&index, &mut writer, 10);
        let clock = Clock::monotonic();
        let held = {
            let pin = pin();
            let look = (&clock, Use::Hold);
            index.hold(&pin, 7, |key| *key == 1, look).expect("it is live")
        };
        let closure = thread::spawn(move || {
            assert_eq!(held.value().name(), 10);
            held.release()
        });
        let mut garbage = Garbage::new(true);
        linked.kill(0);
        garbage.push(index.unlink(&mut writer, linked, RemovalCause::Removed), 0);
        let freed = drain(&mut garbage, Readers::Possible);
        let must_drain = closure.join().expect("the closure does not panic");
        assert_eq!(must_drain, freed == 0, "freed, or reported by the last hold");
        counts[freed].fetch_add(1, Relaxed);
        finish(&index, &mut writer, garbage, None);
    });
    assert!(reports.iter().all(|count| count.load(Relaxed) > 0), "only one order was reached");
}
