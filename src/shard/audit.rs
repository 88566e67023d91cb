//! Figures and checks of one shard.

use super::{BITE, Shard, Shared};
use crate::error::{Broken, ensure};
use crate::index::{Entry, Index, Linked};
use crate::ledger::Ledger;
use crate::platform::clock::NEVER_NS;
use crate::platform::sync::Ordering;
use crate::stats::{Audit, Stats};

impl<K, V> Shard<K, V> {
    /// What a session takes beside its key and value, by the blocks that an allocator sets aside
    /// for it, where shards are well filled.
    pub(crate) const fn bytes_per_session() -> usize {
        Index::<K, V>::bytes_per_session() + Ledger::<Linked<K, V>>::bytes_per_session()
    }

    /// Adds this shard's figures to `stats`.
    pub(crate) fn add_figures(&self, shared: &Shared<K, V>, now_ns: u64, stats: &mut Stats) {
        // Acquire, both: pair with the additions in `dispose`. Read before the lock is taken, so
        // that no more is dropped than was ever unlinked.
        let dropped = self.dropped.load(Ordering::Acquire);
        let dropped_weight = self.dropped_weight.load(Ordering::Acquire);
        let state = self.state.lock();
        let (pushed, pushed_weight) = state.garbage.pushed();
        stats.inserted += state.inserted;
        stats.add_removals(&state.removals);
        stats.dropped += dropped;
        stats.retired.count += pushed - dropped;
        stats.retired.weight += pushed_weight.wrapping_sub(dropped_weight);
        if let Some(oldest_ns) = state.garbage.oldest_ns().filter(|_| pushed > dropped) {
            let age = core::time::Duration::from_nanos(now_ns.saturating_sub(oldest_ns));
            stats.retired.oldest = stats.retired.oldest.max(age);
        }
        let overhead = size_of::<Entry<K, V>>().saturating_sub(size_of::<K>() + size_of::<V>());
        let sessions = state.ledger.len() + (pushed - dropped) as usize;
        let bytes = state.ledger.bytes()
            + self.index.bytes(&state.writer)
            + state.garbage.bytes()
            + sessions * overhead;
        stats.overhead_bytes += bytes as u64;
        let limit_ns = now_ns.saturating_sub(shared.resolution_ns);
        let may_be_overdue = state.earliest_ns < limit_ns;
        drop(state);
        if may_be_overdue {
            stats.overdue += self.count_overdue(limit_ns);
        }
    }

    /// How many sessions closures keep from being freed, and whether a drainer has some in hand.
    #[allow(dead_code, reason = "for the checks of users' tests, which are a feature")]
    pub(crate) fn held_up(&self) -> (usize, bool) {
        self.state.lock().garbage.held_up()
    }

    /// Counts the linked sessions whose deadline lies before `limit_ns`, a bite at a time.
    fn count_overdue(&self, limit_ns: u64) -> u64 {
        let mut next = 0;
        let mut overdue = 0;
        loop {
            let state = self.state.lock();
            for _ in 0..BITE {
                let Some((id, entry)) = state.ledger.next_from(next) else { return overdue };
                overdue += u64::from(entry.judge().deadline_ns() < limit_ns);
                next = id.raw() + 1;
            }
        }
    }

    /// Checks every invariant of this shard, and adds what it counts to `audit`.
    pub(crate) fn audit(&self, shared: &Shared<K, V>, audit: &mut Audit) -> Result<(), Broken> {
        let state = self.state.lock();
        // Acquire: as in `add_figures`. Under the lock the drainer may be ahead of what was counted
        // when the batch was taken, never of what was taken.
        let dropped = self.dropped.load(Ordering::Acquire);
        state.ledger.check(|entry| entry.judge().deadline_ns(), |entry| entry.used_ms())?;
        let (mut weight, mut deadline_ns, mut used_ms) = (0, NEVER_NS, u64::MAX);
        let mut from = 0;
        while let Some((id, linked)) = state.ledger.next_from(from) {
            ensure!("M1", linked.record() == id, "an entry does not know its record {id:?}");
            weight += linked.weight();
            deadline_ns = deadline_ns.min(linked.judge().deadline_ns());
            used_ms = used_ms.min(linked.used_ms());
            from = id.raw() + 1;
        }
        ensure!("M1", weight == state.weight, "weight {weight}, counted {}", state.weight);
        self.index.check(&state.writer, |entry| {
            let found = state.ledger.next_from(entry.record().raw());
            found.is_some_and(|(id, linked)| id == entry.record() && linked.is(entry))
        })?;
        let entries = state.ledger.len() as u64;
        let retired = state.garbage.check(dropped)?;
        let sum = entries + retired + dropped;
        ensure!("M2", state.inserted == sum, "inserted {}, accounted {sum}", state.inserted);
        let removals: u64 = state.removals.iter().sum();
        ensure!("M2", removals == state.garbage.pushed().0, "removals without their garbage");
        let due_ns = shared.bounds.earliest_ns(self.number);
        ensure!("M5", due_ns == state.earliest_ns, "published {due_ns}");
        ensure!("V1", due_ns <= state.ledger.earliest_ns(), "published {due_ns}");
        let look_ns = shared.bounds.look_ns(self.number);
        let next_ns = state.look_ns.min(state.ledger.next_look_ns());
        ensure!("V2", look_ns <= next_ns, "looks at {look_ns}, where {next_ns} is wanted");
        ensure!(
            "V3",
            !shared.bounds.is_none_due(deadline_ns),
            "due at {deadline_ns} is taken for none"
        );
        let coldest_ms = shared.bounds.coldest_ms();
        ensure!("V4", coldest_ms <= used_ms, "used at {used_ms}, which is before {coldest_ms}");
        audit.entries += state.ledger.len();
        audit.weight += weight;
        audit.inserted += state.inserted;
        audit.retired += retired;
        audit.dropped += dropped;
        audit.shards += 1;
        Ok(())
    }
}
