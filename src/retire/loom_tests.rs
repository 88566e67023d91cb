//! Models of grace, on the real index, entries, garbage and collector: nobody reads what is freed,
//! and everything is freed exactly once.
//!
//! The oracles: a [`Canary`] in each session, whose destructor must come after all reads; every
//! atomic in an entry or a table, whose destructor must come after all its loads and stores (see
//! `platform::sync`); loom's count of canaries for what is never freed. Each model asserts that
//! something was freed while a reader was about.

use super::*;
use crate::index::Linked;
use crate::index::loom_tests::{Desk, Sessions, get};
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::{Arc, turn_epoch};
use crate::removal::RemovalCause;

type Waste = Garbage<u32, Canary>;

/// Frees what is ripe, as a drainer does; tells how many entries that were.
fn drain(garbage: &mut Waste, readers: Readers) -> usize {
    let mut freed = 0;
    while let Some(mut ripe) = {
        assert!(garbage.try_start_draining(), "R2");
        garbage.take_ripe(8, readers)
    } {
        ripe.free_tables();
        while ripe.next_removed(1).next().is_some() {
            freed += 1;
        }
        garbage.put_back(ripe);
    }
    freed
}

/// Seals, waits two rounds and drains; tells how many entries that freed.
fn retire(garbage: &mut Waste) -> usize {
    garbage.seal();
    Ticket::defer();
    turn_epoch();
    turn_epoch();
    drain(garbage, Readers::Possible)
}

/// Ends the scene: no reader is left, and with what is freed now, everything has been freed once.
fn clear(mut desk: Desk, garbage: Waste, linked: impl IntoIterator<Item = Linked<u32, Canary>>) {
    let mut garbage = garbage;
    for linked in linked {
        garbage.push(desk.unlink(linked), 0);
    }
    if let Some(table) = desk.fit() {
        garbage.push_table(table, 0);
    }
    garbage.seal();
    drain(&mut garbage, Readers::Gone);
    assert_eq!(garbage.check(garbage.taken), Ok(0), "R4");
}

/// The core: a read, a replacement, and the end of the old session's grace.
#[test]
fn loom_read_against_replacement_and_freeing() {
    let seen = Seen::new(["saw the old", "saw the new", "freed", "still unripe"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let old = desk.link(1, 10);
        let index = desk.index.clone();
        let mut garbage = Garbage::new(false);
        let write = || {
            let heir = desk.supersede(&old, 11);
            garbage.push(old.into_superseded(RemovalCause::Replaced), 0);
            (heir, retire(&mut garbage))
        };
        let ((heir, freed), [found]) = race(write, [Box::new(move || get(&index, 1))]);
        let name = found.expect("a key that is replaced is never missing");
        notes.note(name as usize - 10);
        notes.note(3 - freed);
        clear(desk, garbage, [heir]);
    });
    seen.assert_all();
}

/// Both old sessions are garbage, in one strand around another key's in the other strand, while the reader
/// is on its way from them.
#[test]
fn loom_read_against_two_replacements_and_freeing() {
    let seen = Seen::new(["saw the first", "saw the second", "saw the third", "freed"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let mut desk = Desk::new();
        let first = desk.link(1, 10);
        let other = desk.link(2, 20);
        let other = desk.unlink(other);
        let index = desk.index.clone();
        let mut garbage = Garbage::new(false);
        let write = || {
            let second = desk.supersede(&first, 11);
            garbage.push(first.into_superseded(RemovalCause::Replaced), 0);
            garbage.push(other, 0);
            let third = desk.supersede(&second, 12);
            garbage.push(second.into_superseded(RemovalCause::Replaced), 0);
            (third, retire(&mut garbage))
        };
        let ((third, freed), [found]) = race(write, [Box::new(move || get(&index, 1))]);
        let name = found.expect("a key that is replaced is never missing");
        notes.note(name as usize - 10);
        if freed == 3 {
            notes.note(3);
        }
        clear(desk, garbage, [third]);
    });
    seen.assert_all();
}

#[test]
fn loom_read_against_removal_reuse_of_the_lane_and_freeing() {
    let seen = Seen::new(["hit", "miss", "freed", "still unripe"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let linked = desk.link(1, 10);
        let index = desk.index.clone();
        let mut garbage = Garbage::new(false);
        let write = || {
            garbage.push(desk.unlink(linked), 0);
            let other = desk.link(2, 20);
            (other, retire(&mut garbage))
        };
        let ((other, freed), [found]) = race(write, [Box::new(move || get(&index, 1))]);
        assert!(matches!(found, None | Some(10)), "{found:?}");
        notes.note(usize::from(found.is_none()));
        notes.note(3 - freed);
        clear(desk, garbage, [other]);
    });
    seen.assert_all();
}

