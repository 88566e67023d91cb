//! Garbage step by step, on real entries: what waits, what is taken, and in which order.

#![allow(unsafe_code, reason = "old tables are freed by hand")]

use super::*;
use crate::index::{Fresh, Held, Index, Writer};
use crate::lifetime::Spans;
use crate::platform::clock::NEVER_NS;
use crate::platform::sync::{pin, turn_epoch};
use crate::removal::RemovalCause;

/// An index that makes garbage. A session's key is its value, and its weight is a hundred more.
struct Yard {
    index: Index<u32, u32>,
    writer: Writer,
    garbage: Garbage<u32, u32>,
}

impl Yard {
    fn new(is_ordered: bool) -> Self {
        let (index, writer) = Index::new(1_000);
        Self { index, writer, garbage: Garbage::new(is_ordered) }
    }

    fn removed(&mut self, key: u32, hash: u32) -> (Unlinked<u32, u32>, Held<u32, u32>) {
        let fresh = Fresh::new(key, key, hash, u64::from(key) + 100);
        fresh.begin(0, Spans { live_ns: NEVER_NS, idle_ns: NEVER_NS });
        let (linked, old_table) = self.index.link(&mut self.writer, fresh);
        // SAFETY: these tests have one thread, which holds no pin here.
        old_table.into_iter().for_each(|table| unsafe { table.free() });
        let held = linked.hold();
        linked.kill(0);
        (self.index.unlink(&mut self.writer, linked, RemovalCause::Removed), held)
    }

    /// Removes a session that nobody holds.
    fn push(&mut self, key: u32, hash: u32, now_ns: u64) -> bool {
        let (unlinked, held) = self.removed(key, hash);
        assert!(!held.release(), "nobody has asked for it");
        self.garbage.push(unlinked, now_ns)
    }

    /// Removes a session that somebody holds.
    fn push_held(&mut self, key: u32, hash: u32, now_ns: u64) -> Held<u32, u32> {
        let (unlinked, held) = self.removed(key, hash);
        self.garbage.push(unlinked, now_ns);
        held
    }

    /// Replaces the table, which must be there.
    fn push_table(&mut self, now_ns: u64) -> bool {
        let table = self.index.fit(&mut self.writer).expect("nobody is in");
        self.garbage.push_table(table, now_ns)
    }

    /// What one drainer takes in a step that takes at most `limit`.
    fn step(&mut self, limit: usize, readers: Readers) -> Option<Vec<u32>> {
        assert!(self.garbage.try_start_draining(), "R2: nobody drains");
        let Some(mut ripe) = self.garbage.take_ripe(limit, readers) else {
            assert!(!self.garbage.is_draining(), "R2: the token is back");
            return None;
        };
        assert!(self.garbage.is_draining() && !self.garbage.try_start_draining(), "R2");
        assert!(ripe.len() <= limit && ripe.is_full(limit) == (ripe.len() == limit));
        ripe.free_tables();
        let mut keys = Vec::new();
        loop {
            let before = keys.len();
            for removed in ripe.next_removed(3) {
                assert_eq!(
                    (removed.value, removed.exit.cause()),
                    (removed.key, RemovalCause::Removed)
                );
                assert_eq!(removed.weight, u64::from(removed.key) + 100);
                keys.push(removed.key);
            }
            assert!(keys.len() <= before + 3, "as many as asked for");
            if keys.len() == before {
                break;
            }
        }
        self.garbage.put_back(ripe);
        assert!(!self.garbage.is_draining(), "R2: the token is back");
        Some(keys)
    }

    /// What one drainer takes apart who gets no further than so many; all may be ripe.
    fn step_cut_off(&mut self, limit: usize, after: usize) -> Vec<u32> {
        assert!(self.garbage.try_start_draining(), "R2: nobody drains");
        let mut ripe = self.garbage.take_ripe(limit, Readers::Gone).expect("there is garbage");
        ripe.free_tables();
        let keys = (0..after).map_while(|_| Some(ripe.next_removed(1).next()?.key)).collect();
        self.garbage.put_back(ripe);
        keys
    }

