//! What the reaper does so that memory goes back to the operating system.

use super::core::Core;
use super::pass::Round;
use crate::platform::clock::process_ns;

impl<K, V, S> Core<K, V, S> {
    /// Notes how many sessions there are, if these are the most so far; see
    /// [`Giver::notice`](crate::memory::Giver::notice).
    pub(super) fn notice_population(&self) {
        if let Some(giver) = &self.giver {
            giver.notice(self.shared.budget.entries());
        }
    }

    /// Has memory given back if the population has fallen and the fall is over. For the reaper, when
    /// nothing is due; lowers the alarm to when it has to look again.
    pub(super) fn look_to_memory(&self, round: &Round) {
        let Some(giver) = &self.giver else { return };
        if self.shared.alarm.is_stopped() {
            return;
        }
        let entries = self.shared.budget.entries();
        if let Some(look_ns) = giver.look(entries, round.is_clean()) {
            let wait_ns = look_ns.saturating_sub(process_ns());
            self.shared.alarm.lower(self.shared.clock.exact_ns().saturating_add(wait_ns));
        }
    }

    /// Has memory given back if the end of the cache has freed much.
    pub(super) fn give_back_at_the_end(&self) {
        if let Some(giver) = &self.giver {
            giver.leave();
        }
    }
}
