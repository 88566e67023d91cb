//! Walking: over all sessions in the order of their records, a bite at a time.

use super::hold::Hold;
use super::{After, BITE, Gate, Shard, Shared};
use crate::ledger::RecordId;
use crate::removal::RemovalCause;

impl<K, V> Shard<K, V> {
    /// Takes out a bite of the sessions from record number `from` on; tells where to go on.
    pub(crate) fn unlink_bite(
        &self,
        shared: &Shared<K, V>,
        from: u32,
        cause: RemovalCause,
    ) -> (Option<u32>, After) {
        let mut session = self.open(shared);
        if session.state.gate != Gate::Open {
            session.state.supersede_all_fills();
        }
        let now_ns = shared.clock.exact_ns();
        let mut next = from;
        for _ in 0..BITE {
            let Some((id, entry)) = session.state.ledger.next_from(next) else {
                return (None, session.close());
            };
            next = id.raw() + 1;
            session.shard.index.prefetch(entry.hash());
            let cause = entry.kill(now_ns).unwrap_or(cause);
            let load = session.unlink(id, cause, now_ns);
            shared.budget.release(load);
        }
        (Some(next), session.close())
    }

    /// Holds a bite of the live sessions from record number `from` on; tells where to go on.
    pub(crate) fn hold_bite<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        from: u32,
        holds: &mut Vec<(RecordId, Hold<'s, K, V>)>,
    ) -> Option<u32> {
        let session = self.open(shared);
        let now_ns = shared.clock.exact_ns();
        let mut next = from;
        for _ in 0..BITE {
            let (id, entry) = session.state.ledger.next_from(next)?;
            let is_live = entry.judge().cause_at(now_ns).is_none();
            holds.extend(is_live.then(|| (id, session.hold(id))));
            next = id.raw() + 1;
        }
        Some(next)
    }

    /// Holds the live session that a record is of by now: the successor of the one that a walk found
    /// there (M6), or one that came in after that had left.
    pub(crate) fn hold_record<'s>(
        &'s self,
        shared: &'s Shared<K, V>,
        id: RecordId,
    ) -> Option<Hold<'s, K, V>> {
        let session = self.open(shared);
        let ledger = &session.state.ledger;
        let entry = ledger.contains(id).then(|| ledger.get(id))?;
        let is_live = entry.judge().cause_at(shared.clock.exact_ns()).is_none();
        is_live.then(|| session.hold(id))
    }

    /// Lets nobody in any more.
    pub(crate) fn bar(&self) {
        self.state.lock().gate = Gate::Closed;
    }
}
