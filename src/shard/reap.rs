//! Reaping: what is due leaves, and what was used since is filed anew.

use super::{After, BITE, FETCHED, Session, Shard, Shared, State};
use crate::platform::clock::NEVER_NS;
use crate::platform::sync::MutexGuard;

/// What a visit came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    /// How many sessions were reaped.
    pub(crate) reaped: usize,
    /// Whether another bite is waiting right now, of what is due or of what is to be refiled.
    pub(crate) has_more: bool,
    /// Whether some of it is due.
    pub(crate) has_more_due: bool,
    /// Whether refiling was put off, for the time for it was up.
    pub(crate) is_put_off: bool,
    /// When to come again.
    pub(crate) look_ns: u64,
    /// Whether garbage waits for a drainer.
    pub(crate) has_garbage: bool,
}

impl<K, V> Shard<K, V> {
    /// The reaper's visit: reaps a bite of what is due by whole ticks, settles, seals the garbage.
    /// From `refile_until_ns` on it leaves alone what is only to be refiled ahead of its time.
    /// `None` if the lock is taken: the other shards come first.
    pub(crate) fn try_visit(&self, shared: &Shared<K, V>, refile_until_ns: u64) -> Option<Visit> {
        Some(self.visit_locked(shared, self.state.try_lock()?, refile_until_ns))
    }

    /// Like [`try_visit`](Self::try_visit), and waits for the lock.
    pub(crate) fn visit(&self, shared: &Shared<K, V>, refile_until_ns: u64) -> Visit {
        self.visit_locked(shared, self.state.lock(), refile_until_ns)
    }

    fn visit_locked(
        &self,
        shared: &Shared<K, V>,
        state: MutexGuard<'_, State<K, V>>,
        refile_until_ns: u64,
    ) -> Visit {
        let mut session = Session::over(self, shared, state);
        let now_ns = shared.clock.exact_ns();
        session.state.ledger.advance(now_ns, false);
        let refile_ahead = now_ns < refile_until_ns;
        let reaped = session.reap_bite(now_ns, refile_ahead);
        if session.state.settle_ns <= now_ns {
            session.settle(now_ns);
        }
        session.state.garbage.seal();
        let visit = session.finish_visit(reaped, NEVER_NS);
        Visit { is_put_off: visit.has_more && !refile_ahead, ..visit }
    }

    /// Reaps a bite of what is due by its exact deadline. With `is_tidy` it also settles at once and
    /// seals the garbage.
    pub(crate) fn reap(&self, shared: &Shared<K, V>, is_tidy: bool) -> (Visit, After) {
        let mut session = self.open(shared);
        let now_ns = shared.clock.exact_ns();
        session.state.ledger.advance(now_ns, true);
        let reaped = session.reap_bite(now_ns, true);
        let mut garbage_ns = NEVER_NS;
        if is_tidy {
            if session.state.ledger.next_due().is_none() {
                session.settle(now_ns);
            }
            session.state.garbage.seal();
        } else if let Some(since_ns) = session.state.garbage.waiting_since_ns() {
            garbage_ns = since_ns.saturating_add(shared.resolution_ns);
        }
        let visit = session.finish_visit(reaped, garbage_ns);
        let after = session.close();
        shared.alarm.ring_by(visit.look_ns);
        (visit, after)
    }
}

impl<K, V> Session<'_, K, V> {
    /// Reaps or refiles a bite of what waits; only what has come due by whole ticks if it does not
    /// `refile_ahead`.
    fn reap_bite(&mut self, now_ns: u64, refile_ahead: bool) -> usize {
        let mut reaped = 0;
        for step in 0..BITE {
            if !refile_ahead && !self.state.ledger.is_due_waiting() {
                break;
            }
            if step % FETCHED == 0 {
                self.fetch_due(now_ns);
            }
            let Some(id) = self.state.ledger.next_due() else { break };
            match self.state.ledger.get(id).kill_if_due(now_ns) {
                Ok(cause) => {
                    let load = self.unlink(id, cause, now_ns);
                    self.shared.budget.release(load);
                    reaped += 1;
                }
                Err(deadline_ns) => {
                    // What it asks for is found again when the visit ends.
                    let _look_ns = self.state.ledger.refile(id, deadline_ns);
                }
            }
        }
        reaped
    }

    /// Has the processor fetch what the next records lead to: the entries first, and once they have
    /// arrived, the places in the table that they name, of those that will be unlinked.
    fn fetch_due(&self, now_ns: u64) {
        let waiting = || self.state.ledger.due().take(FETCHED);
        waiting().for_each(|entry| entry.prefetch());
        let due = waiting().filter(|entry| entry.judge().deadline_ns() <= now_ns);
        due.for_each(|entry| self.shard.index.prefetch(entry.hash()));
    }

    /// Fits table and bookkeeping to what is left. Between two rebuildings a fifth of the table's
    /// entries must have gone, so this costs each of them little.
    fn settle(&mut self, now_ns: u64) {
        let state = &mut *self.state;
        state.settle_ns = NEVER_NS;
        state.ledger.trim();
        state.garbage.trim();
        let old_table = self.shard.index.fit(&mut state.writer);
        self.retire_table(old_table, now_ns);
    }

    /// Works out when to come again; M4 and M5 start afresh.
    fn finish_visit(&mut self, reaped: usize, garbage_ns: u64) -> Visit {
        let earliest_ns = self.state.ledger.earliest_ns();
        self.publish_earliest(earliest_ns);
        let state = &mut *self.state;
        state.look_ns = state.ledger.next_look_ns().min(state.settle_ns).min(garbage_ns);
        // The caller is told by the visit; nothing is left for `close` to tell.
        self.told_ns = state.look_ns;
        let has_garbage = state.garbage.needs_draining() || self.shard.is_released();
        // A drainer that has some in hand says so itself if it puts any back (D1).
        let look_ns = if has_garbage { 0 } else { state.look_ns };
        self.shared.bounds.publish_look(self.shard.number, look_ns);
        Visit {
            reaped,
            has_more: state.ledger.next_due().is_some(),
            has_more_due: state.ledger.is_due_waiting(),
            is_put_off: false,
            look_ns: state.look_ns,
            has_garbage,
        }
    }
}

#[cfg(all(test, sundown_loom))]
mod loom_tests;