    /// All that drainers can take now, though readers might exist no more.
    fn drain(&mut self) -> Vec<u32> {
        let mut keys = Vec::new();
        while let Some(some) = self.step(128, Readers::Gone) {
            keys.extend(some);
        }
        keys
    }

    /// How many are left of `pushed`, of which `dropped` were taken apart.
    fn check(&self, left: u64) {
        let (pushed, _) = self.garbage.pushed();
        assert_eq!(self.garbage.check(pushed - left), Ok(left));
    }
}

#[test]
fn garbage_is_told_of_from_its_first_piece_to_its_last() {
    let mut yard = Yard::new(false);
    let state = |yard: &Yard| {
        let garbage = &yard.garbage;
        let since_ns = (garbage.waiting_since_ns(), garbage.oldest_ns());
        (garbage.open_load(), garbage.is_waiting(), garbage.needs_draining(), since_ns)
    };
    assert_eq!(state(&yard), (0, false, false, (None, None)));
    assert!(!yard.garbage.seal(), "nothing is there");
    assert!(yard.push(1, 1, 5) && !yard.push(2, 2, 9), "only the first calls somebody");
    assert_eq!(state(&yard), (2, true, false, (Some(5), Some(5))));
    assert_eq!(yard.step(128, Readers::Gone), None, "it is not sealed");
    assert!(yard.garbage.seal());
    assert_eq!(state(&yard), (0, true, true, (Some(5), Some(5))));
    assert!(yard.push(3, 3, 20) && !yard.push_table(21));
    assert_eq!(state(&yard), (1, true, true, (Some(5), Some(5))));
    assert_eq!(yard.drain(), [1, 2]);
    assert_eq!(state(&yard), (1, true, false, (Some(20), Some(20))));
    assert!(yard.garbage.seal());
    assert_eq!((yard.drain(), yard.garbage.pushed()), (vec![3], (3, 306)));
    assert_eq!(state(&yard), (0, false, false, (None, None)));
    yard.check(0);
    yard.garbage.trim();
    assert_eq!(yard.garbage.bytes(), 0);
}

#[test]
fn table_alone_is_garbage_too() {
    let mut yard = Yard::new(true);
    assert!(yard.push(1, 1, 1) && yard.garbage.seal() && yard.drain() == [1]);
    let before = yard.index.bytes(&yard.writer);
    assert!(yard.push_table(30), "it calls somebody");
    assert_eq!((yard.garbage.bytes(), yard.garbage.open_load()), (before, 0));
    assert_eq!(yard.garbage.waiting_since_ns(), Some(30));
    assert!(yard.garbage.is_waiting() && yard.garbage.seal());
    assert!(yard.garbage.bytes() > before && yard.garbage.needs_draining());
    assert_eq!(yard.step(128, Readers::Gone), Some(vec![]));
    assert_eq!(yard.step(128, Readers::Gone), None);
    assert!(!yard.garbage.is_waiting() && yard.garbage.bytes() == 0);
}

#[test]
fn batches_are_taken_in_order_and_no_more_than_the_limit_at_a_time() {
    for is_ordered in [false, true] {
        for limit in [1, 7, 10, 13, 30, 31] {
            let mut yard = Yard::new(is_ordered);
            for key in 0..30 {
                yard.push(key, key % 4, u64::from(key));
                if key % 10 == 9 {
                    assert!(yard.garbage.seal());
                }
            }
            let mut keys = Vec::new();
            while keys.len() < 30 {
                let some = yard.step(limit, Readers::Gone).expect("some are left");
                assert!(some.len() == limit || keys.len() + some.len() == 30);
                keys.extend(some);
                yard.check(30 - keys.len() as u64);
            }
            assert_eq!(keys, (0..30).collect::<Vec<_>>());
            assert_eq!(yard.step(limit, Readers::Gone), None);
        }
    }
}