#[test]
fn loom_read_against_freeing_of_the_table() {
    let seen = Seen::new(["freed", "still unripe"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let linked = desk.link(1, 10);
        let index = desk.index.clone();
        let mut garbage: Waste = Garbage::new(false);
        let write = || {
            let table = desk.rebuild();
            garbage.push_table(table, 0);
            retire(&mut garbage);
        };
        let ((), [found]) = race(write, [Box::new(move || get(&index, 1))]);
        assert_eq!(found, Some(10), "it was there all the time");
        notes.note(usize::from(garbage.needs_draining()));
        clear(desk, garbage, [linked]);
    });
    seen.assert_all();
}

/// The reader turns the epoch after its read, as every 128th pin does: so the note of ripeness may
/// come from its thread, and must bring along what that thread did before.
#[test]
fn loom_reader_whose_own_thread_ripens_the_batch() {
    let seen = Seen::new(["freed", "still unripe"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let mut desk = Desk::new();
        let linked = desk.link(1, 10);
        let index = desk.index.clone();
        let mut garbage = Garbage::new(false);
        // The note is deferred, and the epoch one step on, when the race begins.
        let write = || {
            garbage.push(desk.unlink(linked), 0);
            garbage.seal();
            Ticket::defer();
            turn_epoch();
            drain(&mut garbage, Readers::Possible)
        };
        let read = move || {
            let found = get(&index, 1);
            turn_epoch();
            found
        };
        let (freed, [found]) = race(write, [Box::new(read)]);
        assert!(matches!(found, None | Some(10)), "{found:?}");
        notes.note(1 - freed);
        clear(desk, garbage, []);
    });
    seen.assert_all();
}

#[test]
fn loom_two_readers_against_replacement_and_freeing() {
    let seen = Seen::new(["saw both", "freed", "still unripe"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let mut desk = Desk::new();
        let old = desk.link(1, 10);
        let indexes = [desk.index.clone(), desk.index.clone()];
        let mut garbage = Garbage::new(false);
        let write = || {
            let heir = desk.supersede(&old, 11);
            garbage.push(old.into_superseded(RemovalCause::Replaced), 0);
            (heir, retire(&mut garbage))
        };
        let reads = indexes.map(|index| -> Box<dyn FnOnce() -> _ + Send> {
            Box::new(move || get(&index, 1).expect("a key that is replaced is never missing"))
        });
        let ((heir, freed), [one, other]) = race(write, reads);
        if one != other {
            notes.note(0);
        }
        notes.note(2 - freed);
        clear(desk, garbage, [heir]);
    });
    seen.assert_all();
}

/// Two shards share the collector: one note makes the tickets of both ripe.
#[test]
fn loom_one_note_for_the_garbage_of_two_writers() {
    let seen = Seen::new(["first freed", "second freed"]);
    let notes = seen.clone();
    check(Preemptions(2), Preemptions(3), move || {
        let (mut one, mut other) = (Desk::new(), Desk::new());
        let (first, second) = (one.link(1, 10), other.link(1, 20));
        let indexes = [one.index.clone(), other.index.clone()];
        let mut garbage = Garbage::new(false);
        let write = || {
            garbage.push(one.unlink(first), 0);
            garbage.seal();
            // No note of its own: it drains by what the other one has noted.
            drain(&mut garbage, Readers::Possible)
        };
        let write_other = move || {
            let mut garbage = Garbage::new(false);
            garbage.push(other.unlink(second), 0);
            let freed = retire(&mut garbage);
            (freed, Some((other, garbage)))
        };
        let read = move || {
            let [first, second] = indexes.map(|index: Arc<Sessions>| get(&index, 1));
            assert!(matches!((first, second), (None | Some(10), None | Some(20))));
            (0_usize, None)
        };
        let (freed, [(freed_other, rest), _]) =
            race(write, [Box::new(write_other) as Box<dyn FnOnce() -> _ + Send>, Box::new(read)]);
        if freed > 0 {
            notes.note(0);
        }
        if freed_other > 0 {
            notes.note(1);
        }
        clear(one, garbage, []);
        let (other, garbage) = rest.expect("the second writer's");
        clear(other, garbage, []);
    });
    seen.assert_all();
}
