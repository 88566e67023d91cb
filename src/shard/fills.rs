//! Fills: values that were asked for elsewhere, and may come too late.
//!
//! A load from a database takes its time. What it brings must not be put in if the key was inserted, removed
//! or cleared meanwhile: it would undo that. So a fill is noted in the shard when it begins, and whatever
//! changes its key takes the note away. Expiry and eviction leave it.
//!
//! J3. A fill is put in only under a lock under which its note was found, and since that was made no insertion,
//!     update or removal of its key, and no `clear`, has taken the lock.
//!
//! A key is its hash here: a change of another key of the same hash supersedes as well, which costs a load. While
//! there is no note a shard pays nothing: they are looked for only where its gate is not open.

use super::{Gate, Shard, State};

/// The fills under way in a shard.
#[derive(Debug, Default)]
pub(super) struct Fills {
    notes: Vec<Note>,
    /// The number of the next fill.
    next: u64,
}

#[derive(Debug)]
struct Note {
    hash: u32,
    number: u64,
}

impl Fills {
    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Takes the notes away for which `is_it` says so.
    fn take(&mut self, is_it: impl Fn(&Note) -> bool) {
        self.notes.retain(|note| !is_it(note));
        if self.notes.is_empty() {
            self.notes = Vec::new();
        }
    }
}

impl<K, V> State<K, V> {
    /// A key of this hash is changed: its fills come too late (J3), but for the one that changes it. To be
    /// called where the gate is not open.
    #[cold]
    pub(super) fn supersede_fills(&mut self, hash: u32, own: Option<u64>) {
        self.fills.take(|note| note.hash == hash && Some(note.number) != own);
        self.open_gate();
    }

    /// All keys are removed.
    #[cold]
    pub(super) fn supersede_all_fills(&mut self) {
        self.fills.take(|_| true);
        self.open_gate();
    }

    /// Whether a fill has not been superseded.
    #[cold]
    pub(super) fn has_fill(&self, number: u64) -> bool {
        self.fills.notes.iter().any(|note| note.number == number)
    }
}

impl<K, V> Shard<K, V> {
    /// Notes that a fill of a hash begins; gives its number.
    pub(crate) fn begin_fill(&self, hash: u32) -> u64 {
        let mut state = self.state.lock();
        let number = state.fills.next;
        state.fills.next += 1;
        state.fills.notes.push(Note { hash, number });
        if state.gate == Gate::Open {
            state.gate = Gate::Watched;
        }
        number
    }

    /// Whether a fill has not been superseded.
    pub(crate) fn has_fill(&self, number: u64) -> bool {
        self.state.lock().has_fill(number)
    }

    /// All keys are judged: what is under way would come too late.
    pub(crate) fn supersede_all_fills(&self) {
        let mut state = self.state.lock();
        if state.gate != Gate::Open {
            state.supersede_all_fills();
        }
    }

    /// A fill is given up.
    pub(crate) fn end_fill(&self, number: u64) {
        let mut state = self.state.lock();
        state.fills.take(|note| note.number == number);
        state.open_gate();
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
