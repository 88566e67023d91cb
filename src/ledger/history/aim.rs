//! Moments that lie on the edges of a wheel's slots, and just before and after them.

/// A moment ahead: so many slots of a level, give or take a tick, give or take a part of a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim {
    level: u32,
    slots: u64,
    /// Counts from where the current slot begins, not from now.
    is_from_edge: bool,
    ticks: i64,
    part: Part,
}

/// Where in its tick a key lies; a tick ends with the key that is its multiple.
#[derive(Clone, Copy, Debug)]
enum Part {
    End,
    JustBefore,
    JustAfter,
    Middle,
}

impl Aim {
    /// Zero bytes aim at now.
    pub(super) fn decode(near: u8, slots: u8) -> Self {
        let parts = [Part::End, Part::JustBefore, Part::JustAfter, Part::Middle];
        Self {
            level: u32::from(near % 10),
            // 0 to 66: a ring has 64 slots.
            slots: u64::from(slots % 67),
            is_from_edge: slots >= 134,
            ticks: i64::from(near / 10 % 3) - i64::from(near >= 30),
            part: parts[usize::from(near / 64)],
        }
    }

    /// The key aimed at, from `now` to `last`.
    pub(super) fn key(self, now: u64, grain: u64, last: u64) -> u64 {
        let shift = 5 * self.level;
        let here = now / grain;
        let start = if self.is_from_edge { here >> shift << shift } else { here };
        // Beyond the end of time, where the sum does not fit, is the end of time.
        let span = self.slots.saturating_mul(1 << shift);
        let tick = start.saturating_add(span).saturating_add_signed(self.ticks);
        let end = tick.saturating_mul(grain);
        let key = match self.part {
            Part::End => end,
            Part::JustBefore => end.saturating_sub(1),
            Part::JustAfter => end.saturating_add(1),
            Part::Middle => end.saturating_add(grain / 2),
        };
        key.clamp(now.min(last), last)
    }
}