#[test]
fn held_session_stays_and_with_a_listener_later_ones_of_its_key_as_well() {
    for is_ordered in [false, true] {
        let mut yard = Yard::new(is_ordered);
        yard.push(1, 77, 3);
        let held = yard.push_held(2, 77, 4);
        yard.push(3, 88, 5);
        yard.push(4, 77, 6);
        assert!(yard.garbage.seal());
        let (at_once, later) = if is_ordered { (vec![1, 3], 2) } else { (vec![1, 3, 4], 1) };
        assert_eq!(yard.drain(), at_once);
        yard.check(later);
        let garbage = &yard.garbage;
        assert!(!garbage.is_waiting() && !garbage.needs_draining(), "only for the closure");
        assert_eq!((garbage.waiting_since_ns(), garbage.oldest_ns()), (None, Some(3)));
        assert!(garbage.bytes() > 0);
        // One of the same key that comes later, and one of another key.
        yard.push(5, 77, 10);
        yard.push(6, 88, 11);
        assert!(yard.garbage.seal());
        assert_eq!(yard.garbage.oldest_ns(), Some(3));
        assert_eq!(yard.drain(), if is_ordered { vec![6] } else { vec![5, 6] });
        assert!(held.release(), "it was asked for: its end is told");
        assert_eq!(yard.drain(), if is_ordered { vec![2, 4, 5] } else { vec![2] });
        yard.check(0);
        assert_eq!(yard.garbage.oldest_ns(), None);
        yard.garbage.trim();
        assert_eq!(yard.garbage.bytes(), 0);
    }
}

#[test]
fn released_sessions_count_towards_the_limit_and_go_first() {
    let mut yard = Yard::new(true);
    let first = yard.push_held(0, 7, 2);
    let other = yard.push_held(100, 8, 2);
    for key in 1..6 {
        yard.push(key, 7, 2);
    }
    assert!(yard.garbage.seal());
    assert!(yard.drain().is_empty());
    yard.push(6, 9, 50);
    assert!(yard.garbage.seal() && first.release());
    assert_eq!(yard.step(2, Readers::Gone), Some(vec![0, 1]));
    yard.check(6);
    assert_eq!(yard.step(4, Readers::Gone), Some(vec![2, 3, 4, 5]));
    assert_eq!(yard.garbage.oldest_ns(), Some(2), "the other one is held since then");
    assert_eq!(yard.drain(), [6]);
    assert!(other.release());
    assert_eq!(yard.drain(), [100]);
    yard.check(0);
}

#[test]
fn several_held_sessions_of_a_key_leave_in_order() {
    let mut yard = Yard::new(true);
    let holds: Vec<_> = (0..3).map(|key| yard.push_held(key, 7, 2)).collect();
    assert!(yard.garbage.seal());
    assert!(yard.drain().is_empty());
    let [first, second, third] = <[_; 3]>::try_from(holds).ok().expect("three are held");
    // Nobody has asked for the second yet: the first is in front of it.
    assert!(!second.release());
    assert!(yard.drain().is_empty());
    assert!(first.release());
    assert_eq!(yard.drain(), [0, 1]);
    assert!(third.release());
    assert_eq!(yard.drain(), [2]);
    yard.check(0);
}

