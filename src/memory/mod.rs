//! When memory goes back to the operating system, and what does it.
//!
//! Dropping a session frees its memory to the allocator, which may keep it: after a storm of log-ins
//! has expired, glibc keeps nearly all of it resident. So after the population has fallen, the
//! allocator is asked to give back what it does not need. glibc's takes 0.2 ms for each MiB, and
//! lets no thread allocate from the arena that it works on, nor free into it: so it must be rare. The
//! rule:
//!
//! B1. *Worth it*: since the last time, the population of all caches that are given back for in the
//!     same way has fallen by a sixteenth of its peak, and by this proportion 16 MiB of resident memory
//!     may have been theirs, at 64 KiB each at most. A thousand small caches are as much as a large one; what one of them has
//!     lost counts from 64 sessions on.
//! B2. *Calm*: nothing that is due and no garbage waits, and in the last second the fall has grown
//!     by less than a sixty-fourth; or 30 s have passed since B1 came true, for a long
//!     decline has no calm.
//! B3. *Rare*: at least 5 s lie between two, and five times as long as the last one took. From the
//!     second in a row on that brought back less than a quarter of what it should have, these 5 s
//!     double, up to 85 minutes: the memory is not the sessions', or not the allocator's to give. For
//!     a fall of four times as much they are 5 s again.
//!
//! Each cache's reaper enters its population in the [`Pool`](pool::Pool) of its way, at each pass;
//! [`Decline`] watches that for B1 and B2, and [`Giver`] keeps B3. The pool's peak is the sum of the
//! caches' own: a little too great where they rise and fall by turns, but it is known without a word of
//! shared memory in any insertion.
//!
//! B4. Whatever gives memory back runs on a thread of its own, one at a time, which holds nothing of
//!     any cache. It may block and panic. Deadlines wait for nothing but the allocator's own locks.

mod decline;
mod giver;
mod pool;

use decline::{Decline, Population, Verdict};
pub(crate) use giver::Giver;

use core::fmt;

use crate::platform::sync::Arc;

/// How free memory goes back to the operating system after many sessions have left; see
/// [`Builder::give_back`](crate::Builder::give_back).
///
/// # Examples
///
/// With mimalloc 3, by `libmimalloc-sys` with its feature `extended` (`benches/memory/README.md` in the
/// repository has jemalloc's line, and what each allocator keeps):
///
/// ```
/// # mod libmimalloc_sys { pub unsafe fn mi_collect(_: bool) {} }
/// use sundown::{Cache, GiveBack};
///
/// let cache = Cache::<u128, String>::builder()
///     .max_entries(100_000)
///     // SAFETY: mi_collect may be called by any thread at any time.
///     .give_back(GiveBack::with(|| unsafe { libmimalloc_sys::mi_collect(true) }))
///     .build()?;
/// # Ok::<(), sundown::BuildError>(())
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum GiveBack {
    /// By glibc's `malloc_trim`, where the target's system allocator is glibc's; elsewhere nothing
    /// is done. The default.
    ///
    /// The first cache that is built with it also turns glibc's *fastbins* off, for the whole process:
    /// what waits in them keeps the ends of arenas from going back.
    #[default]
    Auto,
    /// Not at all.
    Never,
    /// By a call of your own; made by [`GiveBack::with`].
    With(Arc<dyn Fn() + Send + Sync>),
}

impl GiveBack {
    /// By calling `give_back`, on a short-lived thread of its own.
    ///
    /// It may block: deadlines do not wait for it, unless it keeps the allocator from working, and it
    /// is not called again before it has returned. If it panics, [`GivenBack::failures`](crate::GivenBack::failures) counts it. It may still be running when the
    /// last handle has been dropped.
    #[must_use]
    pub fn with(give_back: impl Fn() + Send + Sync + 'static) -> Self {
        Self::With(Arc::new(give_back))
    }

    /// What does it; `None` if there is nothing to be done on this target.
    pub(crate) fn giver(self) -> Option<Giver> {
        match self {
            Self::Auto => Giver::system(),
            Self::Never => None,
            Self::With(way) => Some(Giver::by(way)),
        }
    }
}

impl fmt::Debug for GiveBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "Auto",
            Self::Never => "Never",
            Self::With(_) => "With(..)",
        })
    }
}

#[cfg(all(test, not(sundown_loom)))]
mod tests;
