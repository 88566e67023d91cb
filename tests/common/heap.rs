//! The one allocator of the tests that count: what is asked for, and what the allocator sets aside.
//!
//! A file that needs it brings it in by its path, and is a process of its own.

#![allow(unsafe_code, reason = "an allocator is unsafe by definition; this one passes calls on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

/// The bytes that are asked for and not given back: no allocator's habits blur them.
static REQUESTED: AtomicI64 = AtomicI64::new(0);

/// The bytes of the blocks set aside for them, with headers, where the system tells.
static ALLOCATED: AtomicI64 = AtomicI64::new(0);

/// The most that was ever allocated.
static MOST_ALLOCATED: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// What this thread had set aside, less what it gave back. Without a destructor, and so there
    /// whenever the allocator is.
    static ALLOCATED_HERE: Cell<i64> = const { Cell::new(0) };

    /// How often this thread has asked for memory.
    static ALLOCATIONS_HERE: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counters touch no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        let memory = unsafe { System.alloc(layout) };
        count(layout.size() as i64, block_bytes(memory));
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as i64), -block_bytes(memory));
        // SAFETY: the caller got `memory` from `alloc` with this layout, so the system gave it.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let before = block_bytes(memory);
        // SAFETY: as for `dealloc`; the caller vouches for `size`.
        let moved = unsafe { System.realloc(memory, layout, size) };
        if !moved.is_null() {
            count(size as i64 - layout.size() as i64, block_bytes(moved) - before);
        }
        moved
    }
}

fn count(requested: i64, allocated: i64) {
    REQUESTED.fetch_add(requested, Ordering::Relaxed);
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        ALLOCATED_HERE.with(|here| here.set(here.get() + allocated));
        let now = ALLOCATED.fetch_add(allocated, Ordering::Relaxed) + allocated;
        if allocated > 0 {
            ALLOCATIONS_HERE.with(|here| here.set(here.get() + 1));
            MOST_ALLOCATED.fetch_max(now, Ordering::Relaxed);
        }
    }
}

/// What is asked for and not given back.
pub(crate) fn requested() -> i64 {
    REQUESTED.load(Ordering::SeqCst)
}

/// What is set aside for it.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn allocated() -> i64 {
    ALLOCATED.load(Ordering::SeqCst)
}

/// What is set aside by this thread; the test harness's own is not in it.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn allocated_here() -> i64 {
    ALLOCATED_HERE.with(Cell::get)
}

/// How often this thread has asked for memory.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn allocations_here() -> u64 {
    ALLOCATIONS_HERE.with(Cell::get)
}

/// The most that was set aside since the last call.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn most_allocated() -> i64 {
    MOST_ALLOCATED.swap(allocated(), Ordering::SeqCst)
}

/// The block that holds `memory`: what glibc lets its user have, and the word before it.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
fn block_bytes(memory: *mut u8) -> i64 {
    unsafe extern "C" {
        fn malloc_usable_size(memory: *mut u8) -> usize;
    }
    if memory.is_null() {
        return 0;
    }
    // SAFETY: `memory` came from the system's `malloc` and was not freed; it is only looked up.
    (unsafe { malloc_usable_size(memory) } + size_of::<usize>()) as i64
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
fn block_bytes(_memory: *mut u8) -> i64 {
    0
}
