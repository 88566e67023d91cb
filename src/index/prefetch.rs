//! Hints to the processor: what will be read soon, so that several waits for memory overlap.
//!
//! A cache of a million sessions is far larger than the processor's caches: each session that is
//! found, evicted or reaped costs a wait for its entry and one for its chunk. Whoever knows early
//! what comes next says so, and does something else meanwhile.

#![allow(unsafe_code, reason = "the hint is an unsafe function, though it reads nothing")]

use crate::index::entry::Entry;

/// Has the processor fetch the cache line at `address`.
#[inline]
pub(super) fn fetch_line(address: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint: it reads nothing and faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::without_provenance(address)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _no_hint_here = address;
}

/// Has the processor fetch an entry, or nothing if the pointer is null.
///
/// From its first line to its last, of which small keys and values leave two at most.
#[inline]
pub(super) fn fetch_entry<K, V>(entry: *const Entry<K, V>) {
    let first = entry.addr();
    fetch_line(first);
    fetch_line(first.wrapping_add(size_of::<Entry<K, V>>() - 1));
}
