//! Models of reads without a lock, while the writer inserts, replaces, removes and rebuilds.
//!
//! Nothing is freed here before the race is over: see `retire` for that. What is checked is that a
//! reader finds the session that it must find, whole, and no other one.

use std::sync::Arc;

use super::*;
use crate::lifetime::Spans;
use crate::platform::clock::NEVER_NS;
use crate::platform::loom_tests::Depth::{Complete, Preemptions};
use crate::platform::loom_tests::{Canary, Seen, check, race};
use crate::platform::sync::pin;

pub(crate) type Sessions = Index<u32, Canary>;
type Token = Linked<u32, Canary>;

pub(crate) const FOREVER: Spans = Spans { live_ns: NEVER_NS, idle_ns: NEVER_NS };

/// An index with the right to write it, and what has left it.
pub(crate) struct Desk {
    pub(crate) index: Arc<Sessions>,
    pub(crate) writer: Writer,
    tables: Vec<OldTable<u32, Canary>>,
    entries: Vec<Unlinked<u32, Canary>>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let (index, writer) = Index::new(8);
        Self { index: Arc::new(index), writer, tables: Vec::new(), entries: Vec::new() }
    }

    pub(crate) fn fresh(key: u32, name: u32, hash: u32) -> Fresh<u32, Canary> {
        let fresh = Fresh::new(key, Canary::new(name), hash, 1);
        fresh.begin(0, FOREVER);
        fresh
    }

    pub(crate) fn link(&mut self, key: u32, name: u32) -> Token {
        self.link_at(key, name, HASH)
    }

    fn link_at(&mut self, key: u32, name: u32, hash: u32) -> Token {
        let (linked, table) = self.index.link(&mut self.writer, Self::fresh(key, name, hash));
        self.tables.extend(table);
        linked
    }

    /// Puts `name` in place of `old`.
    pub(crate) fn supersede(&mut self, old: &Token, name: u32) -> Token {
        let fresh = Self::fresh(*old.key(), name, old.hash());
        let heir = self.index.supersede(&mut self.writer, old, fresh, Succession::Always, 0);
        heir.ok().expect("it always succeeds").0
    }

    fn replace(&mut self, old: Token, name: u32) -> Token {
        let heir = self.supersede(&old, name);
        self.entries.push(old.into_superseded(RemovalCause::Replaced));
        heir
    }

    pub(crate) fn unlink(&mut self, linked: Token) -> Unlinked<u32, Canary> {
        linked.kill(0);
        self.index.unlink(&mut self.writer, linked, RemovalCause::Removed)
    }

    fn remove(&mut self, linked: Token) {
        let unlinked = self.unlink(linked);
        self.entries.push(unlinked);
    }

    pub(crate) fn fit(&mut self) -> Option<OldTable<u32, Canary>> {
        self.index.fit(&mut self.writer)
    }

    /// Copies the table into another one of its size.
    pub(crate) fn rebuild(&mut self) -> OldTable<u32, Canary> {
        self.index.rebuild(&mut self.writer, 7).expect("there was a table")
    }

    /// Frees everything; no reader is left.
    fn clear(mut self, linked: impl IntoIterator<Item = Token>) {
        for linked in linked {
            self.remove(linked);
        }
        for unlinked in self.entries {
            assert!(unlinked.is_free());
            // SAFETY: the race is over, so no reader is left, and there was no hold.
            drop(unsafe { unlinked.take() });
        }
        for table in self.tables {
            // SAFETY: as above.
            unsafe { table.free() };
        }
    }
}

pub(crate) fn get(index: &Sessions, key: u32) -> Option<u32> {
    get_at(index, key, HASH)
}

fn get_at(index: &Sessions, key: u32, hash: u32) -> Option<u32> {
    let clock = Clock::monotonic();
    let pin = pin();
    let look = (&clock, Use::Peek);
    index.look_up(&pin, hash, |other| *other == key, look).map(|entry| entry.value().name())
}

/// All keys that do not say otherwise collide in all 32 bits: the tag must not decide.
const HASH: u32 = 7;

#[test]
fn loom_read_against_insertion_finds_nothing_or_a_whole_session() {
    let seen = Seen::new(["nothing", "the session"]);
    let notes = seen.clone();
    check(Complete, Complete, move || {
        let mut desk = Desk::new();
        let index = desk.index.clone();
        // The first one publishes the table, too.
        let (linked, [found]) = race(|| desk.link(1, 10), [Box::new(move || get(&index, 1))]);
        assert!(matches!(found, None | Some(10)), "{found:?}");
        notes.note(usize::from(found.is_some()));
        desk.clear([linked]);
    });
    seen.assert_all();
}

