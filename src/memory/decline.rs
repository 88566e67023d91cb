//! A population that falls, and when the fall is over (B1, B2). Numbers in, a verdict out.

use crate::platform::clock::MILLI_NS;
use crate::platform::memory::resident_bytes;

/// Watches a population fall (B1, B2).
#[derive(Debug, Default)]
pub(crate) struct Decline {
    course: Option<Course>,
    /// A fall of so many sessions was not worth it: asking the system costs more than a pass.
    too_small: u64,
}

/// A fall that is worth it and not yet calm.
#[derive(Clone, Copy, Debug)]
struct Course {
    since_ns: u64,
    /// How many sessions had left at the last look.
    fallen: u64,
    look_ns: u64,
}

/// What there is to see of a population.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Population {
    /// The most there were since memory was last given back.
    pub(crate) peak: u64,
    pub(crate) now: u64,
    /// Whether nothing is due and no garbage waits.
    pub(crate) is_clean: bool,
}

impl Population {
    fn fallen(self) -> u64 {
        self.peak.saturating_sub(self.now)
    }

    /// B1, but for the bytes.
    fn has_fallen(self) -> bool {
        let fallen = self.fallen();
        fallen >= LEAST_BYTES / MOST_SESSION_BYTES && fallen >= self.peak / LEAST_SHARE
    }

    /// Resident bytes that may have been those sessions': by proportion, for nobody knows how much of
    /// the process is the cache's, but no more than [`MOST_SESSION_BYTES`] each. Where the platform
    /// does not tell, 1 KiB each.
    pub(crate) fn fallen_bytes(self) -> u64 {
        let fallen = self.fallen();
        let most = fallen.saturating_mul(MOST_SESSION_BYTES);
        resident_bytes().map_or(fallen << 10, |resident| {
            let share = u128::from(resident) * u128::from(fallen) / u128::from(self.peak.max(1));
            most.min(share as u64)
        })
    }

    /// B1.
    pub(crate) fn is_worth_it(self) -> bool {
        self.has_fallen() && self.fallen_bytes() >= LEAST_BYTES
    }
}

/// What to do about a fall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nothing: it is small.
    Small,
    /// Look again at this time.
    LookAt(u64),
    /// It is over, or has gone on for long.
    Over,
}

impl Decline {
    /// Looks at a population.
    pub(crate) fn look(&mut self, population: Population, now_ns: u64) -> Verdict {
        let fallen = population.fallen();
        if !population.has_fallen() {
            *self = Self::default();
            return Verdict::Small;
        }
        let Some(course) = self.course else {
            if fallen <= self.too_small + self.too_small / 4 {
                return Verdict::Small;
            }
            if !population.is_worth_it() {
                self.too_small = fallen;
                return Verdict::Small;
            }
            return self.begin(fallen, now_ns);
        };
        if now_ns < course.look_ns {
            let is_postponed = course.look_ns - now_ns > CALM_NS;
            if is_postponed && fallen >= course.fallen.saturating_mul(GROWN_SHARE) {
                return self.begin(fallen, now_ns);
            }
            return Verdict::LookAt(course.look_ns);
        }
        let grown = fallen.saturating_sub(course.fallen);
        let is_calm = population.is_clean && grown <= fallen / CALM_SHARE;
        if is_calm || now_ns.saturating_sub(course.since_ns) >= LONGEST_WAIT_NS {
            return Verdict::Over;
        }
        let look_ns = now_ns.saturating_add(CALM_NS);
        self.course = Some(Course { fallen, look_ns, ..course });
        Verdict::LookAt(look_ns)
    }

    fn begin(&mut self, fallen: u64, now_ns: u64) -> Verdict {
        let look_ns = now_ns.saturating_add(CALM_NS);
        self.course = Some(Course { since_ns: now_ns, fallen, look_ns });
        Verdict::LookAt(look_ns)
    }

    /// Has the next look at a fall that is over wait: memory cannot be given back before. Unless it
    /// grows to [`GROWN_SHARE`] times as much: that is a fall of its own.
    pub(crate) fn postpone(&mut self, look_ns: u64) {
        if let Some(course) = &mut self.course {
            course.look_ns = look_ns;
        }
    }
}

/// More than sessions take that are not made of files. So fewer than 256 of them are no storm.
const MOST_SESSION_BYTES: u64 = 64 << 10;
/// A sixteenth of the peak: of what left, at most this share stays with the allocator.
const LEAST_SHARE: u64 = 16;
/// Less is not worth the walk over the allocator's free chunks.
const LEAST_BYTES: u64 = 16 << 20;
/// How long a fall must not grow for it to be over.
const CALM_NS: u64 = 1_000 * MILLI_NS;
/// Growth of less than this share of the fall is none.
const CALM_SHARE: u64 = 64;
/// How long a fall that goes on is waited for.
const LONGEST_WAIT_NS: u64 = 30_000 * MILLI_NS;
/// What has grown to so many times as much is another matter.
pub(super) const GROWN_SHARE: u64 = 4;
