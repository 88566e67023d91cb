//! The heap, in bytes as they are requested: what the allocator adds is its own affair.
//!
//! Counting costs two shared atomics an allocation, which would be measured along with every
//! insertion. So it is off until somebody asks for it.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

#[cfg(feature = "mimalloc")]
use mimalloc::MiMalloc as Below;
#[cfg(not(feature = "mimalloc"))]
use std::alloc::System as Below;

/// The allocator below, with a meter that can be switched on.
pub struct Heap;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static REQUESTED_BYTES: AtomicIsize = AtomicIsize::new(0);

/// Starts to count. What is freed later but was requested before counts below zero, so only
/// differences between two readings mean something.
pub fn count() {
    // Relaxed: whoever counts takes readings with no other thread at work.
    IS_COUNTING.store(true, Ordering::Relaxed);
}

/// The bytes requested less those given back, since counting began.
pub fn requested_bytes() -> isize {
    // Relaxed: as in count.
    REQUESTED_BYTES.load(Ordering::Relaxed)
}

fn book(bytes: isize) {
    // Relaxed, both: figures that no other memory depends on.
    if IS_COUNTING.load(Ordering::Relaxed) {
        REQUESTED_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed on to `Below` unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        book(layout.size() as isize);
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, which is the same.
        unsafe { Below.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        book(layout.size() as isize);
        // SAFETY: the caller keeps `GlobalAlloc::alloc_zeroed`'s contract, which is the same.
        unsafe { Below.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        book(-(layout.size() as isize));
        // SAFETY: the block came from `Below`, for all blocks do, and with this layout.
        unsafe { Below.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        book(new_size as isize - layout.size() as isize);
        // SAFETY: as for dealloc; the caller vouches for the new size.
        unsafe { Below.realloc(pointer, layout, new_size) }
    }
}