#[test]
fn nothing_is_taken_while_a_reader_may_be_inside() {
    let mut yard = Yard::new(false);
    let reader = pin();
    yard.push(1, 1, 1);
    assert!(yard.garbage.seal());
    Ticket::defer();
    for _ in 0..10 {
        turn_epoch();
        assert_eq!(yard.step(128, Readers::Possible), None);
    }
    yard.check(1);
    drop(reader);
    // Readers in other tests of this process may put it off.
    let mut taken = None;
    for _ in 0..1_000_000 {
        Ticket::defer();
        turn_epoch();
        taken = yard.step(128, Readers::Possible);
        if taken.is_some() {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(taken, Some(vec![1]));
}

/// Keys 1 and 4 to 6 have one hash, and 1 and 5 are held at first.
#[test]
fn what_a_drainer_does_not_get_to_goes_back_in_order() {
    for cut in 0..8 {
        let mut yard = Yard::new(true);
        let first = yard.push_held(1, 9, 1);
        yard.push(2, 2, 2);
        assert!(yard.garbage.seal());
        assert_eq!(yard.drain(), [2]);
        yard.push(4, 9, 4);
        let second = yard.push_held(5, 9, 5);
        yard.push(6, 9, 6);
        yard.push(7, 7, 7);
        assert!(yard.garbage.seal());
        assert_eq!(yard.drain(), [7], "the others wait behind the first");
        yard.push(8, 8, 8);
        assert!(yard.garbage.seal());
        assert!(first.release());
        let mut keys = yard.step_cut_off(128, cut);
        assert_eq!(keys.len(), cut.min(3), "1 and 4, which were held, and 8");
        yard.check(5 - keys.len() as u64);
        keys.extend(yard.drain());
        assert_eq!(keys, [1, 4, 8], "cut off after {cut}");
        assert!(second.release());
        assert_eq!(yard.drain(), [5, 6]);
        yard.check(0);
    }
}

#[test]
fn what_is_cut_off_is_ripe_and_comes_before_what_was_sealed_later() {
    let mut yard = Yard::new(false);
    for key in 1..=6 {
        yard.push(key, key, u64::from(key));
        assert!(key % 3 != 0 || yard.garbage.seal());
    }
    assert_eq!(yard.step_cut_off(3, 1), [1]);
    assert_eq!((yard.garbage.sealed_len(), yard.garbage.waiting_since_ns()), (5, Some(1)));
    assert_eq!(yard.step(2, Readers::Possible), Some(vec![2, 3]), "their ticket was ripe");
    assert_eq!(yard.step(128, Readers::Gone), Some(vec![4, 5, 6]));
    assert!(!yard.garbage.needs_draining(), "no empty batch is put back");
}

/// Moving an entry behind a held one is work under the lock like any other.
#[test]
fn what_waits_behind_a_held_session_counts_towards_the_limit() {
    let mut yard = Yard::new(true);
    let held = yard.push_held(1, 1, 1);
    assert!(yard.garbage.seal());
    assert!(yard.drain().is_empty(), "it is held");
    for key in 2..=11 {
        yard.push(key, 1, 2);
    }
    assert!(yard.garbage.seal());
    for left in [6, 2, 0] {
        assert_eq!(yard.step(4, Readers::Gone), Some(vec![]));
        assert_eq!(yard.garbage.sealed_len(), left);
    }
    assert_eq!(yard.step(4, Readers::Gone), None);
    assert!(held.release());
    assert_eq!(yard.drain(), (1..=11).collect::<Vec<_>>());
}

#[test]
fn check_tells_what_does_not_add_up() {
    let mut yard = Yard::new(true);
    let held = yard.push_held(1, 1, 1);
    yard.push(2, 2, 1);
    assert!(yard.garbage.seal());
    assert_eq!(yard.drain(), [2]);
    yard.push(3, 3, 1);
    assert!(yard.garbage.seal());
    yard.push(4, 4, 1);
    // One held, one sealed, one open, one dropped.
    assert_eq!(yard.garbage.check(1), Ok(3));
    let broken = |yard: &Yard, dropped| yard.garbage.check(dropped).err().unwrap_or_default();
    assert!(broken(&yard, 2).starts_with("R4"), "more are dropped than were taken");
    assert!(broken(&yard, 0).starts_with("R2"), "one is in nobody's hands");
    assert!(yard.garbage.try_start_draining());
    assert_eq!(yard.garbage.check(0), Ok(4), "one is in the drainer's hands");
    assert!(yard.garbage.take_ripe(0, Readers::Gone).is_none() && !yard.garbage.is_draining());
    yard.garbage.pushed += 1;
    assert!(broken(&yard, 1).starts_with("R4"), "one is lost");
    yard.garbage.pushed -= 1;
    assert!(yard.garbage.seal() && held.release());
    assert_eq!(yard.drain(), [1, 3, 4]);
}