#[test]
fn loom_read_against_two_replacements_never_misses_nor_goes_back() {
    let seen = Seen::new(["the first", "the second", "the third", "two in turn"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let mut desk = Desk::new();
        let first = desk.link(1, 10);
        let index = desk.index.clone();
        let write = || {
            let second = desk.replace(first, 11);
            desk.replace(second, 12)
        };
        let read = move || [get(&index, 1), get(&index, 1)];
        let (third, [found]) = race(write, [Box::new(read)]);
        let [one, two] = found.map(|name| name.expect("a key that is replaced is never missing"));
        assert!(one <= two, "{one} and then {two}");
        notes.note(two as usize - 10);
        if one < two {
            notes.note(3);
        }
        desk.clear([third]);
    });
    seen.assert_all();
}

#[test]
fn loom_read_against_removal_and_reuse_of_the_lane_sees_no_other_key() {
    let seen = Seen::new(["before", "between", "after"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let mut desk = Desk::new();
        let linked = desk.link(1, 10);
        let index = desk.index.clone();
        let write = || {
            desk.remove(linked);
            desk.link(2, 20)
        };
        let read = move || (get(&index, 2), get(&index, 1));
        let (other, [found]) = race(write, [Box::new(read)]);
        match found {
            (None, Some(10)) => notes.note(0),
            (None, None) => notes.note(1),
            (Some(20), None) => notes.note(2),
            both => panic!("never both, nor one in the other's name: {both:?}"),
        }
        desk.clear([other]);
    });
    seen.assert_all();
}

/// Of two chunks, the first.
const FIRST_HOME: u32 = 7;
/// Of two chunks, the second.
const SECOND_HOME: u32 = 0x8000_0000;

#[test]
fn loom_read_past_a_full_chunk_while_others_come_and_go() {
    let seen = Seen::new(["found", "the other", "not the other"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let mut desk = Desk::new();
        // Seven fill the first chunk, the eighth and ninth go past it. A table with two chunks
        // comes with the eighth.
        let mut linked: Vec<_> =
            (1..=9).map(|key| desk.link_at(key, 10 + key, FIRST_HOME)).collect();
        let index = desk.index.clone();
        let write = || {
            desk.remove(linked.pop().expect("the ninth"));
            desk.link_at(10, 20, SECOND_HOME)
        };
        let read = move || (get_at(&index, 8, FIRST_HOME), get_at(&index, 10, SECOND_HOME));
        let (tenth, [(eighth, other)]) = race(write, [Box::new(read)]);
        assert_eq!(eighth, Some(18), "it was there all the time");
        notes.note(0);
        assert!(matches!(other, None | Some(20)));
        notes.note(if other.is_some() { 1 } else { 2 });
        desk.clear(linked.into_iter().chain([tenth]));
    });
    seen.assert_all();
}

#[test]
fn loom_read_against_growth_and_shrinkage_never_misses() {
    let seen = Seen::new(["the newest", "not the newest"]);
    let notes = seen.clone();
    check(Preemptions(3), Complete, move || {
        let mut desk = Desk::new();
        // The second and the third go with the eighth, and then four fit into one chunk.
        let mut linked: Vec<_> =
            (1..=7).map(|key| desk.link_at(key, 10 + key, key << 29)).collect();
        let index = desk.index.clone();
        let write = || {
            let eighth = desk.link_at(8, 18, 7);
            for _ in 0..3 {
                desk.remove(linked.pop().expect("there were seven"));
            }
            desk.remove(eighth);
            let table = desk.fit().expect("four of eleven are slack");
            desk.tables.push(table);
        };
        let read = move || (get_at(&index, 1, 1 << 29), get_at(&index, 8, 7));
        let ((), [(first, eighth)]) = race(write, [Box::new(read)]);
        assert_eq!(first, Some(11), "it was there all the time");
        assert!(matches!(eighth, None | Some(18)));
        notes.note(usize::from(eighth.is_none()));
        assert_eq!(desk.tables.len(), 2, "it has grown and shrunk");
        desk.clear(linked);
    });
    seen.assert_all();
}
