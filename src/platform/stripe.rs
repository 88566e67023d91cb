//! Counting without sharing: each thread adds to a cache line of its own.
//!
//! A shared counter would cost reads their scaling, and even an uncontended atomic addition costs a
//! fifth of a hit. So the first [`OWNED_STRIPES`] threads of the process each own a stripe, which
//! nobody else writes: they add with a plain load and store. Later threads share the rest, with
//! real additions.
//!
//! T1. At any time at most one live thread owns a stripe number below [`OWNED_STRIPES`]; the number
//!     goes back when the thread ends, through a lock, so that its successor sees its last store.

use crate::platform::sync::{AtomicU64, Ordering};

/// Stripes that have one writer: more than the threads that a service keeps busy, at 64 bytes each.
pub(crate) const OWNED_STRIPES: usize = 32;
/// Stripes shared by all further threads.
const SHARED_STRIPES: usize = 8;

/// Which stripe the current thread adds to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stripe(u32);

/// Two sums, of hits and misses, split into stripes.
#[derive(Debug)]
pub(crate) struct Tally {
    stripes: Box<[Pair]>,
}

/// A cache line. Processors that fetch lines in pairs share some between two threads from the 17th on, for
/// stripes are claimed far apart first.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Pair {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let stripes = (0..OWNED_STRIPES + SHARED_STRIPES).map(|_| Pair::default());
        Self { stripes: stripes.collect() }
    }

    #[inline]
    pub(crate) fn hit(&self, stripe: Stripe) {
        stripe.add_one(&self.stripes[stripe.index()].hits);
    }

    #[inline]
    pub(crate) fn miss(&self, stripe: Stripe) {
        stripe.add_one(&self.stripes[stripe.index()].misses);
    }

    /// Hits and misses so far.
    pub(crate) fn sums(&self) -> (u64, u64) {
        self.stripes.iter().fold((0, 0), |(hits, misses), pair| {
            // Relaxed: the sums are figures; no other memory depends on them.
            let (hit, miss) =
                (pair.hits.load(Ordering::Relaxed), pair.misses.load(Ordering::Relaxed));
            (hits + hit, misses + miss)
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.stripes)
    }
}

impl Stripe {
    /// A stripe that may be shared with other threads: for those that own none.
    pub(crate) const SHARED: Self = Self(OWNED_STRIPES as u32);

    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }

    #[inline]
    fn add_one(self, sum: &AtomicU64) {
        // Relaxed, both: a figure that no other memory depends on.
        if self.index() < OWNED_STRIPES {
            // T1: this thread is the only writer, so nothing is lost between load and store.
            sum.store(sum.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            sum.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A thread's claim to its stripe; gives the number back when dropped.
#[derive(Debug)]
pub(crate) struct Claim(Stripe);

impl Claim {
    pub(crate) fn stripe(&self) -> Stripe {
        self.0
    }
}

#[cfg(not(any(sundown_loom, sundown_shuttle)))]
mod claims {
    use super::{Claim, OWNED_STRIPES, SHARED_STRIPES, Stripe};
    use crate::platform::sync::Mutex;

    struct Claims {
        /// One bit for each owned stripe that is taken.
        taken: u32,
        /// Which shared stripe the next thread without one of its own gets.
        next_shared: usize,
    }

    const _: () = assert!(OWNED_STRIPES == u32::BITS as usize);

    /// The stripe of a claim, and the claim of a stripe: its five bits in reverse, so that the first sixteen
    /// are two lines apart at least.
    fn apart(number: u32) -> u32 {
        number.reverse_bits() >> (u32::BITS - OWNED_STRIPES.ilog2())
    }

    static CLAIMS: Mutex<Claims> = Mutex::new(Claims { taken: 0, next_shared: 0 });

    impl Claim {
        /// Claims the first free stripe.
        pub(crate) fn take() -> Self {
            let mut claims = CLAIMS.lock();
            let free = claims.taken.trailing_ones();
            if free < u32::BITS {
                claims.taken |= 1 << free;
                return Self(Stripe(apart(free)));
            }
            claims.next_shared = (claims.next_shared + 1) % SHARED_STRIPES;
            Self(Stripe((OWNED_STRIPES + claims.next_shared) as u32))
        }
    }

    impl Drop for Claim {
        fn drop(&mut self) {
            if self.0.index() < OWNED_STRIPES {
                CLAIMS.lock().taken &= !(1 << apart(self.0.0));
            }
        }
    }
}

#[cfg(any(sundown_loom, sundown_shuttle))]
impl Claim {
    /// Under a model checker figures do not matter: everyone shares.
    pub(crate) fn take() -> Self {
        Self(Stripe::SHARED)
    }
}

#[cfg(all(test, not(sundown_loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_addition_is_lost_with_more_threads_than_stripes() {
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for _ in 0..OWNED_STRIPES + 9 {
                scope.spawn(|| {
                    let claim = Claim::take();
                    for _ in 0..1_000 {
                        tally.hit(claim.stripe());
                        tally.miss(claim.stripe());
                    }
                });
            }
        });
        let each = (OWNED_STRIPES as u64 + 9) * 1_000;
        assert_eq!(tally.sums(), (each, each));
    }
}
