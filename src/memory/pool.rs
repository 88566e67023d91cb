//! The population of all caches that share a way of giving memory back (B1).

use super::{Decline, Population};

/// What the caches come to together, and how it falls.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// How often memory has been given back: peaks are reckoned anew after each time.
    round: u64,
    /// The sum of the caches' peaks: no less than their peak together.
    peak: u64,
    now: u64,
    /// How many caches have something that is due, or garbage.
    unclean: u64,
    pub(super) decline: Decline,
}

/// What of the pool is one cache's.
#[derive(Debug, Default)]
pub(super) struct Share {
    round: u64,
    /// In this round.
    peak: u64,
    /// What of that is in the pool's.
    counted: u64,
    /// At the last look.
    now: u64,
    is_unclean: bool,
}

impl Pool {
    /// Enters a cache's population in place of what it was. `own.peak` is the greatest since the last
    /// look.
    pub(super) fn enter(&mut self, share: &mut Share, own: Population) {
        if share.round != self.round {
            // What had left by the last look belongs to the rounds before.
            (share.peak, share.counted) = (share.now, share.now);
            self.peak += share.counted;
            self.now += share.now;
            share.round = self.round;
        }
        let peak = share.peak.max(own.peak).max(own.now);
        let has_fallen = peak - own.now >= LEAST_FALL;
        let counted = if has_fallen { peak } else { own.now };
        self.peak = self.peak - share.counted + counted;
        self.now = self.now - share.now + own.now;
        self.unclean = self.unclean + u64::from(!own.is_clean) - u64::from(share.is_unclean);
        let (round, is_unclean) = (self.round, !own.is_clean);
        *share = Share { round, peak, counted, now: own.now, is_unclean };
    }

    pub(super) fn population(&self) -> Population {
        Population { peak: self.peak, now: self.now, is_clean: self.unclean == 0 }
    }

    /// Memory is given back: what has left until now is no matter any more.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
        (self.peak, self.now) = (0, 0);
        self.decline = Decline::default();
    }
}

/// Of thousands of caches with a few sessions each that come and go, the peaks are never all at one time.
/// What one of them falls by less than this is no fall.
const LEAST_FALL: u64 = 64;
