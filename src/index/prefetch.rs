//! Hints to the processor: what will be read soon, so that several waits for memory overlap.
//!
//! A cache of a million sessions is far larger than the processor's caches: each session that is
//! found, evicted or reaped costs a wait for its entry and one for its chunk. Whoever knows early
//! what comes next says so, and does something else meanwhile.

#![allow(unsafe_code, reason = "the hint is an unsafe function, though it reads nothing")]

#[cfg(target_arch = "x86_64")]
use core::mem::MaybeUninit;

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

/// Has the processor fetch what the first words of `value` point to, if they are pointers: what its
/// destructor will ask for first. An `Arc` or a `Box` has its pointer there, a `Vec` or a `String`
/// also; words that are none cost a vain look in the page table.
#[inline]
pub(super) fn fetch_pointees<T>(value: &mut T) {
    #[cfg(target_arch = "x86_64")]
    if core::mem::needs_drop::<T>() && align_of::<T>() >= align_of::<usize>() {
        let words = core::ptr::from_mut(value).cast::<MaybeUninit<usize>>();
        for n in 0..POINTERS.min(size_of::<T>() / size_of::<usize>()) {
            // SAFETY: the word lies inside `value`.
            let word = unsafe { words.add(n) };
            // SAFETY: nobody else accesses `value`, and the word is aligned like it. It may be
            // padding, so it is not looked at but handed on.
            let word = unsafe { word.read() };
            // SAFETY: a prefetch is a hint: it reads nothing and faults at no address.
            unsafe {
                core::arch::asm!(
                    "prefetcht0 [{}]",
                    in(reg) word,
                    options(nostack, preserves_flags, readonly)
                )
            };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _no_hint_here = value;
}

/// A `Vec` has its capacity before its pointer, or after it.
#[cfg(target_arch = "x86_64")]
const POINTERS: usize = 2;
