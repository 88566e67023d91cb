//! What the reaper does so that memory goes back to the operating system.

use super::core::Core;
use super::pass::Round;
use crate::memory::{Decline, Population, Turn, Verdict};
use crate::platform::clock::{MILLI_NS, process_ns};
use crate::platform::sync::Ordering;

impl<K, V, S> Core<K, V, S> {
    /// Notes how many sessions there are, if these are the most so far. Called before many of them
    /// leave; what leaves in between without anybody noticing is less than a batch of each shard.
    pub(super) fn notice_population(&self) {
        if self.giver.is_none() {
            return;
        }
        let entries = self.shared.budget.entries();
        // Relaxed, both: a figure. Only its greatest value counts.
        if entries > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(entries, Ordering::Relaxed);
        }
    }

    /// Has memory given back if the population has fallen and the fall is over. For the reaper, when
    /// nothing is due; lowers the alarm to when it has to look again.
    pub(super) fn look_to_memory(&self, round: &mut Round) {
        let Some(giver) = &self.giver else { return };
        if self.shared.alarm.is_stopped() {
            return;
        }
        let population = self.population(round.is_clean());
        let now_ns = self.shared.clock.exact_ns();
        match round.decline.look(population, now_ns, process_ns()) {
            Verdict::Small => {}
            Verdict::LookAt(look_ns) => self.shared.alarm.lower(look_ns),
            Verdict::Over { grew_ns } => {
                let wait_ns = match giver.turn(grew_ns) {
                    Turn::Covered => None,
                    Turn::Now if giver.begin(population.fallen_bytes()) => None,
                    Turn::Now => Some(BUSY_RETRY_NS),
                    Turn::NotFor(wait_ns) => Some(wait_ns),
                };
                if let Some(wait_ns) = wait_ns {
                    let look_ns = now_ns.saturating_add(wait_ns);
                    round.decline.postpone(look_ns);
                    self.shared.alarm.lower(look_ns);
                } else {
                    round.decline = Decline::default();
                    // Relaxed: a figure; what is noticed meanwhile belongs to the next fall.
                    self.peak.store(population.now, Ordering::Relaxed);
                }
            }
        }
    }

    /// Has memory given back if the end of the cache has freed much.
    pub(super) fn give_back_at_the_end(&self) {
        let Some(giver) = &self.giver else { return };
        let population = self.population(true);
        if population.is_worth_it() {
            // Relaxed: a figure. The end may come by twice.
            self.peak.store(0, Ordering::Relaxed);
            giver.begin_when_free(population.fallen_bytes());
        }
    }

    fn population(&self, is_clean: bool) -> Population {
        // Relaxed: a figure.
        let peak = self.peak.load(Ordering::Relaxed);
        Population { peak, now: self.shared.budget.entries(), is_clean }
    }
}

/// How soon to ask again while memory is being given back for another fall.
const BUSY_RETRY_NS: u64 = 1_000 * MILLI_NS;
